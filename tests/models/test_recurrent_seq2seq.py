"""Recurrent sequence to sequence: padding and future, the cache, search, saving, training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.config import DecodingConfig
from keras_transformer.decoding.search import Search
from keras_transformer.layers.cache import grow, select_beams, select_rows
from keras_transformer.models.recurrent_seq2seq import RecurrentSeq2Seq
from keras_transformer.special_tokens import END, PAD, START
from keras_transformer.training.step import TrainingStep
from keras_transformer.training.validation import ValidationStep

VOCABULARIES = {"input_vocab_size": 13, "target_vocab_size": 11}
TOLERANCE = {"float32": 1e-5, "mixed_float16": 1e-2, "mixed_bfloat16": 8e-2}
VARIANTS = {
    "sutskever": {"kind": "lstm", "attention": None, "bidirectional": False, "num_layers": 2},
    "cho": {"attention": None, "context": "every_step"},
    "bahdanau": {"attention": "additive"},
    "luong dot": {"kind": "lstm", "attention": "dot", "bidirectional": False, "tie_output": True},
    "luong general": {"kind": "lstm", "attention": "general", "num_layers": 2},
    "luong concat": {"kind": "rnn", "attention": "concat", "embedding_size": 6},
    "input feeding": {"attention": "scaled_dot", "bidirectional": False, "input_feeding": True},
    "deep": {"num_layers": 3, "skip_connections": True, "attention_units": 5, "kind": "lstm"},
}
EVERY_VARIANT = pytest.mark.parametrize("name", VARIANTS)


def variants(*names):
    """Every variant; those that are not named as slow ones."""
    return [
        pytest.param(name, marks=() if name in names else pytest.mark.slow) for name in VARIANTS
    ]


WITH_ATTENTION = pytest.mark.parametrize(
    "name", [name for name, options in VARIANTS.items() if options.get("attention", True)]
)

SOURCE = np.array([[2, 5, 6, 7, 3], [2, 9, 3, 0, 0]])
TARGET = np.array([[2, 5, 6, 7], [2, 9, 0, 0]])
REAL = TARGET != 0
LIMIT = 8


def numbers(x):
    return tf.cast(tf.convert_to_tensor(x), tf.float32).numpy()


def randomise(model):
    """Gives every weight a random value: fresh biases of 0 hide mistakes."""
    rng = np.random.default_rng(7)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(scale=0.4, size=weight.shape))
    return model


def make(name="bahdanau", **kwargs):
    return RecurrentSeq2Seq(**{"units": 8, **VOCABULARIES, **VARIANTS[name], **kwargs})


def appended(ids, columns):
    return np.pad(ids, ((0, 0), (0, columns)))


# Laws, for every variant


def with_dtypes(*dtypes):
    """Every variant in float32; in half precision all but two as slow ones."""
    return pytest.mark.parametrize(
        ("name", "dtype"),
        [
            pytest.param(
                name,
                dtype,
                marks=()
                if dtype == "float32" or name in ("bahdanau", "deep")
                else pytest.mark.slow,
            )
            for name in VARIANTS
            for dtype in dtypes
        ],
    )


@with_dtypes(*TOLERANCE)
def test_neither_padding_nor_the_future_matters(name, dtype):
    keras.utils.set_random_seed(7)  # how much a change is heard depends on the initial weights
    model, tolerance = randomise(make(name, dtype=dtype)), TOLERANCE[dtype]
    expected = numbers(model((SOURCE, TARGET)))
    assert expected.shape == (2, 4, 11)
    padded = numbers(model((appended(SOURCE, 3), appended(TARGET, 2))))
    np.testing.assert_allclose(padded[:, :4][REAL], expected[REAL], rtol=0, atol=tolerance)
    alone = numbers(model((SOURCE[1:, :3], TARGET[1:, :2])))
    np.testing.assert_allclose(alone[0], expected[1, :2], rtol=0, atol=tolerance)
    changed = numbers(model((SOURCE, np.array([[2, 5, 8, 8], [2, 9, 8, 8]]))))
    np.testing.assert_allclose(changed[:, :2], expected[:, :2], rtol=0, atol=tolerance)
    assert np.abs(changed[:, 2] - expected[:, 2]).max() > tolerance
    other = numbers(model((np.array([[2, 8, 8, 8, 3], [2, 8, 3, 0, 0]]), TARGET)))
    assert np.abs(other - expected).max() > tolerance, "the source is heard"


@with_dtypes("float32", "mixed_bfloat16")
def test_steps_equal_the_call(name, dtype):
    model = randomise(make(name, dtype=dtype))
    expected = numbers(model((SOURCE, TARGET)))
    cache = model.initial_cache(model.encode(tf.constant(SOURCE)))
    cache = grow(cache, 6)
    for position in range(4):
        tokens = tf.constant(TARGET[:, position : position + 1])
        logits, cache = model.decode_step(tokens, tf.constant(position), cache)
        assert logits.shape == (2, 1, 11)
        np.testing.assert_allclose(
            numbers(logits)[:, 0],
            expected[:, position],
            rtol=0,
            atol=1e-4 if dtype == "float32" else TOLERANCE[dtype],
        )


@EVERY_VARIANT
def test_beams_and_rows_of_the_cache_are_independent(name):
    """A beam that continues another one gives what the other's tokens give."""
    model = randomise(make(name))
    cache = grow(model.initial_cache(model.encode(tf.constant(SOURCE)), 3), 6)
    first = np.array([[2, 5, 6], [9, 2, 7]])
    parents = np.array([[2, 0, 2], [1, 1, 0]])
    second = np.array([[4, 5, 6], [7, 8, 9]])
    _, cache = model.decode_step(tf.constant(first), tf.constant(0), cache)
    cache = select_beams(cache, tf.constant(parents))
    cache = select_rows(cache, tf.constant([1, 0]))
    logits, _ = model.decode_step(tf.constant(second[::-1].copy()), tf.constant(1), cache)
    for row in range(2):
        for beam in range(3):
            target = np.array([[first[row, parents[row, beam]], second[row, beam]]])
            expected = model((SOURCE[row : row + 1], target))[0, 1]
            np.testing.assert_allclose(logits[1 - row, beam], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", variants("bahdanau"))
def test_xla_equals_eager_with_gradients(name):
    model = randomise(make(name))

    def logits_and_gradients(source, target):
        with tf.GradientTape() as tape:
            logits = model((source, target))
            loss = tf.reduce_sum(tf.where((target != 0)[..., tf.newaxis], logits, 0.0) ** 2)
        gradients = tape.gradient(loss, model.trainable_weights)
        return logits, [tf.convert_to_tensor(gradient) for gradient in gradients]

    expected, gradients = logits_and_gradients(tf.constant(SOURCE), tf.constant(TARGET))
    compiled = tf.function(logits_and_gradients, jit_compile=True)
    logits, found = compiled(tf.constant(SOURCE), tf.constant(TARGET))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
    for weight, gradient, same in zip(model.trainable_weights, found, gradients, strict=True):
        assert np.abs(same).max() > 1e-7, weight.path
        np.testing.assert_allclose(gradient, same, rtol=1e-3, atol=1e-3)


@EVERY_VARIANT
def test_a_sentence_of_nothing_but_padding_gives_no_nan(name):
    model = randomise(make(name))
    source, target = SOURCE.copy(), TARGET.copy()
    source[0], target[1] = 0, 0
    with tf.GradientTape() as tape:
        logits = model((source, target))
        loss = kt.masked_loss(target, logits)
    assert np.isfinite(logits).all()
    for gradient in tape.gradient(loss, model.trainable_weights):
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()
    assert not np.any(model.cross_attention_scores(tf.constant(source), tf.constant(target))[0])


# Attention


@WITH_ATTENTION
def test_attention_weights_lie_on_the_source(name):
    model = randomise(make(name))
    _, scores = model((SOURCE, TARGET), return_attention_scores=True)
    weights = numbers(scores["decoder"])
    assert weights.shape == (2, 1, 4, 5)
    assert not weights[1, :, :, 3:].any()
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)
    again = model.cross_attention_scores(tf.constant(SOURCE), tf.constant(TARGET))
    np.testing.assert_array_equal(again, weights)


