"""The cache of decoding: what a model has computed of the source and of the target tokens so far.

A cache is a dictionary of two entries:

- ``context``: constant nested tensors with rows first, such as the keys and values of the source;
- ``steps``: a dictionary of nested tensors that every step replaces, ``(batch, beams, ...)`` each,
  such as the states of a recurrent decoder. One entry has another form: ``keys_values``, nested
  buffers ``(batch * heads, slots, key_dim)`` with a slot for each position and beam, in this order;
  slots of a prompt may stand before them.

With several beams or a prompt, ``steps`` with ``keys_values`` also has ``past``, which slots each
beam attends to, ``(batch, beams, slots)`` bool. A beam that continues another one takes over its
row of ``past``; keys and values are not copied.

`initial_steps` makes ``steps`` with empty buffers, `grow` adds room, `write_slots` and
`with_own_slots` add a step, and `select_beams` and `select_rows` reorder beams and drop rows.
"""

import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.internals import compiled_by_xla, xla_update_slice


def initial_steps(num_layers, batch, num_heads, key_dim, dtype, beam_size=1) -> dict:
    """``steps`` of a decoder with self-attention, with room for no position yet.

    Args:
        num_layers: number of layers.
        batch: number of rows, a number or a tensor.
        num_heads, key_dim: heads of a layer, and size of a head.
        dtype: of keys and values.
        beam_size: number of beams of each row; a tensor means several.

    Returns:
        ``keys_values``, a pair of buffers for each layer; and ``past`` with several beams only.
    """
    empty = tf.zeros((batch * num_heads, 0, key_dim), dtype)
    steps: dict = {"keys_values": [(empty, empty) for _ in range(num_layers)]}
    if tf.is_tensor(beam_size) or beam_size > 1:
        steps["past"] = tf.zeros((batch, beam_size, 0), tf.bool)
    return steps


def grow(cache, positions) -> dict:
    """Adds room for more positions, filled with zeros.

    Args:
        cache: see above.
        positions: number of positions to add.
    """
    steps = cache["steps"]
    if "keys_values" not in steps:
        return cache  # states take no more room as the target grows
    slots = positions * (tf.shape(steps["past"])[1] if "past" in steps else 1)
    grown = {
        "keys_values": tf.nest.map_structure(
            lambda buffer: tf.pad(buffer, [[0, 0], [0, slots], [0, 0]]), steps["keys_values"]
        )
    }
    if "past" in steps:
        grown["past"] = tf.pad(steps["past"], [[0, 0], [0, 0], [0, slots]])
    return {**cache, "steps": {**steps, **grown}}


def select_beams(cache, parents) -> dict:
    """The cache whose beam ``i`` continues beam ``parents[:, i]``.

    Args:
        cache: see above.
        parents: numbers of beams, ``(batch, beams)``.

    Raises:
        ValueError: for ``keys_values`` without ``past``, which cannot tell beams apart.
    """
    steps = cache["steps"]
    if "keys_values" in steps and "past" not in steps:
        raise InputError("keys_values of several beams need past: see cache.initial_steps.")
    selected = {
        key: part
        if key == "keys_values"
        else tf.nest.map_structure(lambda part: tf.gather(part, parents, batch_dims=1), part)
        for key, part in steps.items()
    }
    return {**cache, "steps": selected}


def select_rows(cache, rows) -> dict:
    """The cache of some rows of the batch.

    Args:
        cache: see above, with a tensor besides ``keys_values``.
        rows: numbers of rows, ``(some rows,)``.
    """
    steps = dict(cache["steps"])
    buffers = steps.pop("keys_values", {})
    rows_first = {"context": cache["context"], "steps": steps}
    batch = tf.shape(tf.nest.flatten(rows_first)[0])[0]

    def select_heads(buffer):
        all_heads, slots, key_dim = tf.unstack(tf.shape(buffer))
        by_row = tf.reshape(buffer, (batch, all_heads // batch, slots, key_dim))
        return tf.reshape(
            tf.gather(by_row, rows), (tf.size(rows) * (all_heads // batch), slots, key_dim)
        )

    selected = tf.nest.map_structure(lambda part: tf.gather(part, rows), rows_first)
    if buffers:
        selected["steps"]["keys_values"] = tf.nest.map_structure(select_heads, buffers)
    return {**cache, **selected}


def write_slots(buffer, new, start):
    """Writes along the second axis, in place where nothing else uses the buffer.

    Args:
        buffer: ``(n, slots, width)``.
        new: ``(n, some slots, width)``.
        start: scalar int32, the first slot to write.

    Returns:
        the buffer with `new` in it.
    """
    begin = tf.stack([0, start, 0])
    if compiled_by_xla():
        return xla_update_slice(buffer, new, begin)
    return tf.raw_ops.TensorStridedSliceUpdate(
        input=buffer,
        begin=begin,
        end=tf.stack([0, start + tf.shape(new)[1], 0]),
        strides=[1, 1, 1],
        value=new,
        begin_mask=0b101,  # the first and the last axis in full
        end_mask=0b101,
    )


def with_own_slots(past, slot):
    """Adds to ``past`` the slot of each beam at one position.

    Args:
        past: which slots each beam attends to, ``(batch, beams, slots)`` bool.
        slot: scalar int32, the slot of the first beam; those of the others follow.
    """
    _, beams, slots = tf.unstack(tf.shape(past))
    own = slot + tf.range(beams)[:, tf.newaxis]
    visible = past | (tf.range(slots) == own)
    visible.set_shape(past.shape)  # which broadcasting forgets where there is one beam
    return visible
