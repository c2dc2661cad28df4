"""GPT: the laws of future and padding, the cache, the search from prompts, saving and training."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.decoding.search import Search
from keras_transformer.layers.cache import grow
from keras_transformer.losses.masked import masked_loss
from keras_transformer.models.gpt import GPT
from keras_transformer.special_tokens import END, START

SIZES = {"vocab_size": 13, "num_layers": 2, "d_model": 8, "num_heads": 2, "max_length": 24}
KINDS = pytest.mark.parametrize("positions", ["learned", "rotary", "sinusoidal"])
PROMPTS = np.array([[2, 5, 6, 7, 4], [2, 0, 0, 0, 0], [2, 9, 8, 0, 0]])
LENGTHS = np.count_nonzero(PROMPTS, axis=1)
BEAMS = {"beam_size": 3, "n_best": 3, "length_penalty": 0.0}


def numbers(x):
    return tf.cast(x, tf.float32).numpy()


@functools.cache  # built once for all tests, which leave them as they are
def make(**options):
    """A model with random weights: fresh biases of 0 and scales of 1 hide mistakes."""
    keras.utils.set_random_seed(7)
    model = GPT(**{**SIZES, **options})
    rng = np.random.default_rng(7)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(scale=0.3, size=weight.shape))
    return model


def logits_of(model, ids):
    return numbers(model(np.asarray(ids)[np.newaxis]))[0]


@functools.cache  # traced once
def search_of(model, jit_compile=False, **options):
    config = DecodingConfig(**options)
    return Search(model, start_id=START, end_id=END, config=config, jit_compile=jit_compile)


def found_by(model, prompts, limits=6, jit_compile=False, streams=None, **options):
    search = search_of(model, jit_compile, **options)
    found = search(prompts, np.broadcast_to(limits, len(prompts)), seed=3, streams=streams)
    return [part.numpy() for part in found]


# The call


@KINDS
def test_neither_padding_nor_what_comes_later_changes_earlier_logits(positions):
    model = make(positions=positions)
    expected = numbers(model(PROMPTS))
    assert expected.shape == (3, 5, 13)
    for row, length in zip(range(3), LENGTHS, strict=True):
        alone = logits_of(model, PROMPTS[row, :length])
        np.testing.assert_allclose(alone, expected[row, :length], rtol=0, atol=1e-5)
    changed = PROMPTS.copy()
    changed[:, 3:] = 11
    np.testing.assert_allclose(model(changed)[:, :3], expected[:, :3], rtol=0, atol=1e-5)
    assert np.abs(model(changed)[0, 3:] - expected[0, 3:]).max() > 0.1


@KINDS
def test_order_matters(positions):
    model = make(positions=positions)
    last = logits_of(model, [2, 5, 6, 4])[-1] - logits_of(model, [2, 6, 5, 4])[-1]
    assert np.abs(last).max() > 1e-3


def test_attention_weights_are_those_of_every_layer():
    model = make()
    logits, scores = model(PROMPTS, return_attention_scores=True)
    np.testing.assert_array_equal(logits, model(PROMPTS))
    assert [weights.shape for weights in scores] == [(3, 2, 5, 5)] * 2
    for weights in scores:
        assert not np.triu(weights, k=1).any()
        np.testing.assert_allclose(np.sum(weights, axis=-1), 1, atol=1e-5)


def test_logits_are_products_of_the_output_with_the_embedding():
    model = make()
    kernel, bias, transposed = model.output_projection()
    assert (bias, transposed) == (None, True)
    products = tf.matmul(model.decoder_output(PROMPTS), kernel, transpose_b=True)
    np.testing.assert_allclose(model(PROMPTS), products, rtol=0, atol=1e-5)


def test_a_text_longer_than_its_positions_is_refused():
    with pytest.raises(ValueError, match="25 tokens is longer than the 24 positions"):
        make()(np.ones((1, 25), int))
    make(positions="rotary")(np.ones((1, 25), int))


# The cache


@pytest.mark.parametrize(
    "options",
    [{}, {"positions": "rotary"}, {"positions": "sinusoidal", "dtype": "mixed_bfloat16"}],
    ids=["learned", "rotary", "bfloat16"],
)
def test_steps_with_a_cache_equal_the_call(options):
    """Three prompts of different lengths, two beams of each that go on differently."""
    model = make(**options)
    tokens = np.random.default_rng(7).integers(4, 13, (3, 2, 4))
    texts = np.zeros((3, 2, 9), int)
    for row, length in enumerate(LENGTHS):
        texts[row, :, :length] = PROMPTS[row, :length]
        texts[row, :, length : length + 4] = tokens[row]
    expected = numbers(model(texts.reshape(6, 9))).reshape(3, 2, 9, 13)
    cache = model.initial_cache(model.encode(tf.constant(PROMPTS)), 2)
    cache = grow(cache, 5)
    step = np.full((3, 2), START)
    for p in range(5):
        logits, cache = model.decode_step(tf.constant(step), tf.constant(p), cache)
        np.testing.assert_allclose(
            numbers(logits),
            expected[range(3), :, LENGTHS - 1 + p],
            rtol=0,
            atol=0.15 if "dtype" in options else 1e-4,
        )
        step = tokens[:, :, min(p, 3)]


# The search


@pytest.mark.parametrize("positions", ["learned", pytest.param("rotary", marks=pytest.mark.slow)])
def test_greedy_search_is_the_most_probable_token_again_and_again(positions):
    model = make(positions=positions)
    tokens, scores, *_ = found_by(model, PROMPTS)
    for row, length in enumerate(LENGTHS):
        text, score = list(PROMPTS[row, :length]), 0.0
        for _ in range(6):
            logits = tf.nn.log_softmax(logits_of(model, text)[-1]).numpy()
            best = 1 + int(np.argmax(logits[1:]))  # padding is impossible
            text.append(best)
            score += logits[best] - np.log(-np.expm1(logits[0]))
            if best == END:
                break
        continuation = [token for token in tokens[row, 0] if token]
        assert continuation == text[length:]
        np.testing.assert_allclose(scores[row, 0], score, atol=1e-4)
    padded = np.pad(PROMPTS, ((0, 0), (0, 4)))
    np.testing.assert_array_equal(found_by(model, padded)[0], tokens)


@pytest.mark.parametrize(
    ("positions", "options"),
    [
        ("learned", BEAMS),
        pytest.param("rotary", BEAMS, marks=pytest.mark.slow),
        pytest.param(
            "rotary",
            {"sampling": True, "n_best": 2, "temperature": 1.5},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["beams-learned", "beams-rotary", "samples-rotary"],
)
def test_prompts_side_by_side_go_on_as_each_alone(positions, options):
    model = make(positions=positions)
    together = found_by(model, PROMPTS, limits=[6, 4, 5], **options)
    for row, length in enumerate(LENGTHS):
        alone = found_by(
            model,
            PROMPTS[row : row + 1, :length],
            limits=[6, 4, 5][row],
            streams=[row],
            **options,
        )
        for part, expected in zip(together, alone, strict=True):
            part = part[row : row + 1]
            if part.ndim == 3:
                part = part[:, :, : expected.shape[2]]
            np.testing.assert_allclose(part, expected, rtol=0, atol=1e-4)


def test_scores_of_beams_are_those_of_the_call():
    model = make(positions="learned")
    tokens, scores, *_ = found_by(model, PROMPTS, **BEAMS)
    assert (np.diff(scores, axis=1) <= 0).all()
    for row, length in enumerate(LENGTHS):
        for beam in range(3):
            continuation = [int(token) for token in tokens[row, beam] if token]
            logits = logits_of(model, [*PROMPTS[row, :length], *continuation])[length - 1 : -1]
            logits[:, 0] = -1e9
            each = tf.nn.log_softmax(logits).numpy()[np.arange(len(continuation)), continuation]
            np.testing.assert_allclose(scores[row, beam], each.sum(), atol=1e-4)


@pytest.mark.parametrize(
    "options", [pytest.param({}, marks=pytest.mark.slow), BEAMS], ids=["greedy", "beams"]
)
def test_xla_equals_the_plain_graph(options):
    model = make(positions="learned")
    compiled = found_by(model, PROMPTS, jit_compile=True, **options)
    for actual, expected in zip(compiled, found_by(model, PROMPTS, **options), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)


def test_a_row_at_the_end_of_its_positions_does_not_stop_others():
    """The long one is done after two tokens, and the cache runs on past its last position."""
    model = make(positions="learned")
    prompts = np.pad(PROMPTS, ((0, 0), (0, 17)))
    prompts[0] = 5
    limits = np.array([2, 20, 20])
    tokens = found_by(model, prompts, limits)[0]
    alone = found_by(model, PROMPTS[1:], limits[1:])[0]
    np.testing.assert_array_equal(tokens[1:], alone)
    assert np.count_nonzero(tokens, axis=-1).ravel().tolist() == [2, 20, 20]


# What it is made of


def parameters(vocab_size, num_layers, d_model, max_length):
    attention = 4 * (d_model * d_model + d_model)
    feed_forward = 8 * d_model * d_model + 5 * d_model
    layer = attention + feed_forward + 4 * d_model  # and two norms
    return (vocab_size + max_length) * d_model + num_layers * layer + 2 * d_model


def test_it_has_as_many_parameters_as_published():
    assert make().count_params() == parameters(13, 2, 8, 24)
    assert parameters(50_257, 12, 768, 1024) == 124_439_808


@pytest.mark.slow
def test_the_default_model_is_gpt2():
    assert GPT(vocab_size=50_257).count_params() == 124_439_808


def test_weights_start_as_published():
    model = GPT(vocab_size=300, num_layers=8, d_model=64, num_heads=4, tie_output=False)
    block, other = model.stack.enc_layers[:2]
    projections = [block.self_attention.mha.output_dense, block.ffn.seq.layers[1]]
    for weight, expected in (
        (model.target_embedding.embeddings, 0.02),
        (model.pos_embedding.pos_encoding, 0.02),
        (model.final_layer.kernel, 0.02),
        (block.self_attention.mha.query_dense.kernel, 0.02),
        (block.ffn.seq.layers[0].kernel, 0.02),
        *((layer.kernel, 0.02 / 4) for layer in projections),
    ):
        np.testing.assert_allclose(np.std(weight), expected, rtol=0.05)
    assert not np.any(block.self_attention.mha.query_dense.bias)
    assert np.abs(block.ffn.seq.layers[0].kernel - other.ffn.seq.layers[0].kernel).max() > 0.01
    keras.utils.set_random_seed(3)
    first = GPT(**SIZES).get_weights()
    keras.utils.set_random_seed(3)
    for one, same in zip(first, GPT(**SIZES).get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("rates", [{"dropout_rate": 0.5}, {"attention_dropout_rate": 0.5}])
def test_dropout_is_for_training(rates):
    model = GPT(**SIZES, **{"dropout_rate": 0.0, **rates})
    assert model.get_config().items() >= rates.items()
    np.testing.assert_array_equal(model(PROMPTS), model(PROMPTS, training=False))
    assert np.abs(model(PROMPTS, training=True) - model(PROMPTS)).max() > 0
    layer = model.stack.enc_layers[0].self_attention
    assert layer.residual_dropout == rates.get("dropout_rate", 0.0)


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "mixed_bfloat16"},
        {"positions": "rotary", "tie_output": False, "norm_first": False, "dff": 12},
        {"positions": "sinusoidal", "output_bias": True, "residual_dropout_rate": 0.3},
    ],
    ids=["bfloat16", "rotary", "biased"],
)
def test_it_is_saved_and_loaded(options, tmp_path):
    model = make(**options)
    model.save(tmp_path / "gpt.keras")
    loaded = keras.saving.load_model(tmp_path / "gpt.keras")
    assert type(loaded) is GPT
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(numbers(loaded(PROMPTS)), numbers(model(PROMPTS)))
    model.save_weights(tmp_path / "gpt.weights.h5")
    other = GPT(**{**SIZES, **options})
    other.load_weights(tmp_path / "gpt.weights.h5")
    np.testing.assert_array_equal(numbers(other(PROMPTS)), numbers(model(PROMPTS)))


@pytest.mark.parametrize(
    "dtype", ["mixed_bfloat16", pytest.param("float32", marks=pytest.mark.slow)]
)
def test_it_learns_with_fit(dtype):
    model = GPT(**{**SIZES, "num_layers": 1}, dropout_rate=0.1, dtype=dtype)
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=masked_loss)
    texts = np.array([[2, 5, 6, 7, 3, 0], [2, 9, 8, 10, 11, 3]] * 4)
    inputs, labels = texts[:, :-1], texts[:, 1:]
    losses = model.fit(inputs, labels, epochs=15, batch_size=8, verbose=0).history["loss"]
    assert losses[0] > 2
    assert losses[-1] < 1


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="not a multiple of num_heads"):
        GPT(vocab_size=13, d_model=9, num_heads=2)
    with pytest.raises(ValueError, match="positions is one of"):
        GPT(**{**SIZES, "positions": "relative"})
