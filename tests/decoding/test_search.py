"""Search: the cache equals no cache, XLA equals the plain graph, rows do not mind others, and what
a beam finds is what an independent search over the whole model finds."""

import dataclasses
import functools
import itertools
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.config import DecodingConfig
from keras_transformer.decoding.search import Search
from keras_transformer.decoding.tokens import best_candidates, length_penalty, most_probable
from keras_transformer.special_tokens import END, PAD, START, UNK

LIMIT = 15
BEAM = {"beam_size": 4}
CONFIGS = {
    "greedy": {},
    "beam": BEAM,
    "beam without penalty": {**BEAM, "length_penalty": 0.0},
    "beam gnmt": {**BEAM, "length_penalty_kind": "gnmt", "length_penalty": 0.6},
    "beam to the end": {**BEAM, "early_stopping": False, "n_best": 3},
    "patient beam": {**BEAM, "patience": 2.0},
    "long": {**BEAM, "min_length": 12},
    "without repeated bigrams": {**BEAM, "no_repeat_ngram": 2},
    "greedy without repeated words": {"no_repeat_ngram": 1, "min_length": 10},
    "samples": {"sampling": True, "n_best": 3, "top_k": 50, "top_p": 0.9, "temperature": 1.5},
}
USUAL = ("greedy", "beam", "beam gnmt", "samples")  # what the default run of the tests tries


def configs(names):
    """The configurations of these names; those that are not usual are slow."""
    return [
        pytest.param(CONFIGS[name], id=name, marks=() if name in USUAL else pytest.mark.slow)
        for name in names
    ]


EVERY_CONFIG = pytest.mark.parametrize("options", configs(CONFIGS))


@pytest.fixture(scope="module")
def model(tiny_run):
    return tiny_run.translator.transformer


@pytest.fixture(scope="module")
def source(tiny_run, tiny_corpus):
    """Token ids of six sentences of different lengths, int32 ``(6, source)``."""
    strings = next(iter(tiny_corpus.test.batch(6)))[0]
    ids = tiny_run.translator.tokenizers.source.tokenize(strings)
    assert len(set(ids.row_lengths().numpy())) > 2
    return tf.cast(ids.to_tensor(), tf.int32)


@functools.cache  # traced once for all tests
def make_search(model, jit_compile=False, forbidden=(), **options):
    return Search(
        model,
        start_id=START,
        end_id=END,
        config=DecodingConfig(**options),
        forbidden=forbidden,
        jit_compile=jit_compile,
    )


def found_by(model, source, limit=LIMIT, jit_compile=False, forbidden=(), prefix=None, **options):
    search = make_search(model, jit_compile, forbidden, **options)
    limits = np.broadcast_to(limit, (source.shape[0],))
    found = search(source, limits, seed=5, prefix=prefix)
    return type(found)(*(part.numpy() for part in found))


@functools.cache
def whole_model(model):
    return tf.function(lambda source, target: model((source, target), training=False))


def logits_after(model, source_row, targets):
    """The whole model over some targets of one length: ``(targets, tokens + 1, vocab)``."""
    targets = np.array([[START, *tokens] for tokens in targets])
    rows, length = targets.shape
    padded = np.zeros((4, 64), np.int32)  # one shape, one trace; what follows changes nothing
    padded[:rows, :length] = targets
    source = np.tile(np.asarray(source_row)[np.newaxis], (4, 1))
    logits = whole_model(model)(source, padded)[:rows, :length].numpy()
    logits[..., PAD] = -1e9  # padding is no token
    return logits


def log_probabilities(model, source_row, tokens):
    """Of what follows each of the tokens, ``(tokens + 1, vocab)``."""
    return tf.nn.log_softmax(logits_after(model, source_row, [tokens])[0]).numpy()


