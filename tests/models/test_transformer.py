"""The whole model: laws of padding and future, the cache, saving, options, and a first training."""

import io
import itertools
import warnings
from contextlib import redirect_stdout
from unittest.mock import ANY

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.errors import InputError
from keras_transformer.internals import keras_mask
from keras_transformer.layers.cache import grow
from keras_transformer.layers.positional import POSITION_KINDS

SIZES = {"num_layers": 2, "d_model": 8, "num_heads": 2, "dff": 16}
VOCABULARIES = {"input_vocab_size": 13, "target_vocab_size": 11}
POLICIES = ["float32", "mixed_float16", "mixed_bfloat16"]
TOLERANCE = {"float32": 1e-5, "mixed_float16": 1e-2, "mixed_bfloat16": 8e-2}

SOURCE = np.array([[2, 5, 6, 7, 3], [2, 9, 3, 0, 0]])
TARGET = np.array([[2, 5, 6, 7], [2, 9, 0, 0]])
REAL = TARGET != 0


def numbers(x):
    return tf.cast(tf.convert_to_tensor(x), tf.float32).numpy()


def make(**kwargs):
    return kt.Transformer(**{**SIZES, **VOCABULARIES, "max_length": 20, **kwargs})


def randomise(model):
    """Gives every weight a random value: fresh biases of 0 and scales of 1 hide mistakes."""
    rng = np.random.default_rng(7)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(scale=0.2, size=weight.shape))
    return model


def appended(ids, columns):
    return np.pad(ids, ((0, 0), (0, columns)))


# Of each value of each option at least one; the other kinds are slow.
USUAL = {
    *((positions, True, "float32") for positions in POSITION_KINDS),
    ("sinusoidal", False, "float32"),
    ("rotary", False, "float32"),
    ("sinusoidal", False, "mixed_float16"),
    ("rotary", True, "mixed_bfloat16"),
}


def every_kind():
    """Positions, ``norm_first`` and dtype, in all combinations."""
    for kind in itertools.product(POSITION_KINDS, (False, True), POLICIES):
        positions, norm_first, dtype = kind
        name = f"{positions}-{'pre' if norm_first else 'post'}-norm-{dtype}"
        yield pytest.param(kind, id=name, marks=() if kind in USUAL else pytest.mark.slow)


@pytest.fixture(scope="module", params=every_kind())
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(kind):
    """One model of every kind, with random weights; tests leave it as it is."""
    positions, norm_first, dtype = kind
    keras.utils.set_random_seed(7)
    return randomise(make(positions=positions, norm_first=norm_first, dtype=dtype))


@pytest.fixture(scope="module")
def tolerance(kind):
    return TOLERANCE[kind[2]]


@pytest.fixture(scope="module")
def answer(model):
    """Logits and all attention weights for the two pairs."""
    logits, scores = model((SOURCE, TARGET), return_attention_scores=True)
    return numbers(logits), {name: numbers(weights) for name, weights in scores.items()}


# Laws, for every kind of model


def test_padding_changes_no_logit(model, answer, tolerance):
    expected, _ = answer
    assert expected.shape == (2, 4, 11)
    padded = numbers(model((appended(SOURCE, 3), appended(TARGET, 2))))
    np.testing.assert_allclose(padded[:, :4][REAL], expected[REAL], rtol=0, atol=tolerance)
    alone = numbers(model((SOURCE[1:, :3], TARGET[1:, :2])))  # the second pair without its padding
    np.testing.assert_allclose(alone[0], expected[1, :2], rtol=0, atol=tolerance)


def test_the_future_changes_no_earlier_logit(model, answer, tolerance):
    expected, _ = answer
    changed = np.array([[2, 5, 10, 10], [2, 9, 10, 10]])
    logits = numbers(model((SOURCE, changed)))
    np.testing.assert_allclose(logits[:, :2], expected[:, :2], rtol=0, atol=tolerance)
    assert np.abs(logits[:, 2] - expected[:, 2]).max() > tolerance


