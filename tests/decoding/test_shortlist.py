"""A shortlist: as if the model gave no other tokens, whatever else is in the batch; under XLA, with
beams, prefixes and terms; from a corpus to a file and back."""

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.data.batches.token_store import TokenizedPairs
from keras_transformer.data.lexical_table import lexical_table
from keras_transformer.decoding.search import Search
from keras_transformer.decoding.shortlist import MOST, Shortlist
from keras_transformer.decoding.tokens import LOWEST
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import END, PAD, RESERVED_TOKENS, START, UNK

SIZE, LIMIT = 6, 15
ALWAYS = len(RESERVED_TOKENS)
OPTIONS = {
    "greedy": {},
    "greedy without repeated words": {"no_repeat_ngram": 1, "min_length": 10},
    "beam": {"beam_size": 4, "n_best": 3},
    "beam without repeated bigrams": {"beam_size": 3, "no_repeat_ngram": 2},
}


@pytest.fixture(scope="module")
def model(tiny_run):
    return tiny_run.translator.transformer


@pytest.fixture(scope="module")
def source(tiny_run, tiny_corpus):
    strings = next(iter(tiny_corpus.test.batch(6)))[0]
    return tf.cast(tiny_run.translator.tokenizers.source.tokenize(strings).to_tensor(), tf.int32)


@pytest.fixture(scope="module")
def shortlist(model):
    random = np.random.default_rng(3)
    shape = model.input_vocab_size, SIZE + 2
    candidates = random.integers(ALWAYS, model.target_vocab_size, shape)
    frequent = random.choice(model.target_vocab_size, 10, replace=False)
    return Shortlist(candidates, frequent, model.target_vocab_size)


class LimitedModel:
    """The model with the lowest logits for all tokens that a row may not have."""

    def __init__(self, model, shortlist):
        self._model, self._shortlist = model, shortlist

    def encode(self, source):
        return self._model.encode(source), self._shortlist.allowed(source, SIZE, ALWAYS)

    def initial_cache(self, encoded, beam_size):
        cache = self._model.initial_cache(encoded[0], beam_size)
        return {**cache, "context": {"of_model": cache["context"], "allowed": encoded[1]}}

    def decode_step(self, tokens, position, cache):
        context = cache["context"]
        cache = {**cache, "context": context["of_model"]}
        logits, cache = self._model.decode_step(tokens, position, cache)
        logits = tf.where(context["allowed"][:, tf.newaxis], logits, LOWEST)
        return logits, {**cache, "context": context}


def search_of(model, shortlist=None, jit_compile=False, term_tokens=None, **options):
    return Search(
        model,
        start_id=START,
        end_id=END,
        config=DecodingConfig(shortlist=SIZE if shortlist else None, **options),
        forbidden=(UNK,),
        shortlist=shortlist,
        jit_compile=jit_compile,
        term_tokens=term_tokens,
    )


def found_by(search, source, **arguments):
    found = search(source, np.full(source.shape[0], LIMIT), **arguments)
    return type(found)(*(part.numpy() for part in found))