def reference_beam(model, source_row, limit, config):
    """Beam search in plain Python over the uncached model; ``[(tokens, score, rank)]``."""

    def rank(tokens, score):
        length = len(tokens)
        base = length if config.length_penalty_kind == "plain" else (5 + length) / 6
        return score / base**config.length_penalty

    live, ended = [([], 0.0)], []
    for position in range(limit):
        candidates = []
        following = logits_after(model, source_row, [tokens for tokens, _ in live])[:, -1]
        for (tokens, score), logits in zip(live, following, strict=True):
            if position < config.min_length:
                logits[END] = -1e9
            if size := config.no_repeat_ngram:
                for start in range(len(tokens) - size + 1):
                    *first, last = tokens[start : start + size]
                    if first == tokens[len(tokens) - size + 1 :]:
                        logits[last] = -1e9
            log_p = tf.nn.log_softmax(logits).numpy()
            best = np.argsort(-log_p, kind="stable")[: 2 * config.beam_size]
            candidates += [([*tokens, int(i)], score + float(log_p[i])) for i in best]
        candidates.sort(key=lambda candidate: -candidate[1])
        candidates = candidates[: 2 * config.beam_size]
        last = position + 1 == limit
        for tokens, score in candidates[: config.beam_size]:
            if tokens[-1] == END or last:
                ended.append((tokens, score, rank(tokens, score)))
        live = [c for c in candidates if c[0][-1] != END][: config.beam_size]
        if config.early_stopping and len(ended) >= round(config.beam_size * config.patience):
            break
    return sorted(ended, key=lambda hypothesis: -hypothesis[2])[: config.n_best]


def assert_same_tokens(found, expected):
    """Rows differ only where the scores say that the two are as good as equal."""
    for row in range(len(expected.tokens)):
        if not np.array_equal(found.tokens[row], expected.tokens[row]):
            np.testing.assert_allclose(found.ranks[row], expected.ranks[row], atol=1e-4)
    same = (found.tokens == expected.tokens).all(axis=(1, 2))
    assert same.mean() > 0.8
    np.testing.assert_allclose(found.scores[same], expected.scores[same], atol=1e-3)
    np.testing.assert_allclose(found.token_scores[same], expected.token_scores[same], atol=1e-3)


def test_greedy_equals_the_whole_model_again_for_every_token(model, source):
    found = found_by(model, source)
    for row in range(len(source)):
        tokens = []
        while len(tokens) < LIMIT and tokens[-1:] != [END]:
            tokens.append(int(np.argmax(log_probabilities(model, source[row], tokens)[-1])))
        assert found.tokens[row, 0, : len(tokens)].tolist() == tokens
        assert not found.tokens[row, 0, len(tokens) :].any()
    lengths = np.count_nonzero(found.tokens, axis=-1)
    assert len(set(lengths[:, 0])) > 1, "rows end at different steps, or this test means little"


def test_a_beam_may_be_wider_than_the_model_has_positions():
    """The tokens of the beams stand side by side, not one after the other."""
    keras.utils.set_random_seed(1)
    sizes = {"num_layers": 1, "d_model": 8, "num_heads": 2, "dff": 8}
    vocabulary = {"input_vocab_size": 40, "target_vocab_size": 40}
    small = kt.Transformer(**sizes, **vocabulary, max_length=8)
    large = kt.Transformer(**sizes, **vocabulary)
    ids = tf.constant([[START, 5, 6, END], [START, 7, END, PAD]])
    small((ids, ids)), large((ids, ids))
    large.set_weights(small.get_weights())
    found, expected = (found_by(it, ids, limit=5, beam_size=12) for it in (small, large))
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


@pytest.mark.parametrize(
    "options", configs(name for name, value in CONFIGS.items() if "beam_size" in value)
)
def test_beam_search_equals_one_in_plain_python(options, model, source):
    config = DecodingConfig(**options)
    found = found_by(model, source, **options)
    for row in range(3):
        expected = reference_beam(model, source[row].numpy(), LIMIT, config)
        for place, (tokens, score, rank) in enumerate(expected):
            assert found.tokens[row, place, : len(tokens)].tolist() == tokens
            assert not found.tokens[row, place, len(tokens) :].any()
            assert found.scores[row, place] == pytest.approx(score, abs=1e-3)
            assert found.ranks[row, place] == pytest.approx(rank, abs=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("greedy", marks=pytest.mark.slow),
        "beam",
        pytest.param("samples", marks=pytest.mark.slow),
        pytest.param("beam to the end", marks=pytest.mark.slow),
        pytest.param("without repeated bigrams", marks=pytest.mark.slow),
    ],
)
def test_xla_equals_the_plain_graph(name, model, source):
    options = CONFIGS[name]
    plain = found_by(model, source, **options)
    assert_same_tokens(found_by(model, source, jit_compile=True, **options), plain)