def test_without_attention_the_weights_are_zeros():
    for name in ("sutskever", "cho"):
        scores = make(name).cross_attention_scores(tf.constant(SOURCE), tf.constant(TARGET))
        assert scores.shape == (2, 1, 4, 5)
        assert not np.any(scores)


def test_cho_by_hand():
    """One context vector, which every state and every output hears."""
    model = randomise(make("cho", kind="rnn"))
    decoder = model.decoder
    _, ((last,),) = model.encoder(SOURCE)
    table = numbers(decoder.embedding.embeddings)
    kernel, recurrent, bias = (numbers(weight) for weight in decoder.stack.weights)
    summary, summary_bias = (numbers(weight) for weight in decoder.summary.weights)
    output, output_bias = (numbers(weight) for weight in decoder.vector.weights)
    bridge, bridge_bias = (numbers(weight) for weight in decoder.bridges[0].weights)
    s = np.tanh(numbers(last) @ bridge + bridge_bias)
    c = np.tanh(numbers(last) @ summary + summary_bias)
    expected = []
    for position in range(4):
        y = table[TARGET[:, position]]
        s = np.tanh(bias + s @ recurrent + y @ kernel + c @ numbers(decoder.context_kernel))
        expected.append(np.tanh(np.concatenate([s, y, c], axis=-1) @ output + output_bias))
    vectors = model.decoder_output((SOURCE, TARGET))
    np.testing.assert_allclose(vectors, np.stack(expected, axis=1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("input_feeding", [False, True])
def test_the_dot_product_by_hand(input_feeding):
    """Luong's decoder, one layer of the equations of the paper after another."""
    model = randomise(make("luong dot", kind="rnn", input_feeding=input_feeding))
    memory, ((h,),) = model.encoder(SOURCE)
    table = numbers(model.decoder.embedding.embeddings)
    kernel, recurrent, bias = (numbers(weight) for weight in model.decoder.stack.weights)
    w_c = numbers(model.decoder.vector.kernel)
    memory, s, vector, feeding = numbers(memory), numbers(h), np.zeros((2, 8)), np.zeros((8, 8))
    if input_feeding:
        feeding = numbers(model.decoder.feeding_kernel)
    expected = []
    for position in range(4):
        y = table[TARGET[:, position]]
        s = np.tanh(bias + s @ recurrent + y @ kernel + vector @ feeding)
        scores = np.exp(np.einsum("bu,bsu->bs", s, memory)) * (SOURCE != 0)
        context = np.einsum("bs,bsu->bu", scores / scores.sum(axis=1, keepdims=True), memory)
        vector = np.tanh(np.concatenate([context, s], axis=-1) @ w_c)
        expected.append(vector @ table.T)
    logits = model((SOURCE, TARGET))
    np.testing.assert_allclose(logits, np.stack(expected, axis=1), rtol=0, atol=1e-4)


def test_bahdanau_by_hand():
    """The state before looks at the source; what it finds goes into the state and the output."""
    model = randomise(make("bahdanau", kind="rnn"))
    decoder = model.decoder
    memory, ((last,),) = model.encoder(SOURCE)
    table = numbers(decoder.embedding.embeddings)
    kernel, recurrent, bias = (numbers(weight) for weight in decoder.stack.weights)
    w, u, v = (numbers(weight) for weight in decoder.attend.weights)
    output, output_bias = (numbers(weight) for weight in decoder.vector.weights)
    bridge, bridge_bias = (numbers(weight) for weight in decoder.bridges[0].weights)
    memory, s = numbers(memory), np.tanh(numbers(last) @ bridge + bridge_bias)
    expected = []
    for position in range(4):
        y = table[TARGET[:, position]]
        scores = np.exp(np.tanh((s @ w)[:, np.newaxis] + memory @ u) @ v[:, 0]) * (SOURCE != 0)
        context = np.einsum("bs,bsu->bu", scores / scores.sum(axis=1, keepdims=True), memory)
        s = np.tanh(bias + s @ recurrent + y @ kernel + context @ numbers(decoder.context_kernel))
        expected.append(np.tanh(np.concatenate([s, y, context], axis=-1) @ output + output_bias))
    vectors = model.decoder_output((SOURCE, TARGET))
    np.testing.assert_allclose(vectors, np.stack(expected, axis=1), rtol=0, atol=1e-4)


# Search


def found_by(model, source, jit_compile=False, limits=LIMIT, **options):
    search = Search(
        model,
        start_id=START,
        end_id=END,
        config=DecodingConfig(**options),
        jit_compile=jit_compile,
    )
    found = search(source, np.broadcast_to(limits, (len(source),)))
    return type(found)(*(part.numpy() for part in found))


def log_probabilities(model, source, tokens):
    """Of what follows the start and some tokens, ``(vocab,)``, by the whole model."""
    logits = model((source[np.newaxis], np.array([[START, *tokens]])))[0, -1].numpy()
    logits[PAD] = -1e9  # padding is no token
    return tf.nn.log_softmax(logits).numpy()


def plain_beam(model, source, beams):
    """Beam search in plain Python without a cache: the best ``(tokens, score)`` by mean score."""
    live, ended = [([], 0.0)], []
    for position in range(LIMIT):
        candidates = []
        for tokens, score in live:
            log_p = log_probabilities(model, source, tokens)
            candidates += [([*tokens, token], score + log_p[token]) for token in range(1, 11)]
        candidates = sorted(candidates, key=lambda candidate: -candidate[1])[: 2 * beams]
        last = position + 1 == LIMIT
        ended += [c for c in candidates[:beams] if c[0][-1] == END or last]
        live = [c for c in candidates if c[0][-1] != END][:beams]
        if len(ended) >= beams:
            break

    return max(ended, key=lambda candidate: candidate[1] / len(candidate[0]))


@pytest.mark.parametrize("name", variants("bahdanau"))
def test_greedy_search_says_what_the_model_says(name):
    model = randomise(make(name))
    found = found_by(model, SOURCE)
    for row in range(2):
        tokens = []
        while len(tokens) < LIMIT and tokens[-1:] != [END]:
            tokens.append(int(np.argmax(log_probabilities(model, SOURCE[row], tokens))))
        assert found.tokens[row, 0, : len(tokens)].tolist() == tokens
        assert not found.tokens[row, 0, len(tokens) :].any()


@pytest.mark.parametrize("name", variants("cho", "input feeding"))
def test_beam_search_finds_what_a_plain_one_finds(name):
    model = randomise(make(name))
    found = found_by(model, SOURCE, beam_size=3, length_penalty=1.0)
    for row in range(2):
        tokens, score = plain_beam(model, SOURCE[row], 3)
        assert found.tokens[row, 0, : len(tokens)].tolist() == tokens
        assert not found.tokens[row, 0, len(tokens) :].any()
        assert found.scores[row, 0] == pytest.approx(score, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sutskever", "cho", "bahdanau", "input feeding"])
@pytest.mark.parametrize("beam_size", [1, 3])
def test_search_under_xla_equals_the_plain_graph(name, beam_size):
    model = randomise(make(name))
    source = np.concatenate([SOURCE] * 3)
    limits = [8, 3, 5, 60, 0, 1]  # rows leave at different steps, and the room for tokens grows
    plain = found_by(model, source, limits=limits, beam_size=beam_size)
    compiled = found_by(model, source, jit_compile=True, limits=limits, beam_size=beam_size)
    np.testing.assert_array_equal(compiled.tokens, plain.tokens)
    np.testing.assert_allclose(compiled.scores, plain.scores, atol=1e-3)
    assert not plain.tokens[4].any()


@pytest.fixture(scope="module")
def tokenizers(tiny_corpus):
    return kt.train_tokenizers(tiny_corpus, vocab_size=300)


def translating(name, tokenizers, **options):
    model = make(
        name,
        max_length=20,
        input_vocab_size=tokenizers.source.get_vocab_size(),
        target_vocab_size=tokenizers.target.get_vocab_size(),
    )
    return kt.Translator(tokenizers, randomise(model), **options)


LINES = ["uma casa", "duas", "a casa é grande"]


def test_a_translator_translates(tokenizers):
    results = translating("bahdanau", tokenizers).translate(LINES, beam_size=4, attention=True)
    assert len(results) == 3
    for result in results:
        assert result.attention.shape[0] == 1
        assert result.attention.shape[1] == len(result.tokens) - 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sutskever", "cho", "bahdanau", "input feeding"])
def test_what_is_exported_translates_alike(name, tokenizers, tmp_path):
    translator = translating(name, tokenizers, jit_compile=False)
    expected = translator.translate(LINES, beam_size=4)
    compiled = kt.Translator(tokenizers, translator.transformer, jit_compile=True)
    exported = kt.Translator.load(kt.export(translator, tmp_path / "model"))
    for other in (compiled, exported):
        for found, same in zip(other.translate(LINES, beam_size=4), expected, strict=True):
            assert found.text == same.text
            assert found.score == pytest.approx(same.score, abs=1e-3)
    greedy = translator.translate(LINES, attention=True)
    for found, same in zip(exported.translate(LINES, attention=True), greedy, strict=True):
        assert found.tokens == same.tokens
        np.testing.assert_allclose(found.attention, same.attention, rtol=0, atol=1e-4)


# Teacher forcing and scheduled sampling


def test_scheduled_sampling_replaces_tokens_in_training_alone():
    model = randomise(make(scheduled_sampling=0.9, dropout_rate=0.0))
    inputs = (SOURCE, TARGET)
    np.testing.assert_array_equal(model(inputs), model(inputs, training=False))
    target = np.tile(TARGET[:1], (64, 1))
    target[32:, 3:] = 0
    source = np.tile(SOURCE[:1], (64, 1))
    tokens = model.replace_with_predictions(tf.constant(target), model.encode(source)).numpy()
    assert (tokens[:, 0] == target[:, 0]).all()
    assert not tokens[32:, 3:].any()
    assert 0.2 < (tokens[:, 1:3] != target[:, 1:3]).mean() <= 0.95
    for row in tokens[:32]:  # what is not the teacher's is the model's own answer to what it reads
        logits = model((source[:1], row[np.newaxis]))[0].numpy()
        own = np.argmax(logits, axis=-1)[:-1]
        assert ((row[1:] == own) | (row[1:] == target[0, 1:])).all()


@pytest.mark.slow
def test_scheduled_sampling_keeps_gradients_and_compiles():
    model = randomise(make(scheduled_sampling=0.5))

    @tf.function(jit_compile=True)
    def gradients(source, target):
        with tf.GradientTape() as tape:
            loss = kt.masked_loss(target, model((source, target), training=True))
        return [tf.convert_to_tensor(part) for part in tape.gradient(loss, model.trainable_weights)]

    for weight, gradient in zip(
        model.trainable_weights,
        gradients(tf.constant(SOURCE), tf.constant(TARGET)),
        strict=True,
    ):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0, weight.path


# Configuration, saving, errors


@EVERY_VARIANT
def test_saved_models_give_equal_outputs(name, tmp_path):
    model = randomise(make(name, dtype="mixed_bfloat16" if name == "deep" else "float32"))
    expected = numbers(model((SOURCE, TARGET)))
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(copy, RecurrentSeq2Seq)
    assert copy.get_config() == model.get_config()
    np.testing.assert_array_equal(numbers(copy((SOURCE, TARGET))), expected)
    model.save_weights(tmp_path / "model.weights.h5")
    other = make(name, dtype=model.dtype_policy)
    assert np.abs(numbers(other((SOURCE, TARGET))) - expected).max() > 1e-3
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(numbers(other((SOURCE, TARGET))), expected)


def test_config_round_trips():
    options = {
        "kind": "lstm",
        "units": 6,
        "num_layers": 2,
        "embedding_size": 6,
        "bidirectional": False,
        "attention": "concat",
        "attention_units": 5,
        "context": "initial_state",
        "input_feeding": True,
        "skip_connections": True,
        "dropout_rate": 0.3,
        "scheduled_sampling": 0.25,
        "max_length": 20,
        "input_vocab_size": 11,
        "target_vocab_size": 11,
        "share_embeddings": True,
        "tie_output": True,
    }
    config = RecurrentSeq2Seq(**options, name="translator").get_config()
    assert config["name"] == "translator"
    assert {key: config[key] for key in options} == options
    copy = RecurrentSeq2Seq.from_config(config)
    assert copy.get_config() == config
    assert copy.encoder.embedding is copy.decoder.embedding
    assert len([weight for weight in copy.weights if weight.shape == (11, 6)]) == 1


def test_weights_are_counted():
    embeddings, output = 8 * (13 + 11), 8 * 11 + 11
    gru = 3 * (8 * 8 + 8 * 8 + 2 * 8)
    bridge = 16 * 8 + 8
    attention = 8 * 8 + 16 * 8 + 8
    decoder = gru + 3 * 16 * 8  # the context stands beside the token
    vector = (8 + 8 + 16) * 8 + 8
    expected = embeddings + output + 2 * gru + bridge + attention + decoder + vector
    assert make().count_params() == expected
    plain = make("sutskever", kind="gru", num_layers=1)
    assert plain.count_params() == embeddings + output + 2 * gru


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "elman"}, "got 'elman'"),
        ({"attention": "cosine"}, "got 'cosine'"),
        ({"attention": "dot"}, "width 8 and a memory of width 16"),
        ({"context": "everywhere", "attention": None}, "got 'everywhere'"),
        ({"context": "every_step"}, "for a model without attention"),
        ({"input_feeding": True}, "got attention='additive'"),
        ({"share_embeddings": True}, "input_vocab_size=13 and target_vocab_size=11"),
        ({"tie_output": True, "embedding_size": 6}, "embedding_size=6 and units=8"),
        ({"scheduled_sampling": 1.0}, "below 1"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


# Training


def copy_task(rows=64, length=4):
    """The target repeats the source; some rows are padded."""
    rng = np.random.default_rng(1)
    words = rng.integers(4, 11, (rows, length))
    words[: rows // 4, -2:] = 0
    target_in = np.concatenate([np.full((rows, 1), 2), words[:, :-1]], axis=1)
    return (words, target_in), words


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bahdanau", {"scheduled_sampling": 0.2}),
        pytest.param("luong general", {"dtype": "mixed_bfloat16"}, marks=pytest.mark.slow),
        pytest.param("sutskever", {}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "jit_compile",
    [False, pytest.param(True, marks=pytest.mark.slow)],
    ids=["graph", "xla"],
)
def test_fit_lowers_the_loss(name, options, jit_compile):
    model = make(name, units=16, **options)
    model.compile(
        optimizer=keras.optimizers.Adam(0.02),
        loss=kt.masked_loss,
        metrics=[kt.masked_accuracy],
        jit_compile=jit_compile,
    )
    inputs, labels = copy_task()
    history = model.fit(inputs, labels, batch_size=16, epochs=6, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < 0.9 * history["loss"][0]


@pytest.mark.slow
def test_a_compiled_model_loads_compiled(tmp_path):
    model = make()
    model.compile(optimizer="adam", loss=kt.MaskedLoss(label_smoothing=0.1))
    assert model.jit_compile is False
    inputs, labels = copy_task()
    model.fit(inputs, labels, batch_size=32, verbose=0)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert copy.compiled
    assert copy.loss.label_smoothing == 0.1
    assert copy.evaluate(inputs, labels, verbose=0) == pytest.approx(
        model.evaluate(inputs, labels, verbose=0), rel=1e-5
    )


@pytest.mark.parametrize(
    ("name", "options", "jit_compile"),
    [
        ("bahdanau", {}, False),
        pytest.param(
            *("luong dot", {"dtype": "mixed_bfloat16", "scheduled_sampling": 0.2}, False),
            marks=pytest.mark.slow,
        ),
        pytest.param("cho", {}, False, marks=pytest.mark.slow),
        pytest.param("input feeding", {"dtype": "mixed_bfloat16"}, False, marks=pytest.mark.slow),
        pytest.param("bahdanau", {}, True, marks=pytest.mark.slow),
        pytest.param("input feeding", {"scheduled_sampling": 0.2}, True, marks=pytest.mark.slow),
    ],
)
def test_the_step_of_the_package_trains(name, options, jit_compile):
    """Micro-batches of several shapes; dropout follows from the seed and the step."""
    model = make(name, units=16, dropout_rate=0.1, **options)
    optimizer = keras.optimizers.Adam(0.02)
    optimizer.build(model.trainable_variables)
    step = TrainingStep(model, optimizer, seed=3, jit_compile=jit_compile)
    (source, target), labels = copy_task(rows=16)
    shorter = ((source[:8, :3], target[:8, :3]), labels[:8, :3])
    batches = [((source, target), labels), shorter]
    first, again, other = (step(batches, 0.0, step=number) for number in (4, 4, 5))
    assert first.loss == pytest.approx(again.loss, rel=1e-5)
    assert first.loss != pytest.approx(other.loss, rel=1e-5)
    results = [step(batches, 0.02) for _ in range(10)]
    real = (labels != 0).sum() + (shorter[1] != 0).sum()
    assert {result.tokens for result in results} == {real}
    assert np.isfinite([result.gradient_norm for result in results]).all()
    assert results[-1].loss < 0.9 * results[0].loss
    loss, accuracy = ValidationStep(model)(batches)
    assert loss < first.loss / real
    assert 0 < accuracy <= 1


def test_the_output_and_its_projection_give_the_logits():
    for name in ("bahdanau", "luong dot"):
        model = randomise(make(name))
        kernel, bias, transposed = model.output_projection()
        kernel = numbers(kernel).T if transposed else numbers(kernel)
        bias = 0 if bias is None else numbers(bias)
        x = numbers(model.decoder_output((SOURCE, TARGET)))
        np.testing.assert_allclose(x @ kernel + bias, model((SOURCE, TARGET)), rtol=0, atol=1e-4)


def test_dropout_acts_in_training_alone():
    model = make("deep", dropout_rate=0.5)
    inputs = (SOURCE, TARGET)
    np.testing.assert_array_equal(model(inputs), model(inputs, training=False))
    assert np.abs(model(inputs) - model(inputs, training=True)).max() > 1e-3
