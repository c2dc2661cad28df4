"""Activations that Keras has no name of its own for."""

import keras


@keras.saving.register_keras_serializable("keras_transformer")
def gelu_tanh(x):
    """GELU by the hyperbolic tangent (arXiv 1606.08415, section 2), as in GPT-2 and ALBERT.

    Keras' ``gelu`` is the exact one, as in BERT and ViT.
    """
    return keras.activations.gelu(x, approximate=True)


def get_activation(activation):
    """The function of a name: ``gelu_tanh`` or any of Keras' activations; a function stays itself.

    Raises:
        ValueError: for another name.
    """
    return gelu_tanh if activation == "gelu_tanh" else keras.activations.get(activation)