@EVERY_CONFIG
def test_a_row_does_not_mind_its_batch_mates_or_padding(options, model, source):
    search = make_search(model, **options)
    together = search(source, [LIMIT] * 6)
    for row in range(6):
        length = np.count_nonzero(source[row])
        alone = search(source[row : row + 1, :length], [LIMIT], streams=[row])
        np.testing.assert_array_equal(alone.tokens[0], together.tokens[row])
        np.testing.assert_allclose(alone.scores[0], together.scores[row], atol=1e-4)


@EVERY_CONFIG
def test_scores_equal_a_forced_rescoring(options, model, source):
    if options.get("no_repeat_ngram") or options.get("min_length"):
        pytest.skip("what is forbidden leaves its probability to the rest")
    found = found_by(model, source, **options)
    for row in range(len(source)):
        for place in range(found.tokens.shape[1]):
            tokens = [token for token in found.tokens[row, place].tolist() if token != PAD]
            log_p = log_probabilities(model, source[row], tokens)
            expected = log_p[np.arange(len(tokens)), tokens]
            given = found.token_scores[row, place]
            np.testing.assert_allclose(given[: len(tokens)], expected, atol=1e-3)
            assert not given[len(tokens) :].any()
            assert found.scores[row, place] == pytest.approx(expected.sum(), abs=2e-3)


@pytest.mark.parametrize("patience", [1e-3, 1e20])
def test_a_patience_waits_for_one_hypothesis_or_for_all(patience, model, source):
    found = found_by(model, source, **BEAM, patience=patience)
    assert (found.scores < 0).all()
    if patience > 1:
        whole = found_by(model, source, **BEAM, early_stopping=False)
        np.testing.assert_array_equal(found.tokens[:, 0], whole.tokens[:, 0])


@EVERY_CONFIG
def test_alternatives_come_best_first_and_differ(options, model, source):
    found = found_by(model, source, **options)
    assert (np.diff(found.ranks, axis=1) <= 0).all()
    if options.get("beam_size"):
        for row in found.tokens:
            assert len({tuple(tokens) for tokens in row.tolist()}) == len(row)


@EVERY_CONFIG
def test_nothing_follows_the_end_or_the_limit(options, model, source):
    limits = np.array([0, 1, 2, LIMIT, 4, 3])
    found = found_by(model, source, limit=limits, **options)
    for row, limit in enumerate(limits):
        assert not found.tokens[row, :, limit:].any()
        for tokens in found.tokens[row]:
            ends = np.flatnonzero(tokens == END)
            assert not len(ends) or not tokens[ends[0] + 1 :].any()
    assert not found.scores[0].any()


@pytest.mark.parametrize("name", ["greedy", "beam", "samples"])
def test_limits_of_one_row_do_not_touch_another(name, model, source):
    options = CONFIGS[name]
    free = found_by(model, source, **options)
    limited = found_by(model, source, limit=np.array([LIMIT, 2, 0, LIMIT, 3, 1]), **options)
    for row in (0, 3):
        np.testing.assert_array_equal(limited.tokens[row], free.tokens[row])


@pytest.mark.parametrize(
    ("name", "jit_compile"),
    [
        ("greedy", False),
        ("beam", False),
        ("samples", False),
        pytest.param("beam", True, marks=pytest.mark.slow),
    ],
)
def test_a_prefix_is_what_the_tokens_begin_with(name, jit_compile, model, source):
    options = CONFIGS[name]
    prefix = np.zeros((6, 3), np.int32)
    prefix[0], prefix[1, :1] = [40, 41, 42], 50
    found = found_by(model, source, jit_compile=jit_compile, prefix=prefix, **options)
    free = found_by(model, source, jit_compile=jit_compile, **options)
    assert (found.tokens[0, :, :3] == prefix[0]).all()
    assert (found.tokens[1, :, 0] == 50).all()
    np.testing.assert_array_equal(found.tokens[2:], free.tokens[2:])
    tokens = [token for token in found.tokens[0, 0].tolist() if token != PAD]
    log_p = log_probabilities(model, source[0], tokens)
    expected = log_p[np.arange(len(tokens)), tokens].sum()
    assert found.scores[0, 0] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("name", ["greedy", "beam"])
def test_a_prefix_may_hold_what_is_ruled_out_elsewhere(name, model, source):
    options = {**CONFIGS[name], "no_repeat_ngram": 1, "min_length": 8}
    prefix = np.tile([[40, 40, UNK, 41, 41]], (6, 1))
    found = found_by(model, source, forbidden=(UNK,), prefix=prefix, **options)
    assert (found.tokens[..., :5] == prefix[:, np.newaxis]).all()
    assert (found.scores > -200).all()
    for tokens in found.tokens.reshape(-1, LIMIT):
        rest = [token for token in tokens[5:].tolist() if token not in (PAD, END)]
        assert len(set(rest)) == len(rest)
        assert not {40, 41, UNK} & set(rest)