def test_attention_rows_sum_to_one_over_real_keys(answer):
    _, scores = answer
    assert list(scores) == [
        "encoder_layer1",
        "encoder_layer2",
        "decoder_layer1_block1",
        "decoder_layer1_block2",
        "decoder_layer2_block1",
        "decoder_layer2_block2",
    ]
    causal = np.tri(4, dtype=bool)
    for name, weights in scores.items():
        ids = TARGET if name.endswith("block1") else SOURCE
        keep = (ids != 0)[:, np.newaxis, np.newaxis, :]
        if name.endswith("block1"):
            keep = keep & causal
        keep = np.broadcast_to(keep, weights.shape)
        assert (weights[~keep] == 0).all(), name
        np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-2)


def test_steps_with_a_cache_equal_the_call(model, answer, tolerance):
    expected, _ = answer
    cache = model.initial_cache(model.encode(tf.constant(SOURCE)))
    cache = grow(cache, 6)
    for position in range(TARGET.shape[1]):
        logits, cache = model.decode_step(
            tf.constant(TARGET[:, position : position + 1]), tf.constant(position), cache
        )
        assert logits.shape == (2, 1, 11)
        real = REAL[:, position]
        np.testing.assert_allclose(
            numbers(logits)[real, 0],
            expected[real, position],
            rtol=0,
            atol=max(1e-4, tolerance),
        )


# Laws that positions have no part in


@pytest.mark.parametrize(
    ("norm_first", "dtype"),
    [
        (False, "float32"),
        (True, "mixed_bfloat16"),
        pytest.param(True, "float32", marks=pytest.mark.slow),
        pytest.param(False, "mixed_bfloat16", marks=pytest.mark.slow),
        pytest.param(False, "mixed_float16", marks=pytest.mark.slow),
        pytest.param(True, "mixed_float16", marks=pytest.mark.slow),
    ],
)
def test_a_sentence_of_nothing_but_padding_gives_no_nan(norm_first, dtype):
    model = randomise(make(norm_first=norm_first, dtype=dtype))
    source, target = SOURCE.copy(), TARGET.copy()
    source[0], target[1] = 0, 0
    with tf.GradientTape() as tape:
        logits, scores = model((source, target), return_attention_scores=True)
        loss = kt.masked_loss(target, logits)
    assert np.isfinite(numbers(logits)).all()
    assert not np.any(scores["decoder_layer2_block2"][0])
    for gradient in tape.gradient(loss, model.trainable_weights):
        assert np.isfinite(numbers(gradient)).all()


# XLA, once for every kind of positions, norm and dtype


