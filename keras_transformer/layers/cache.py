"""Buffers that decoding fills position by position.

What changes of a cache is a dictionary, ``steps``: ``keys_values``, for every layer two buffers
``(batch * heads, slots, key_dim)`` with a slot for each position and beam; and, with several beams
or a prompt, ``past``, which slots each beam continues, ``(batch, beams, slots)`` bool. A beam that
continues another one takes over its row of ``past``; keys and values stay where they are.
"""

import tensorflow as tf

from keras_transformer.internals import compiled_by_xla, xla_update_slice


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


def with_slots(buffer, slots):
    """The buffer, ``(n, slots, width)``, with zeros after its end up to `slots`."""
    return tf.pad(buffer, [[0, 0], [0, slots - tf.shape(buffer)[1]], [0, 0]])


def grow_steps(steps, room, first=0) -> dict:
    """Room for more positions, all of it zeros.

    Args:
        steps: see above.
        room: number of positions, those there is room for among them.
        first: slots that stand before those of the first position.
    """
    slots = first + room * (tf.shape(steps["past"])[1] if "past" in steps else 1)
    grown = {
        "keys_values": tf.nest.map_structure(
            lambda part: with_slots(part, slots), steps["keys_values"]
        )
    }
    if "past" in steps:
        more = slots - tf.shape(steps["past"])[2]
        grown["past"] = tf.pad(steps["past"], [[0, 0], [0, 0], [0, more]])
    return grown


def select_beams(cache, parents) -> dict:
    """What is left after every beam has chosen which beam it continues.

    Args:
        cache: ``context`` and ``steps``.
        parents: numbers of the continued beams, ``(batch, beams)``.
    """
    steps = cache["steps"]
    past = tf.gather(steps["past"], parents, batch_dims=1)
    return {"context": cache["context"], "steps": {**steps, "past": past}}


def select_rows(cache, rows) -> dict:
    """What there is of some rows of the batch.

    Args:
        cache: ``context``, nested tensors with rows first and a ``mask`` among them, and ``steps``.
        rows: their numbers, ``(some rows,)``.
    """
    context, steps = cache["context"], cache["steps"]
    batch = tf.shape(context["mask"])[0]

    def select_heads(part):
        all_heads, slots, key_dim = tf.unstack(tf.shape(part))
        by_row = tf.reshape(part, (batch, all_heads // batch, slots, key_dim))
        return tf.reshape(
            tf.gather(by_row, rows), (tf.size(rows) * (all_heads // batch), slots, key_dim)
        )

    selected = {"keys_values": tf.nest.map_structure(select_heads, steps["keys_values"])}
    if "past" in steps:
        selected["past"] = tf.gather(steps["past"], rows)
    context = tf.nest.map_structure(lambda part: tf.gather(part, rows), context)
    return {"context": context, "steps": selected}


def with_own_slots(past, slot):
    """Lets each beam see its own slot of a position.

    Args:
        past: ``(batch, beams, slots)`` bool.
        slot: scalar int32, that of the first beam; those of the others follow.
    """
    _, beams, slots = tf.unstack(tf.shape(past))
    own = slot + tf.range(beams)[:, tf.newaxis]
    seen = past | (tf.range(slots) == own)
    seen.set_shape(past.shape)  # which broadcasting forgets where there is one beam
    return seen
