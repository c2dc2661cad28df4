"""Loading what Keras saved.

Keras finds a class of a file by the name that it was registered with, so every module that
registers one has to be imported first; where it stands in the package makes no difference.
"""

import keras

# All modules that register a class or function; tests/test_saving.py notices when one is missing.
# Models import losses, metrics, optimizers and schedules.
from keras_transformer import edition_2019, layers, models  # noqa: F401


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
