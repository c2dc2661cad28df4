"""The older edition's forms of the names that clash: same mathematics, its own ways of calling."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer import edition_2019
from keras_transformer.edition_2019 import (
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    MultiHeadAttention,
    Transformer,
    create_look_ahead_mask,
    create_masks,
    create_padding_mask,
    positional_encoding,
)
from keras_transformer.layers.cache import grow

SHAPE = {"d_model": 16, "num_heads": 2, "dff": 32}
VOCABULARIES = {"input_vocab_size": 23, "target_vocab_size": 19}
SOURCE = tf.constant([[2, 7, 9, 5, 3], [2, 8, 3, 0, 0]], tf.int64)
TARGET = tf.constant([[2, 5, 6, 4], [2, 9, 0, 0]], tf.int64)


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(2019)


def vectors(batch, length):
    return tf.random.normal((batch, length, SHAPE["d_model"]))


def make_model(**kwargs):
    return settled(Transformer(num_layers=2, **SHAPE, **VOCABULARIES, **kwargs))


def settled(model):
    """Weights away from their initial values: biases of zero would hide mistakes."""
    for weight in model.trainable_weights:
        weight.assign_add(0.1 * tf.random.normal(weight.shape))
    return model


def same_dropout(layer):
    """Dropout layers count their calls; set them back, so that the next call drops the same."""
    for number, state in enumerate(layer.non_trainable_variables):
        state.assign([number, 0])


def assert_close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


def differ(a, b):
    return float(tf.reduce_max(tf.abs(a - b))) > 1e-3


# ---------------------------------------------------------------------------------- the formulas


def test_positional_encoding_is_the_papers_formula_with_a_leading_axis():
    encoding = positional_encoding(50, 12)
    assert encoding.shape == (1, 50, 12)
    assert encoding.dtype == tf.float32
    for position, i in ((0, 0), (1, 0), (3, 2), (49, 5)):
        angle = position / 10000 ** (2 * i / 12)
        assert_close(encoding[0, position, 2 * i], np.sin(angle))
        assert_close(encoding[0, position, 2 * i + 1], np.cos(angle))


def test_every_name_of_the_edition_can_be_imported_and_the_unchanged_ones_are_shared():
    names = {}
    exec("from keras_transformer.edition_2019 import *", names)
    changed = ["Decoder", "DecoderLayer", "Encoder", "EncoderLayer", "Transformer", "Translator"]
    changed.append("positional_encoding")
    unchanged = [
        "CustomSchedule",
        "ExportTranslator",
        "MultiHeadAttention",
        "create_look_ahead_mask",
        "create_masks",
        "create_padding_mask",
        "get_angles",
        "plot_attention_head",
        "plot_attention_weights",
        "point_wise_feed_forward_network",
        "print_translation",
        "scaled_dot_product_attention",
    ]
    assert set(unchanged + changed) == set(edition_2019.__all__) == set(names) - {"__builtins__"}
    for name in unchanged:
        assert names[name] is getattr(kt, name), name
    for name in changed:
        assert names[name] is not getattr(kt, name), name


@pytest.mark.parametrize("training", [False, True])
def test_dropout_stands_where_the_edition_has_it(training):
    """The outputs of both sub-layers are dropped, attention weights never are."""
    x = vectors(2, 6)
    layer = settled(EncoderLayer(**SHAPE, rate=0.999999))
    plain = settled(EncoderLayer(**SHAPE, rate=0.0))
    plain.build(x.shape)
    layer.build(x.shape)
    plain.set_weights(layer.get_weights())
    output = layer(x, training, None)
    attention, feed_forward = layer.self_attention, layer.ffn
    # Where both outputs are dropped only the two normalisations are left.
    expected = feed_forward.layer_norm(attention.layernorm(x)) if training else plain(x, 0, None)
    assert_close(output, expected, 1e-4)
    assert attention.mha.dropout == 0
    assert not differ(layer.last_attn_scores, plain.self_attention.mha(x, x, x)[1])


# ------------------------------------------------------------- the same as the layers of today


def same_model_of_2022(model):
    twin = kt.Transformer(
        num_layers=2,
        **SHAPE,
        **VOCABULARIES,
        positions="interleaved",
        layer_norm_epsilon=1e-6,
    )
    twin.set_weights(model.get_weights())
    return twin


def test_the_model_equals_the_one_of_2022_with_its_weights_and_options():
    model = make_model()
    logits, weights = model([SOURCE, TARGET], False)
    expected, scores = same_model_of_2022(model)(
        (SOURCE, TARGET), training=False, return_attention_scores=True
    )
    assert_close(logits, expected)
    assert sorted(weights) == [
        f"decoder_layer{layer}_block{block}" for layer in (1, 2) for block in (1, 2)
    ]
    for name, value in weights.items():
        assert_close(value, scores[name])


def test_the_encoder_layer_equals_the_one_of_2022():
    x, mask = vectors(2, 5), create_padding_mask(SOURCE)
    layer, twin = EncoderLayer(**SHAPE), kt.EncoderLayer(**SHAPE, layer_norm_epsilon=1e-6)
    layer.build(x.shape)
    twin.build(x.shape)
    twin.set_weights(settled(layer).get_weights())
    assert_close(layer(x, False, mask), twin(x, x_mask=SOURCE != 0))
    assert differ(layer(x, False, mask), layer(x, False, None))


def test_the_decoder_layer_equals_the_one_of_2022():
    x, context = vectors(2, 4), vectors(2, 5)
    layer, twin = DecoderLayer(**SHAPE), kt.DecoderLayer(**SHAPE, layer_norm_epsilon=1e-6)
    layer.build(x.shape, context.shape)
    twin.build(x.shape, context.shape)
    twin.set_weights(settled(layer).get_weights())
    _, combined_mask, padding_mask = create_masks(SOURCE, TARGET)
    output, block1, block2 = layer(x, context, False, combined_mask, padding_mask)
    expected = twin(x, context=context, x_mask=TARGET != 0, context_mask=SOURCE != 0)
    assert_close(output, expected)
    assert_close(block1, twin.causal_self_attention.last_attn_scores)
    assert_close(block2, twin.last_attn_scores)


# ------------------------------------------------------------------------------------- the masks


def test_the_model_makes_the_masks_that_create_masks_makes():
    model = make_model()
    own, own_weights = model([SOURCE, TARGET], False)
    given, given_weights = model(SOURCE, TARGET, False, *create_masks(SOURCE, TARGET))
    assert_close(own, given)
    for name, value in own_weights.items():
        assert_close(value, given_weights[name])
    padding_mask, look_ahead_mask = model.create_masks(SOURCE, TARGET)
    expected_padding, expected_look_ahead, _ = create_masks(SOURCE, TARGET)
    assert_close(padding_mask, expected_padding)
    assert_close(look_ahead_mask, expected_look_ahead)


CALLS = {
    "2021": lambda model, inp, tar: model([inp, tar], False)[0],
    "2019": lambda model, inp, tar: model(inp, tar, False, *create_masks(inp, tar))[0],
}


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("form", CALLS)
def test_padding_at_the_end_of_either_side_changes_nothing_real(form, dtype):
    call = CALLS[form]
    model = make_model(dtype=dtype)
    logits = call(model, SOURCE, TARGET)
    assert np.isfinite(logits).all()
    padded = call(model, tf.pad(SOURCE, [[0, 0], [0, 3]]), tf.pad(TARGET, [[0, 0], [0, 2]]))
    real = (TARGET != 0).numpy()
    tolerance = {"float32": 1e-5, "mixed_float16": 1e-2, "mixed_bfloat16": 1e-1}[dtype]
    assert_close(padded[:, : TARGET.shape[1]].numpy()[real], logits.numpy()[real], tolerance)


@pytest.mark.parametrize("form", CALLS)
def test_a_later_target_token_changes_no_earlier_logit(form):
    call, model = CALLS[form], make_model()
    other = tf.constant([[2, 5, 6, 11], [2, 9, 0, 0]], tf.int64)
    logits, changed = call(model, SOURCE, TARGET), call(model, SOURCE, other)
    assert_close(logits[:, :3], changed[:, :3])
    assert differ(logits[:, 3], changed[:, 3])


def test_a_mask_of_none_hides_nothing_in_the_model():
    model = make_model()
    logits, weights = model(SOURCE, TARGET, False, None, None, None)
    assert all(tf.reduce_all(value > 0) for value in weights.values())  # the future and padding
    other = tf.constant([[2, 5, 6, 11], [2, 9, 0, 0]], tf.int64)
    assert differ(logits[:, 0], model(SOURCE, other, False, None, None, None)[0][:, 0])
    zeros = [tf.zeros_like(mask) for mask in create_masks(SOURCE, TARGET)]
    assert_close(logits, model(SOURCE, TARGET, False, *zeros)[0])


def test_each_mask_is_used_where_its_name_says():
    model = make_model()
    masks = create_masks(SOURCE, TARGET)
    logits, weights = model(SOURCE, TARGET, False, *masks)
    for i, block in ((1, "block1"), (2, "block2")):
        some = [None if number == i else mask for number, mask in enumerate(masks)]
        _, changed = model(SOURCE, TARGET, False, *some)
        other = {"block1": "block2", "block2": "block1"}[block]
        assert tf.reduce_all(changed[f"decoder_layer1_{block}"] > 0)
        assert tf.reduce_any(changed[f"decoder_layer1_{other}"] == 0)
    # Without the first the encoder looks at padding, and the decoder still does not.
    loose, changed = model(SOURCE, TARGET, False, None, *masks[1:])
    assert_close(changed["decoder_layer1_block1"], weights["decoder_layer1_block1"])
    assert tf.reduce_all(changed["decoder_layer1_block2"][1, :, :, 3:] == 0)
    assert tf.reduce_all(model.encoder.enc_layers[0].last_attn_scores > 0)
    assert_close(loose[0], logits[0])  # a row without padding
    assert differ(loose[1], logits[1])


def test_a_mask_of_none_is_not_replaced_by_the_one_keras_attached():
    x = kt.PositionalEmbedding(23, SHAPE["d_model"])(SOURCE)
    assert x._keras_mask is not None
    bare = tf.constant(x.numpy())
    layer = EncoderLayer(**SHAPE)
    assert_close(layer(x, False, None), layer(bare, False, None))
    assert tf.reduce_all(layer.last_attn_scores > 0)
    decoder_layer, y = DecoderLayer(**SHAPE), vectors(2, 4)
    assert_close(
        decoder_layer(y, x, False, None, None)[0], decoder_layer(y, bare, False, None, None)[0]
    )


def test_outputs_carry_no_mask_of_keras():
    encoder, decoder = Encoder(2, **SHAPE, input_vocab_size=23), make_model().decoder
    mask = create_padding_mask(SOURCE)
    encoded = encoder(SOURCE, False, mask)
    outputs = [
        encoded,
        EncoderLayer(**SHAPE)(encoded, False, mask),
        decoder(TARGET, encoded, False, None, mask)[0],
        make_model()([SOURCE, TARGET], False)[0],
    ]
    assert [getattr(output, "_keras_mask", None) for output in outputs] == [None] * 4


@pytest.mark.parametrize("batch", [1, 3, 4])  # 4: as many rows as positions
def test_a_look_ahead_mask_of_rank_2_is_query_by_key(batch):
    x, context = vectors(batch, 4), vectors(batch, 5)
    layer = DecoderLayer(**SHAPE)
    mask = create_look_ahead_mask(4)
    output, block1, _ = layer(x, context, False, mask, None)
    full = tf.tile(mask[tf.newaxis, tf.newaxis], (batch, 1, 1, 1))
    assert_close(output, layer(x, context, False, full, None)[0])
    np.testing.assert_array_equal(block1 == 0, tf.broadcast_to(mask == 1, block1.shape))


def test_bool_masks_mean_keep():
    x, context = vectors(2, 4), vectors(2, 5)
    layer = DecoderLayer(**SHAPE)
    _, combined_mask, padding_mask = create_masks(SOURCE, TARGET)
    hidden = layer(x, context, False, combined_mask, padding_mask)[0]
    assert_close(hidden, layer(x, context, False, combined_mask == 0, SOURCE != 0)[0])
    assert differ(hidden, layer(x, context, False, None, None)[0])


# ----------------------------------------------------------------------------- the forms of calls


def shapes_of(outputs):
    return tf.nest.map_structure(lambda tensor: tuple(tensor.shape), outputs)


def test_constructors_take_arguments_by_position():
    assert EncoderLayer(16, 2, 32, 0.2).get_config()["rate"] == 0.2
    assert DecoderLayer(16, 2, 32, 0.2).get_config()["rate"] == 0.2
    encoder = Encoder(2, 16, 4, 32, 23, 100, 0.2)
    decoder = Decoder(2, 16, 4, 32, 19, 90, 0.2)
    for stack, vocab_size, positions in ((encoder, 23, 100), (decoder, 19, 90)):
        assert stack.pos_embedding.embedding.input_dim == vocab_size
        assert stack.pos_embedding.pos_encoding.shape == (positions, 16)
        assert stack.dropout.rate == 0.2
        assert stack.num_layers == 2
        assert stack.num_heads == 4
        assert stack.dff == 32
    model = Transformer(3, 16, 4, 32, 23, 19, 100, 90, 0.2)
    assert len(model.encoder.enc_layers) == len(model.decoder.dec_layers) == 3
    assert model.get_config()["pe_input"] == 100
    assert model.get_config()["pe_target"] == 90
    assert model.encoder.dropout.rate == model.decoder.dropout.rate == 0.2
    attention = MultiHeadAttention(16, 4)
    assert (attention.d_model, attention.num_heads) == (16, 4)


def test_multi_head_attention_calls():
    attention, y = MultiHeadAttention(d_model=16, num_heads=4), vectors(1, 6)
    output, weights = attention(y, k=y, q=y, mask=None)
    assert output.shape == (1, 6, 16)
    assert weights.shape == (1, 4, 6, 6)
    assert_close(output, attention(y, y, y, None)[0])


LAYERS = {
    "EncoderLayer": lambda: EncoderLayer(**SHAPE, rate=0.5),
    "Encoder": lambda: Encoder(2, **SHAPE, input_vocab_size=23, rate=0.5),
    "DecoderLayer": lambda: DecoderLayer(**SHAPE, rate=0.5),
    "Decoder": lambda: Decoder(2, **SHAPE, target_vocab_size=19, rate=0.5),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_training_and_masks_may_stand_by_position_or_by_name(kind, training, masked):
    layer = LAYERS[kind]()
    enc_mask, combined_mask, dec_mask = create_masks(SOURCE, TARGET)
    if kind.startswith("Encoder"):
        tensors = {"x": SOURCE if kind == "Encoder" else vectors(2, 5)}
        masks = {"mask": enc_mask}
    else:
        tensors = {"x": TARGET if kind == "Decoder" else vectors(2, 4)}
        tensors["enc_output"] = vectors(2, 5)
        masks = {"look_ahead_mask": combined_mask, "padding_mask": dec_mask}
    if not masked:
        masks = dict.fromkeys(masks)

    def output(*args, **kwargs):
        same_dropout(layer)
        return tf.nest.flatten(layer(*args, **kwargs))[0]

    by_position = output(*tensors.values(), training, *masks.values())
    assert_close(by_position, output(**masks, **tensors, training=training))
    x, *context = tensors.values()
    assert_close(by_position, output(x, *context, training=training, **masks))
    assert differ(by_position, output(*tensors.values(), not training, *masks.values()))


def test_the_decoder_layer_gives_three_values_and_the_decoder_a_dictionary():
    x, context = vectors(2, 4), vectors(2, 5)
    assert shapes_of(DecoderLayer(**SHAPE)(x, context, False, None, None)) == (
        (2, 4, 16),
        (2, 2, 4, 4),
        (2, 2, 4, 5),
    )
    decoder = Decoder(3, **SHAPE, target_vocab_size=19)
    output, weights = decoder(
        TARGET, enc_output=context, training=False, look_ahead_mask=None, padding_mask=None
    )
    assert output.shape == (2, 4, 16)
    assert shapes_of(weights) == {
        f"decoder_layer{layer}_block{block}": (2, 2, 4, {1: 4, 2: 5}[block])
        for layer in (1, 2, 3)
        for block in (1, 2)
    }
    block1 = decoder.dec_layers[1].causal_self_attention.last_attn_scores
    assert_close(weights["decoder_layer2_block1"], block1)


def test_the_model_is_called_in_every_form():
    model = make_model(rate=0.5)
    masks = create_masks(SOURCE, TARGET)
    names = ("enc_padding_mask", "look_ahead_mask", "dec_padding_mask")
    by_name = dict(zip(names, masks, strict=True))
    forms = {
        "list, training by position": lambda t: model([SOURCE, TARGET], t),
        "list, training by name": lambda t: model([SOURCE, TARGET], training=t),
        "tuple": lambda t: model((SOURCE, TARGET), training=t),
        "inputs by name": lambda t: model(inputs=[SOURCE, TARGET], training=t),
        "2019 by position": lambda t: model(SOURCE, TARGET, t, *masks),
        "2019 masks by name": lambda t: model(SOURCE, TARGET, training=t, **by_name),
        "2019 all by name": lambda t: model(inp=SOURCE, tar=TARGET, training=t, **by_name),
    }
    results = {}
    for training in (False, True):
        for name, form in forms.items():
            same_dropout(model)
            results[name] = form(training)[0]
            assert_close(results[name], results["list, training by position"])
        results[training] = results["tuple"]
    assert differ(results[False], results[True])


def test_explicit_masks_beside_a_list_win_over_the_models_own():
    model = make_model()
    nothing_hidden = tf.zeros((1, 1, 1, 1))
    _, weights = model([SOURCE, TARGET], look_ahead_mask=nothing_hidden)
    assert tf.reduce_all(weights["decoder_layer1_block1"] > 0)
    assert tf.reduce_any(weights["decoder_layer1_block2"] == 0)


def test_calls_that_leave_out_a_mask_are_refused():
    """Two tensors and no masks: guessing would let the decoder see the future."""
    model, x = make_model(), vectors(2, 4)
    with pytest.raises(TypeError, match="dec_padding_mask"):
        model(SOURCE, TARGET, False, None, None)
    with pytest.raises(TypeError, match="look_ahead_mask"):
        model(SOURCE, TARGET, training=True)
    with pytest.raises(TypeError, match="padding_mask"):
        DecoderLayer(**SHAPE)(x, x, False, None)
    with pytest.raises(TypeError, match="mask"):
        EncoderLayer(**SHAPE)(x, False)


def test_calls_work_inside_a_graph_of_unknown_shapes():
    model = make_model()
    ids = tf.TensorSpec((None, None), tf.int64)

    @tf.function(input_signature=[ids, ids])
    def call(inp, tar):
        return model(inp, tar, False, *create_masks(inp, tar))[0], model([inp, tar], False)[0]

    given, own = call(SOURCE, TARGET)
    expected = model([SOURCE, TARGET], False)[0]
    assert_close(given, expected)
    assert_close(own, expected)


def test_positions_end_where_the_arguments_say():
    model = make_model(pe_input=6, pe_target=4)
    assert model.max_length == 4
    model([tf.pad(SOURCE, [[0, 0], [0, 1]]), TARGET], False)
    with pytest.raises(ValueError, match="4 positions"):
        model([SOURCE, tf.pad(TARGET, [[0, 0], [0, 1]])], False)
    with pytest.raises(ValueError, match="6 positions"):
        model([tf.pad(SOURCE, [[0, 0], [0, 2]]), TARGET], False)
    assert make_model().max_length == 2048


@pytest.mark.parametrize("integer", [np.int64, tf.constant])
def test_vocabulary_sizes_may_be_integers_of_numpy_or_tensorflow(integer):
    model = Transformer(1, 16, 2, 32, integer(23), integer(19))
    assert model([SOURCE, TARGET], False)[0].shape == (2, 4, 19)
    assert type(model.get_config()["input_vocab_size"]) is int
    assert type(model.get_config()["target_vocab_size"]) is int


# ---------------------------------------------------------------------- decoding, saving, loading


def test_cached_steps_equal_the_call():
    model = make_model()
    target = tf.constant([[2, 5, 6, 4, 8], [2, 9, 7, 7, 4]], tf.int64)
    expected = model([SOURCE, target], False)[0]
    cache = model.initial_cache(model.encode(SOURCE))
    cache = grow(cache, 7)
    for position in range(target.shape[1]):
        logits, cache = model.decode_step(
            target[:, position : position + 1], tf.constant(position), cache
        )
        assert_close(logits[:, 0], expected[:, position])


def test_greedy_search_takes_what_the_call_finds_best():
    model = make_model()
    found = kt.Search(model, start_id=2, end_id=3, jit_compile=False)(SOURCE, [6, 6])
    target = tf.fill((2, 1), tf.constant(2, tf.int64))
    for _ in range(6):
        logits = model([SOURCE, target], False)[0][:, -1, 1:]  # [PAD] is never an answer
        target = tf.concat([target, 1 + tf.argmax(logits, axis=-1)[:, tf.newaxis]], axis=1)
    for row, full in zip(found.tokens.numpy()[:, 0], target.numpy()[:, 1:], strict=True):
        length = np.count_nonzero(row)
        assert list(row[:length]) == list(full[:length])
        assert length == 6 or row[length - 1] == 3


def test_the_model_saves_and_loads(tmp_path):
    model = make_model(pe_input=60, pe_target=50, rate=0.3)
    expected = model([SOURCE, TARGET], False)[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is Transformer
    assert type(loaded.encoder) is Encoder
    assert type(loaded.decoder.dec_layers[0]) is DecoderLayer
    assert loaded.get_config() == model.get_config()
    assert_close(loaded([SOURCE, TARGET], False)[0], expected)

    model.save_weights(tmp_path / "model.weights.h5")
    fresh = Transformer.from_config(model.get_config())
    assert differ(fresh([SOURCE, TARGET], False)[0], expected)
    fresh.load_weights(tmp_path / "model.weights.h5")
    assert_close(fresh([SOURCE, TARGET], False)[0], expected)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: EncoderLayer(16, 2, 32, 0.3, name="mine"),
        lambda: DecoderLayer(16, 2, 32, 0.3, dtype="mixed_bfloat16"),
        lambda: Encoder(2, 16, 2, 32, 23, 70, 0.3),
        lambda: Decoder(2, 16, 2, 32, 19, 70, 0.3),
        lambda: Transformer(2, 16, 2, 32, 23, 19, 70, 60, 0.3, name="mine"),
    ],
)
def test_configurations_round_trip(layer):
    layer = layer()
    config = layer.get_config()
    copy = type(layer).from_config(config)
    assert copy.get_config() == config
    serialized = keras.saving.serialize_keras_object(layer)
    assert serialized["registered_name"] == f"keras_transformer.edition_2019>{type(layer).__name__}"
    assert type(keras.saving.deserialize_keras_object(serialized)) is type(layer)


def test_a_layer_serves_in_a_functional_model(tmp_path):
    x = keras.Input((None, 16))
    model = keras.Model(x, EncoderLayer(**SHAPE)(x, False, None))
    model.save(tmp_path / "layer.keras")
    values = vectors(2, 5)
    loaded = keras.models.load_model(tmp_path / "layer.keras")
    assert_close(loaded(values), model(values))