@pytest.mark.parametrize("name", ["greedy", "beam", "samples"])
def test_forbidden_tokens_and_the_shortest_length(name, model, source):
    options = CONFIGS[name]
    free = found_by(model, source, **options)
    common = int(np.bincount(free.tokens[free.tokens > END].ravel()).argmax())
    found = found_by(model, source, forbidden=(UNK, common), **{**options, "min_length": 8})
    assert not np.isin(found.tokens, [UNK, common]).any()
    assert (np.count_nonzero(found.tokens, axis=-1) >= 9).all()


def test_no_ngram_comes_twice(model, source):
    for size, options in ((1, {}), (2, {}), (3, BEAM)):
        found = found_by(model, source, limit=30, no_repeat_ngram=size, min_length=12, **options)
        for tokens in found.tokens.reshape(-1, 30):
            tokens = [token for token in tokens.tolist() if token not in (PAD, END)]
            ngrams = list(zip(*(tokens[i:] for i in range(size)), strict=False))
            assert len(set(ngrams)) == len(ngrams) >= 5


def test_room_grows_when_it_is_full(model, source):
    """A translation of more tokens than the smallest round has room for."""
    for options in ({}, BEAM):
        found = found_by(model, source[:2], limit=60, min_length=59, **options)
        assert (np.count_nonzero(found.tokens, axis=-1) == 60).all()
        tokens = found.tokens[0, 0].tolist()
        log_p = log_probabilities(model, source[0], tokens)
        log_p = tf.nn.log_softmax(np.where(np.arange(log_p.shape[1]) == END, -1e9, log_p)).numpy()
        np.testing.assert_allclose(
            found.token_scores[0, 0, :59], log_p[np.arange(59), tokens[:59]], atol=1e-3
        )


def test_a_source_may_be_as_long_as_the_model_allows(model, source):
    """Though sizes of compiled programs double beyond that."""
    reach = model.max_length
    assert reach & (reach - 1)  # no such size
    longest = np.tile(source[:1, 1:9], (1, 20))[:, :reach]
    for size in (reach, reach - 9):
        plain = found_by(model, longest[:, :size], limit=9)
        compiled = found_by(model, longest[:, :size], limit=9, jit_compile=True)
        assert_same_tokens(compiled, plain)


def test_one_trace_serves_every_shape(model, source):
    traced = []

    def decode_step(*arguments):
        traced.append(arguments)
        return model.decode_step(*arguments)

    counted = SimpleNamespace(
        encode=model.encode,
        initial_cache=model.initial_cache,
        decode_step=decode_step,
        max_length=model.max_length,
    )
    search = Search(counted, start_id=START, end_id=END, config=DecodingConfig(**BEAM))
    search(source[:1, :3], [LIMIT])
    traces = len(traced)
    assert traces
    for rows, length in ((2, 5), (6, 9), (3, 4)):
        search(source[:rows, :length], [LIMIT + length] * rows)
    assert len(traced) == traces


def test_a_search_works_inside_a_graph(model, source):
    search = make_search(model, **BEAM)
    in_graph = tf.function(lambda ids, limits: search(ids, limits).tokens)
    np.testing.assert_array_equal(
        in_graph(source, tf.fill((6,), LIMIT)), search(source, [LIMIT] * 6).tokens
    )


class TableModel:
    """A language model without an encoder, whose logits follow from the last two tokens.

    Its cache is a state that moves with its beam, as that of a recurrent model.
    """

    def __init__(self, vocab, seed=0, logits=None):
        self.vocab = vocab
        rng = np.random.default_rng(seed)
        table = rng.normal(0, 2, (vocab, vocab, vocab)) if logits is None else logits
        self.table = tf.constant(np.broadcast_to(table, (vocab, vocab, vocab)), tf.float32)

    def encode(self, source):
        return tf.shape(source)[0]

    def initial_cache(self, encoded, beam_size):
        return {"context": {}, "steps": {"before": tf.fill((encoded, beam_size), START)}}

    def decode_step(self, tokens, position, cache):
        places = tf.stack([cache["steps"]["before"], tokens], axis=-1)
        return tf.gather_nd(self.table, places), {"context": {}, "steps": {"before": tokens}}

    def score(self, tokens):
        total, history = 0.0, [START, START]
        for token in tokens:
            logits = self.table[history[-2], history[-1]].numpy()
            logits[PAD] = -1e9
            total += float(tf.nn.log_softmax(logits)[token])
            history.append(token)
        return total


