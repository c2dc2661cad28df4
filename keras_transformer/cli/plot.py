"""``keras-transformer plot``: a picture of the attention of one translation."""

import click

from keras_transformer.cli.options import models_option, path_option, verb
from keras_transformer.cli.streams import write_line
from keras_transformer.errors import InputError


@verb()
@models_option
@path_option("--output", required=True, help="Picture: .png, .svg or .pdf.")
@click.argument("text")
def plot(model_path, output, text):
    """Draw where each head looks as it translates TEXT."""
    import matplotlib

    matplotlib.use("agg")
    from keras_transformer.plotting.attention import attention_figure
    from keras_transformer.translating.translator import Translator

    translation = Translator.load(model_path).translate([text], attention=True)[0]
    if translation.attention is None:
        raise InputError("TEXT: is too long for one picture: give a sentence.")
    if len(translation.tokens) < 2:
        raise InputError("TEXT: nothing was translated: there is no attention to draw.")
    if not translation.attention.any():
        raise InputError(
            f"{model_path}: a model without attention has none to draw: train one with --attention "
            "luong or bahdanau."
        )
    figure = attention_figure(translation.source_tokens, translation.tokens, translation.attention)
    try:
        figure.savefig(output)
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or error
        raise InputError(f"{output}: cannot be written ({problem}).") from error
    write_line(translation.text)