@pytest.mark.parametrize(
    "options",
    [
        {"positions": "sinusoidal"},
        {"positions": "learned", "norm_first": True},
        {"positions": "rotary", "share_embeddings": True, "tie_output": True},
        {"positions": "sinusoidal", "dtype": "mixed_float16"},
        {"positions": "rotary", "norm_first": True, "dtype": "mixed_bfloat16"},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_xla_equals_eager(options):
    if "share_embeddings" in options:
        options = {**options, "input_vocab_size": 11}
    model = randomise(make(num_layers=1, **options))
    compiled = tf.function(lambda s, t: model((s, t)), jit_compile=True)
    logits = compiled(tf.constant(SOURCE), tf.constant(TARGET))
    eager = numbers(model((SOURCE, TARGET)))[REAL]
    # XLA rounds elsewhere: each may err as much as the other does. Some random weights magnify it.
    exact = make(num_layers=1, **{**options, "dtype": "float32"})
    exact((SOURCE, TARGET))
    exact.set_weights(model.get_weights())
    rounding = np.abs(eager - numbers(exact((SOURCE, TARGET)))[REAL]).max()
    tolerance = TOLERANCE[options.get("dtype", "float32")] + rounding
    np.testing.assert_allclose(numbers(logits)[REAL], eager, rtol=0, atol=tolerance)


def test_a_compiled_step_equals_the_call():
    model = randomise(make(num_layers=1, positions="rotary", norm_first=True))
    step = tf.function(model.decode_step, jit_compile=True)
    expected = model((SOURCE, TARGET))
    cache = model.initial_cache(model.encode(tf.constant(SOURCE)))
    cache = grow(cache, 4)
    for position in range(4):
        tokens = tf.constant(TARGET[:, position : position + 1])
        logits, cache = step(tokens, tf.constant(position), cache)
        np.testing.assert_allclose(logits[0, 0], expected[0, position], rtol=0, atol=1e-4)


# Implementations of attention


@pytest.fixture(
    scope="module",
    params=[
        {"attention_implementation": "reference", "right_padded": True},
        pytest.param({"attention_implementation": "blockwise"}, marks=pytest.mark.slow),
        {"attention_implementation": "blockwise", "right_padded": True},
    ],
    ids=["reference-lengths", "blockwise-masks", "blockwise-lengths"],
)
def twins(request):
    """A model of the reference with masks, and one that computes attention in another way."""
    options = {"num_layers": 1, "positions": "rotary", "norm_first": True}
    model = randomise(make(**options))
    twin = make(**options, **request.param)
    twin.set_weights(model.get_weights())
    return model, twin


def logits_and_gradients(model, source, target, jit_compile=False):
    @tf.function(jit_compile=jit_compile)
    def call(source, target):
        with tf.GradientTape() as tape:
            logits, scores = model((source, target), return_attention_scores=True)
            loss = kt.masked_loss(target, logits)
        return logits, *tape.gradient(loss, model.trainable_weights), *scores.values()

    return call(tf.constant(source), tf.constant(target))


def test_every_implementation_gives_the_same_logits_weights_and_gradients(twins):
    source, target = np.pad(SOURCE, ((0, 1), (0, 0))), np.pad(TARGET, ((0, 1), (0, 0)))
    target[2, :2] = 2, 5  # a target without a source
    model, twin = twins
    expected = logits_and_gradients(model, source, target)
    for jit_compile in (False, True):
        actual = logits_and_gradients(twin, source, target, jit_compile)
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_allclose(numbers(a), numbers(b), rtol=0, atol=1e-5)


def test_every_implementation_obeys_the_laws_and_decodes_as_it_was_trained(twins):
    _, model = twins
    expected = numbers(model((SOURCE, TARGET)))
    padded = numbers(model((appended(SOURCE, 3), appended(TARGET, 2))))
    np.testing.assert_allclose(padded[:, :4][REAL], expected[REAL], rtol=0, atol=1e-5)
    changed = numbers(model((SOURCE, np.array([[2, 5, 10, 10], [2, 9, 10, 10]]))))
    np.testing.assert_allclose(changed[:, :2], expected[:, :2], rtol=0, atol=1e-5)
    cache = grow(model.initial_cache(model.encode(tf.constant(SOURCE))), 4)
    logits, _ = model.decode_step(tf.constant(TARGET[:, :1]), tf.constant(0), cache)
    np.testing.assert_allclose(logits[:, 0], expected[:, 0], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_every_implementation_trains_with_dropout(twins):
    _, model = twins
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=kt.masked_loss)
    losses = trained(model)["loss"]
    assert losses[-1] < 0.95 * losses[0]


# Positions


@pytest.mark.parametrize("kind", [kind for kind in POSITION_KINDS if kind != "none"])
def test_order_matters_with_positions(kind):
    model = randomise(make(positions=kind))
    swapped = SOURCE[:1, [0, 2, 1, 3, 4]]
    difference = numbers(model((SOURCE[:1], TARGET[:1]))) - numbers(model((swapped, TARGET[:1])))
    assert np.abs(difference).max() > 1e-3


def test_order_of_the_source_does_not_matter_without_positions():
    model = randomise(make(positions="none"))
    swapped = SOURCE[:1, [0, 2, 1, 3, 4]]
    np.testing.assert_allclose(
        model((SOURCE[:1], TARGET[:1])), model((swapped, TARGET[:1])), rtol=0, atol=1e-5
    )


# Configuration and errors


def test_config_round_trips():
    model = make(
        dropout_rate=0.3,
        attention_dropout_rate=0.2,
        residual_dropout_rate=0.1,
        layer_dropout_rate=0.3,
        token_dropout_rate=0.05,
        key_dim=6,
        activation="gelu",
        norm_first=True,
        layer_norm_epsilon=1e-4,
        positions="learned",
        input_vocab_size=11,
        share_embeddings=True,
        tie_output=True,
        attention_implementation="blockwise",
        right_padded=True,
        dtype="mixed_bfloat16",
        name="translator",
    )
    config = model.get_config()
    copy = kt.Transformer.from_config(config)
    assert copy.get_config() == config
    assert copy.name == "translator"
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(numbers(copy((SOURCE, TARGET))), numbers(model((SOURCE, TARGET))))
    for name, value in {
        "num_layers": 2,
        "dff": 16,
        "dropout_rate": 0.3,
        "attention_dropout_rate": 0.2,
        "residual_dropout_rate": 0.1,
        "layer_dropout_rate": 0.3,
        "token_dropout_rate": 0.05,
        "key_dim": 6,
        "activation": "gelu",
        "norm_first": True,
        "layer_norm_epsilon": 1e-4,
        "positions": "learned",
        "max_length": 20,
        "share_embeddings": True,
        "tie_output": True,
        "attention_implementation": "blockwise",
        "right_padded": True,
    }.items():
        assert config[name] == value


def test_the_sides_may_differ_in_depth(tmp_path):
    model = randomise(make(num_encoder_layers=3, num_decoder_layers=1))
    assert [len(model.encoder.enc_layers), len(model.decoder.dec_layers)] == [3, 1]
    _, scores = model((SOURCE, TARGET), return_attention_scores=True)
    assert set(scores) == {
        *("encoder_layer1", "encoder_layer2", "encoder_layer3"),
        *("decoder_layer1_block1", "decoder_layer1_block2"),
    }
    logits = numbers(model((SOURCE, TARGET)))
    cache = grow(model.initial_cache(model.encode(tf.constant(SOURCE))), TARGET.shape[1])
    for position in range(TARGET.shape[1]):
        tokens = tf.constant(TARGET[:, position : position + 1])
        step, cache = model.decode_step(tokens, tf.constant(position), cache)
        real = REAL[:, position]
        np.testing.assert_allclose(numbers(step)[real, 0], logits[real, position], atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(numbers(loaded((SOURCE, TARGET))), logits)


def test_num_layers_is_of_the_side_without_a_depth_of_its_own():
    depths = {
        (2, None, None): (2, 2),
        (2, 3, None): (3, 2),
        (2, None, 1): (2, 1),
        (None, 3, 1): (3, 1),
    }
    for (both, encoder, decoder), expected in depths.items():
        model = make(num_layers=both, num_encoder_layers=encoder, num_decoder_layers=decoder)
        assert (model.encoder.num_layers, model.decoder.num_layers) == expected
    assert make(num_encoder_layers=2).get_config() == {**make().get_config(), "name": ANY}
    with pytest.raises(InputError, match="needs num_layers"):
        make(num_layers=None, num_encoder_layers=3)


def test_arguments_reach_the_layers():
    model = make(
        dropout_rate=0.3,
        attention_dropout_rate=0.2,
        residual_dropout_rate=0.1,
        key_dim=6,
        attention_implementation="blockwise",
    )
    for layer in (*model.encoder.enc_layers, *model.decoder.dec_layers):
        assert layer.ffn.dropout_rate == 0.3
    sub_layers = [layer.self_attention for layer in model.encoder.enc_layers]
    for layer in model.decoder.dec_layers:
        sub_layers += [layer.causal_self_attention, layer.cross_attention]
    for attention in sub_layers:
        assert attention.dropout == 0.2
        assert attention.residual_dropout == 0.1
        assert attention.mha.query_dense.kernel.shape == (8, 2, 6)
        assert attention.mha.implementation == "blockwise"


@pytest.mark.parametrize("integer", [np.int64, np.array, tf.constant])
def test_numpy_and_tensorflow_integers_are_vocabulary_sizes(integer):
    model = make(input_vocab_size=integer(13), target_vocab_size=integer(11))
    assert (model.input_vocab_size, model.target_vocab_size) == (13, 11)
    kt.Transformer.from_config(model.get_config())
    assert model((SOURCE, TARGET)).shape == (2, 4, 11)


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"d_model \(10\) is not a multiple of num_heads \(4\)"):
        make(d_model=10, num_heads=4)
    with pytest.raises(ValueError, match=r"input_vocab_size=13 and target_vocab_size=11"):
        make(share_embeddings=True)
    with pytest.raises(ValueError, match="got 'circular'"):
        make(positions="circular")
    with pytest.raises(ValueError, match="21 tokens is longer than the 20 positions"):
        make()((np.ones((1, 21), int), TARGET[:1]))


# Weights


def parameters(*, layers=2, d=8, dff=16, width=8, source=13, target=11):
    """The count by hand: projections of all heads have the inner width `width`."""
    attention = 3 * (d * width + width) + (width * d + d) + 2 * d
    feed_forward = (d * dff + dff) + (dff * d + d) + 2 * d
    encoder = source * d + layers * (attention + feed_forward)
    decoder = target * d + layers * (2 * attention + feed_forward)
    return encoder + decoder + (d * target + target)


def test_an_id_beyond_the_vocabulary_is_named_in_one_line():
    model = make(input_vocab_size=20, target_vocab_size=30)
    source, target, labels = np.array([[2, 9, 3]]), np.array([[2, 5]]), np.array([[5, 3]])
    beyond = "has the id 40, and the model knows those from 0 to"
    with pytest.raises(InputError, match=f"{beyond} 19"):
        model((np.array([[2, 40]]), target))
    model.compile("adam", kt.masked_loss)
    with pytest.raises(InputError, match=f"{beyond} 19"):
        model.fit((np.array([[2, 40]]), target), labels, verbose=0)
    for x, y in (((source, np.array([[2, 40]])), labels), ((source, target), np.array([[5, 40]]))):
        with pytest.raises(InputError, match=f"{beyond} 29"):
            model.evaluate(x, y, verbose=0)
    with pytest.raises(InputError, match=f"{beyond} 19"):
        model.predict((np.array([[2, 40]]), target), verbose=0)


def test_weights_are_counted():
    assert make().count_params() == parameters()
    assert make(key_dim=8).count_params() == parameters(width=16)
    assert make(norm_first=True).count_params() == parameters() + 2 * (2 * 8)
    assert make(positions="learned").count_params() == parameters() + 2 * (20 * 8)
    assert make(positions="rotary").count_params() == parameters()
    shared = make(input_vocab_size=11, share_embeddings=True)
    assert shared.count_params() == parameters(source=11) - 11 * 8
    tied = make(tie_output=True)
    assert tied.count_params() == parameters() - (8 * 11 + 11)


def test_the_papers_sizes():
    """Section 6.1, table 3: 65 million parameters with a shared vocabulary of 37,000 tokens."""
    base = kt.Transformer(
        num_layers=6,
        d_model=512,
        num_heads=8,
        dff=2048,
        input_vocab_size=37_000,
        target_vocab_size=37_000,
        share_embeddings=True,
        tie_output=True,
    )
    assert base.count_params() == pytest.approx(65e6, rel=0.05)


def test_shared_and_tied_embeddings_are_one_variable(tmp_path):
    model = make(input_vocab_size=11, share_embeddings=True, tie_output=True)
    source, target = model.encoder.pos_embedding, model.decoder.pos_embedding
    assert source.embedding.embeddings is target.embedding.embeddings
    assert model.final_layer is None
    tables = [weight for weight in model.weights if weight.shape == (11, 8)]
    assert len(tables) == 1
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model((SOURCE, TARGET)) ** 2)
    assert np.abs(numbers(tape.gradient(loss, tables[0]))).max() > 0

    model.save(tmp_path / "shared.keras")
    copy = keras.saving.load_model(tmp_path / "shared.keras")
    np.testing.assert_array_equal(copy((SOURCE, TARGET)), model((SOURCE, TARGET)))
    copied = copy.encoder.pos_embedding.embedding.embeddings
    assert copied is copy.decoder.pos_embedding.embedding.embeddings
    assert len([weight for weight in copy.weights if weight.shape == (11, 8)]) == 1


def test_tied_logits_are_products_with_the_target_embedding():
    model = make(tie_output=True, num_layers=1)
    table = model.decoder.pos_embedding.embedding.embeddings
    context = model.encoder(SOURCE)
    x = model.decoder(TARGET, context)
    np.testing.assert_allclose(
        model((SOURCE, TARGET))[0], x.numpy()[0] @ table.numpy().T, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm_first": True, "positions": "learned"},
        {"positions": "rotary", "input_vocab_size": 11, "share_embeddings": True},
        {"tie_output": True, "activation": "gelu"},
    ],
    ids=["plain", "pre-norm-learned", "rotary-shared", "tied"],
)
def test_gradients_reach_every_weight(options):
    model = randomise(make(**options))
    with tf.GradientTape() as tape:
        loss = kt.masked_loss(np.roll(TARGET, -1), model((SOURCE, TARGET), training=False))
    gradients = tape.gradient(loss, model.trainable_weights)
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.path
        # A bias of plain keys adds the same to all scores of a query: the softmax ignores it.
        if not weight.path.endswith("key/bias"):
            assert np.abs(numbers(gradient)).max() > 1e-7, weight.path