@pytest.mark.parametrize(
    ("penalty", "jit_compile"),
    [
        ({"length_penalty": 1.0}, False),
        pytest.param({"length_penalty": 1.0}, True, marks=pytest.mark.slow),
        pytest.param({"length_penalty": 0.0}, False, marks=pytest.mark.slow),
        pytest.param({"length_penalty": -0.5}, False, marks=pytest.mark.slow),
        ({"length_penalty": 0.8, "length_penalty_kind": "gnmt"}, False),
    ],
    ids=str,
)
def test_a_wide_beam_finds_the_best_of_all_sequences(penalty, jit_compile):
    vocab, limit = 6, 4
    words = [token for token in range(1, vocab) if token != END]
    for seed in range(4):
        model = TableModel(vocab, seed)
        complete = [
            (*body, *end)
            for length in range(limit + 1)
            for body in itertools.product(words, repeat=length)
            for end in ([(END,)] if length < limit else [()])
        ]
        config = DecodingConfig(beam_size=500, early_stopping=False, n_best=5, **penalty)
        ranks = {
            tokens: model.score(tokens)
            / float(length_penalty(len(tokens), config.length_penalty_kind, config.length_penalty))
            for tokens in complete
        }
        best = sorted(complete, key=lambda tokens: -ranks[tokens])[:5]
        options = dataclasses.asdict(config)
        found = found_by(model, np.ones((2, 3)), limit=limit, jit_compile=jit_compile, **options)
        for place, tokens in enumerate(best):
            given = found.tokens[1, place].tolist()
            assert tuple(token for token in given if token != PAD) == tokens
            assert found.ranks[1, place] == pytest.approx(ranks[tokens], abs=1e-4)


CONTINUES = 5  # the id that continues a word


def with_terms(model, terms, limit, jit_compile=False, **options):
    """What is found with terms, lists of ids for each row."""
    config = DecodingConfig(**options)
    vocab = model.vocab if isinstance(model, TableModel) else model.target_vocab_size
    continuations = np.arange(vocab) == CONTINUES
    search = Search(
        model,
        start_id=START,
        end_id=END,
        config=config,
        jit_compile=jit_compile,
        term_tokens={"transparent": (), "continuations": continuations},
    )
    ids = tf.ragged.constant(terms, dtype=tf.int32, ragged_rank=2).to_tensor()
    source = np.ones((len(terms), 3), np.int32)
    found = search(source, [limit] * len(terms), terms=ids)
    return type(found)(*(part.numpy() for part in found))


def have(tokens, term):
    """Whether tokens have a term as words of their own."""
    ends = [i + len(term) for i in range(len(tokens)) if tokens[i : i + len(term)] == term]
    return any(end == len(tokens) or tokens[end] != CONTINUES for end in ends)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("term_lists", [[[1, 4]], [[4], [1]], [[1, CONTINUES], [4]]], ids=str)
def test_a_wide_beam_finds_the_best_of_all_sequences_with_terms(term_lists, jit_compile):
    vocab, limit = 6, 5
    words = [token for token in range(1, vocab) if token not in (START, END)]
    for seed in range(3):
        model = TableModel(vocab, seed)
        bodies = itertools.chain.from_iterable(
            itertools.product(words, repeat=length) for length in range(limit)
        )
        complete = [
            (*body, END) for body in bodies if all(have(list(body), term) for term in term_lists)
        ]
        ranks = {tokens: model.score(tokens) / len(tokens) for tokens in complete}
        best = max(complete, key=ranks.get)
        options = {"beam_size": 700, "early_stopping": False, "no_repeat_ngram": 0}
        found = with_terms(model, [term_lists, term_lists], limit, jit_compile, **options)
        given = tuple(token for token in found.tokens[1, 0].tolist() if token != PAD)
        # One that is cut off at the limit may rank higher: it has the terms, too.
        assert all(have(list(given), term) for term in term_lists)
        if given[-1] == END:
            assert given == best
            assert found.ranks[1, 0] == pytest.approx(ranks[best], abs=1e-4)
        else:
            assert found.ranks[1, 0] >= ranks[best] - 1e-4


