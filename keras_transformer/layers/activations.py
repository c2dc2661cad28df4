"""Activations that Keras has no name for."""

import keras


@keras.saving.register_keras_serializable("keras_transformer")
def gelu_tanh(x):
    """GELU with the tanh approximation (arXiv 1606.08415, section 2), as in GPT-2 and ALBERT.

    Keras' ``gelu`` is exact, as in BERT and ViT.
    """
    return keras.activations.gelu(x, approximate=True)


def get_activation(activation):
    """The function for a name, ``gelu_tanh`` or one of Keras'; functions are returned as they are.

    Raises:
        ValueError: for another name.
    """
    return gelu_tanh if activation == "gelu_tanh" else keras.activations.get(activation)