# Saving


@pytest.mark.parametrize(
    "options",
    [{}, {"norm_first": True, "positions": "learned"}, {"dtype": "mixed_float16"}],
    ids=["plain", "pre-norm-learned", "half"],
)
def test_saved_models_give_equal_outputs(options, tmp_path):
    model = randomise(make(**options))
    expected = numbers(model((SOURCE, TARGET)))
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(copy, kt.Transformer)
    assert copy.dtype_policy.name == model.dtype_policy.name
    np.testing.assert_array_equal(numbers(copy((SOURCE, TARGET))), expected)

    model.save_weights(tmp_path / "model.weights.h5")
    other = randomise(make(**options))
    for weight in other.trainable_weights:
        weight.assign(weight * 0.5)
    assert np.abs(numbers(other((SOURCE, TARGET))) - expected).max() > 1e-2
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(numbers(other((SOURCE, TARGET))), expected)


def test_summary_shows_the_parts():
    text = io.StringIO()
    with redirect_stdout(text):
        make().summary()
    summary = text.getvalue()
    for part in ("Encoder", "Decoder", "Dense", f"{parameters():,}"):
        assert part in summary


# Training


def copy_task(rows=64, length=5):
    """The target repeats the source; some rows are padded."""
    rng = np.random.default_rng(1)
    words = rng.integers(4, 11, (rows, length))
    words[: rows // 4, -2:] = 0
    target_in = np.concatenate([np.full((rows, 1), 2), words[:, :-1]], axis=1)
    return (words, target_in), words


def trained(model, epochs=4, **kwargs):
    inputs, labels = copy_task()
    history = model.fit(inputs, labels, batch_size=16, epochs=epochs, verbose=0, **kwargs)
    return history.history


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param("float32", marks=pytest.mark.slow),
        "mixed_bfloat16",
        pytest.param("mixed_float16", marks=pytest.mark.slow),
    ],
)
def test_fit_lowers_the_loss_under_every_dtype_policy(policy):
    model = make(num_layers=1, d_model=16, dtype=policy)
    model.compile(
        optimizer=keras.optimizers.Adam(0.01), loss=kt.masked_loss, metrics=[kt.masked_accuracy]
    )
    assert model.jit_compile is False
    history = trained(model)
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert set(history) == {"loss", "masked_accuracy"}
    assert all(weight.dtype == "float32" for weight in model.trainable_weights)


