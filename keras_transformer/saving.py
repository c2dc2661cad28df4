"""Loading what Keras saved."""

import keras

from keras_transformer import edition_2019, layers, models, training  # noqa: F401  they register


def load_model(path, **options):
    """`keras.saving.load_model`, with every class of this package known to Keras.

    Importing this package alone registers nothing, since each name is imported when first used.

    Args:
        path: a ``.keras`` file.
        options: as for `keras.saving.load_model`.

    Returns:
        the model, compiled as it was when it was saved.
    """
    return keras.saving.load_model(path, **options)
