"""Table entries for the layers of an `EncoderStack`."""

from collections.abc import Iterator, Mapping

from keras_transformer.interop.mapping import Entry, Kernel, linear, norms

_LINEAR = {
    "query": ("self_attention.mha.query_dense", Kernel()),
    "key": ("self_attention.mha.key_dense", Kernel()),
    "value": ("self_attention.mha.value_dense", Kernel()),
    "output": ("self_attention.mha.output_dense", Kernel(inputs=2)),
    "inner": ("ffn.seq.layers.0", Kernel()),
    "outer": ("ffn.seq.layers.1", Kernel()),
}
_NORMS = {"attention_norm": "self_attention.layernorm", "feed_forward_norm": "ffn.layer_norm"}


def encoder_layers(theirs: str, ours: str, parts: Mapping[str, str]) -> Iterator[Entry]:
    """Table entries for one layer.

    Args:
        theirs: beginning of the names of its tensors in the checkpoint.
        ours: path of the `EncoderLayer` in the model.
        parts: the checkpoint's names of ``query``, ``key``, ``value``, ``output``, ``inner``,
            ``outer``, ``attention_norm`` and ``feed_forward_norm``.
    """
    for part, (path, kernel) in _LINEAR.items():
        yield from linear({f"{theirs}.{parts[part]}": f"{ours}.{path}"}, kernel=kernel)
    for part, path in _NORMS.items():
        yield from norms({f"{theirs}.{parts[part]}": f"{ours}.{path}"})