@pytest.mark.slow
def test_fit_with_xla_objects_and_a_schedule_then_save_and_load(tmp_path):
    model = make(num_layers=1, d_model=16)
    model.compile(
        optimizer=keras.optimizers.Adam(kt.CustomSchedule(16, 20), beta_2=0.98, epsilon=1e-9),
        loss=kt.MaskedLoss(label_smoothing=0.1),
        metrics=[kt.MaskedAccuracy()],
        jit_compile=True,
    )
    history = trained(model)
    assert history["loss"][-1] < 0.95 * history["loss"][0]
    assert set(history) == {"loss", "masked_accuracy"}

    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copy = keras.saving.load_model(tmp_path / "model.keras")
    assert copy.compiled
    assert copy.jit_compile is True
    assert copy.loss.label_smoothing == 0.1
    assert copy.optimizer.iterations == model.optimizer.iterations == 16
    schedule = copy.optimizer.get_config()["learning_rate"]["config"]
    assert schedule == {"d_model": 16, "warmup_steps": 20, "scale": 1.0}
    for old, new in zip(model.optimizer.variables, copy.optimizer.variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_loss_of_fit_is_that_of_real_tokens():
    """Keras must not average the masked loss over padding once more."""
    model = make(num_layers=1, dropout_rate=0.0)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=kt.masked_loss)
    inputs, labels = copy_task()
    reported = model.evaluate(inputs, labels, batch_size=64, verbose=0)
    log_probabilities = tf.nn.log_softmax(model(inputs)).numpy()
    picked = np.take_along_axis(log_probabilities, labels[..., np.newaxis], axis=-1)[..., 0]
    assert reported == pytest.approx(-picked[labels != 0].mean(), rel=1e-5)