def assert_same(found, expected):
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_allclose(found.token_scores, expected.token_scores, atol=2e-5)
    np.testing.assert_allclose(found.ranks, expected.ranks, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_it_is_as_if_the_model_gave_no_other_tokens(name, model, source, shortlist):
    options = OPTIONS[name]
    found = found_by(search_of(model, shortlist, **options), source)
    assert_same(found, found_by(search_of(LimitedModel(model, shortlist), **options), source))
    assert np.any(found.tokens != found_by(search_of(model, **options), source).tokens)


@pytest.mark.parametrize("name", ["greedy", "beam"])
def test_xla_equals_the_plain_graph(name, model, source, shortlist):
    options = OPTIONS[name]
    found = found_by(search_of(model, shortlist, jit_compile=True, **options), source)
    assert_same(found, found_by(search_of(model, shortlist, **options), source))


def test_more_columns_than_programs_have_room_for_change_nothing(
    model, source, shortlist, monkeypatch
):
    monkeypatch.setattr("keras_transformer.decoding.search.column_room", lambda *_: 20)
    found = found_by(search_of(model, shortlist, jit_compile=True), source)
    assert_same(found, found_by(search_of(model, shortlist), source))


def test_a_row_does_not_mind_its_batch_mates(model, source, shortlist):
    search = search_of(model, shortlist, beam_size=4)
    together = found_by(search, source)
    for row in range(source.shape[0]):
        alone = found_by(search, source[row : row + 1])
        np.testing.assert_array_equal(together.tokens[row], alone.tokens[0])
        np.testing.assert_allclose(together.scores[row], alone.scores[0], atol=2e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_prefix_may_have_any_tokens(jit_compile, model, source, shortlist):
    allowed = shortlist.allowed(source, SIZE, ALWAYS).numpy()
    others = np.flatnonzero(~allowed.any(axis=0))[:2]
    prefix = np.tile(others, (source.shape[0], 1)).astype(np.int32)
    prefix[2] = PAD
    found = found_by(search_of(model, shortlist, jit_compile=jit_compile), source, prefix=prefix)
    without = found_by(search_of(model, shortlist), source)
    rows = np.arange(source.shape[0]) != 2
    np.testing.assert_array_equal(found.tokens[rows, 0, :2], prefix[rows])
    np.testing.assert_array_equal(found.tokens[2], without.tokens[2])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_terms_may_have_any_tokens(jit_compile, model, source, shortlist):
    allowed = shortlist.allowed(source, SIZE, ALWAYS).numpy()
    term = np.flatnonzero(~allowed.any(axis=0))[:2]
    # A word goes on after the term only with this token, which is in no list either.
    goes_on = np.zeros(model.target_vocab_size, bool)
    goes_on[np.flatnonzero(~allowed.any(axis=0))[2]] = True
    terms = np.tile(term, (source.shape[0], 1, 1))
    tokens = {"transparent": (), "continuations": goes_on}
    search = search_of(model, shortlist, jit_compile=jit_compile, term_tokens=tokens)
    found = found_by(search, source, terms=terms)
    for row in found.tokens[:, 0]:
        assert any((row[i : i + 2] == term).all() for i in range(len(row) - 1))


def test_sampling_looks_at_all_tokens(model, source, shortlist):
    options = {"sampling": True, "n_best": 2}
    found = search_of(model, shortlist, **options)(source, np.full(6, LIMIT), seed=4)
    expected = search_of(model, **options)(source, np.full(6, LIMIT), seed=4)
    np.testing.assert_array_equal(found.tokens, expected.tokens)


def test_warming_up_compiles_what_searches_run(model, source, shortlist):
    search = search_of(model, shortlist, jit_compile=True)
    search.warm_up(4, source.shape[1], LIMIT)
    known = search._round.experimental_get_tracing_count()
    found_by(search, source[:3])
    assert search._round.experimental_get_tracing_count() == known


def test_a_lexical_table_finds_what_stands_for_what():
    random = np.random.default_rng(5)
    words, often = np.arange(10, 60), 4
    pairs = []
    for _ in range(400):
        source = random.choice(words, random.integers(2, 7), replace=False)
        # Each word w is translated by w + 100, in any order, among words that are everywhere.
        target = [*random.permutation(source + 100), *[often] * 3]
        pairs.append(([START, *source, END], [START, *target, END]))
    sides = [[np.array(side, np.int32) for side in column] for column in zip(*pairs, strict=True)]
    starts = [np.cumsum([0, *map(len, side)]) for side in sides]
    corpus = TokenizedPairs(
        np.concatenate(sides[0]), starts[0], np.concatenate(sides[1]), starts[1]
    )
    table = lexical_table(corpus, 70, most=3, frequent=3)
    assert set(table.frequent) == {START, END, often}
    np.testing.assert_array_equal(table.candidates[words, 0], words + 100)
    assert not np.isin(table.candidates, table.frequent).any()
    assert not table.candidates[60:].any()


def test_a_sample_of_a_large_corpus_says_the_same(monkeypatch):
    source = np.tile([START, 10, 11, END], 300).astype(np.int32)
    target = np.tile([START, 20, 21, 22, END], 300).astype(np.int32)
    starts = [np.arange(301) * 4, np.arange(301) * 5]
    corpus = TokenizedPairs(source, starts[0], target, starts[1])
    whole = lexical_table(corpus, 12, most=3, frequent=2)
    monkeypatch.setattr("keras_transformer.data.lexical_table.MOST_LINKS", 1000)
    sample = lexical_table(corpus, 12, most=3, frequent=2)
    np.testing.assert_array_equal(sample.candidates, whole.candidates)


def test_it_is_saved_and_loaded(shortlist, source, tmp_path):
    assert Shortlist.load(tmp_path) is None
    shortlist.save(tmp_path)
    loaded = Shortlist.load(tmp_path)
    for size in (SIZE, MOST):
        np.testing.assert_array_equal(
            loaded.allowed(source, size, ALWAYS), shortlist.allowed(source, size, ALWAYS)
        )


@pytest.mark.parametrize("damage", ["cut", "another id", "no table"])
def test_a_damaged_file_is_said_to_be_one(damage, shortlist, tmp_path):
    path = tmp_path / "shortlist.npz"
    shortlist.save(tmp_path)
    arrays = dict(np.load(path))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "another id":
        np.savez(path, **arrays | {"frequent": np.array([shortlist.vocab_size])})
    else:
        np.savez(path, frequent=arrays["frequent"])
    with pytest.raises(InputError, match=r"shortlist\.npz"):
        Shortlist.load(tmp_path)
