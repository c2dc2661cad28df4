"""Loading what Keras saved.

Keras finds a class of a file by the name that it was registered with, so every module that
registers one has to be imported first; where it stands in the package makes no difference.
"""

import keras

# All modules that register a class or function; tests/test_saving.py notices when one is missing.
# Models import losses, metrics, optimizers and schedules.
from keras_transformer import edition_2019, layers, models  # noqa: F401
from keras_transformer.errors import InputError
from keras_transformer.files import reason_of


def load_model(path, **options):
    """`keras.saving.load_model`, with every class of this package known to Keras.

    Importing this package alone registers nothing, since each name is imported when first used.

    Args:
        path: a ``.keras`` file.
        options: as for `keras.saving.load_model`.

    Returns:
        the model, compiled as it was when it was saved.

    Raises:
        InputError: when there is none, or it is damaged.
    """
    try:
        return keras.saving.load_model(path, **options)
    except InputError:
        raise
    except Exception as error:  # of as many kinds as a file has parts
        raise InputError(
            f"{path}: cannot be loaded ({reason_of(error)}): give a whole .keras file."
        ) from error