def test_a_model_compiled_with_the_tutorials_functions_loads(tmp_path):
    model = make(num_layers=1)
    model.compile(optimizer="adam", loss=kt.masked_loss, metrics=[kt.masked_accuracy])
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert copy.compiled
    assert copy.jit_compile is False
    assert copy.loss is kt.masked_loss
    inputs, labels = copy_task()
    reported = copy.evaluate(inputs, labels, batch_size=64, verbose=0)
    logits = model(inputs)
    expected = [kt.masked_loss(labels, logits), kt.masked_accuracy(labels, logits)]
    np.testing.assert_allclose(reported, expected, rtol=1e-5)


def test_logits_carry_no_mask_for_keras_to_weigh_the_loss_by():
    for options in ({}, {"tie_output": True}):
        assert keras_mask(make(num_layers=1, **options)((SOURCE, TARGET))) is None


def test_compile_leaves_xla_off_unless_asked():
    model = make()
    for asked, expected in (
        ({}, False),
        ({"jit_compile": "auto"}, False),
        ({"jit_compile": True}, True),
    ):
        model.compile(optimizer="adam", loss=kt.masked_loss, **asked)
        assert model.jit_compile is expected


def test_dropout_acts_in_training_alone():
    model = make(dropout_rate=0.5)
    inputs = (SOURCE, TARGET)
    np.testing.assert_array_equal(model(inputs), model(inputs, training=False))
    assert np.abs(model(inputs) - model(inputs, training=True)).max() > 1e-2