@pytest.mark.parametrize("jit_compile", [False, True])
def test_every_hypothesis_has_its_terms(jit_compile):
    model = TableModel(40, seed=3)
    terms = [
        [[7, 8], [9]],
        [],
        [[10, 11, 12], [10, 13], [10]],
        [[4]],
        [[20, 20, 21], [22], [22]],
    ]
    plain = with_terms(model, terms, 24, beam_size=3, n_best=3)
    found = with_terms(model, terms, 24, jit_compile, beam_size=3, n_best=3)
    assert_same_tokens(found, plain)
    for row, of_row in enumerate(terms):
        assert found.found[row].all()
        for tokens in found.tokens[row].tolist():
            tokens = [token for token in tokens if token not in (PAD, END)]
            assert all(have(tokens, term) for term in of_row), (tokens, of_row)


def test_no_terms_is_a_beam_search():
    model = TableModel(30, seed=1)
    found = with_terms(model, [[], []], 12, beam_size=10)
    plain = found_by(model, np.ones((2, 3)), limit=12, beam_size=10)
    assert_same_tokens(found, plain)


def test_terms_come_though_there_is_next_to_no_room():
    logits = np.zeros((30, 30, 30))
    logits[..., 6] = 50.0  # which would go on for ever
    found = with_terms(TableModel(30, logits=logits), [[[7, 8], [9]]], 5)
    tokens = found.tokens[0, 0].tolist()
    assert have(tokens, [7, 8])
    assert have(tokens, [9])


@pytest.mark.parametrize(
    ("options", "jit_compile"),
    [
        ({}, False),
        ({}, True),
        ({"temperature": 2.0}, False),
        ({"top_k": 3}, False),
        ({"top_p": 0.7}, False),
        ({"top_k": 4, "top_p": 0.9}, True),
    ],
    ids=str,
)
def test_samples_are_as_frequent_as_they_are_probable(options, jit_compile):
    """Pearson's chi-square test at the level of one in a thousand."""
    logits = np.array([5.0, 1.0, 0.0, -1.0, 2.0, 1.5, 0.5, -2.0])
    model = TableModel(len(logits), logits=logits)
    found = found_by(
        model,
        np.ones((2000, 1)),
        limit=1,
        jit_compile=jit_compile,
        sampling=True,
        n_best=5,
        **options,
    )
    counts = np.bincount(found.tokens.ravel(), minlength=len(logits))

    scaled = logits / options.get("temperature", 1.0)
    scaled[PAD] = -1e9
    weights = np.exp(scaled - scaled.max())
    order = np.argsort(-weights)
    weights[order[options.get("top_k", len(logits)) :]] = 0
    weights /= weights.sum()
    before = np.cumsum(weights[order]) - weights[order]
    weights[order[before >= options.get("top_p", 1.0)]] = 0
    expected = weights / weights.sum() * counts.sum()

    possible = expected > 0
    assert not counts[~possible].any()
    statistic = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    critical = {2: 13.82, 1: 10.83, 3: 16.27, 4: 18.47, 5: 20.52, 6: 22.46}
    assert statistic < critical[possible.sum() - 1]


def test_the_same_seed_gives_the_same_samples_and_another_one_others(model, source):
    search = make_search(model, sampling=True)
    limits = [LIMIT] * 6
    first, again, other = (search(source, limits, seed=seed).tokens for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first.numpy() != other.numpy()).any()


@pytest.mark.parametrize("vocab", [5, 64, 200, 1000, 1024])
def test_the_best_candidates_are_those_of_a_full_sort(vocab):
    logits = np.random.default_rng(vocab).normal(size=(3, 4, vocab)).astype(np.float32)
    logits[0] = np.round(logits[0])  # with many equals
    count = min(8, vocab)
    values, ids = best_candidates(tf.constant(logits), count)
    order = np.argsort(-logits, axis=-1, kind="stable")[..., :count]
    np.testing.assert_array_equal(ids, order)
    np.testing.assert_array_equal(values, np.take_along_axis(logits, order, axis=-1))


def test_the_most_probable_is_the_first_of_equals():
    logits = tf.constant([[[0.0, 3.0, 3.0, 1.0], [-1e9, -5.0, -7.0, -5.0]]])
    assert most_probable(logits).numpy().tolist() == [[1, 1]]