def test_predict_and_cross_attention_scores():
    model = randomise(make())
    inputs = (SOURCE, TARGET)
    np.testing.assert_allclose(model.predict(inputs, verbose=0), model(inputs), atol=1e-5)
    scores = model.cross_attention_scores(tf.constant(SOURCE), tf.constant(TARGET))
    assert scores.shape == (2, 2, 4, 5)
    _, every = model(inputs, return_attention_scores=True)
    np.testing.assert_array_equal(scores, every["decoder_layer2_block2"])
    np.testing.assert_array_equal(scores, model.decoder.dec_layers[-1].last_attn_scores)


@pytest.mark.slow
def test_a_compiled_fit_traces_nothing_after_its_first_epoch():
    """Two shapes of batches, three epochs."""
    traced = []

    def loss(y, y_pred):
        traced.append(y_pred.shape)
        return kt.masked_loss(y, y_pred)

    def batches():
        for columns in (0, 4, 0, 4):
            source, target = appended(SOURCE, columns), appended(TARGET, columns)
            yield (source, target), target

    ids = tf.TensorSpec((2, None), tf.int64)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=((ids, ids), ids))
    model = make(dropout_rate=0.1, right_padded=True)
    model.compile("adam", loss=loss, jit_compile=True)
    model.fit(dataset, epochs=1, verbose=0)
    first = len(traced)
    model.fit(dataset, epochs=2, verbose=0)
    assert 0 < len(traced) == first
