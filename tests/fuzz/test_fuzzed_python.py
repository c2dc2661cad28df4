"""Texts and options from Python: every text gets its own answer, every wrong one its error."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import (
    examples,
    json_values,
    known_texts,
    no_texts,
    result_or_error,
    scalars,
    texts,
)

from keras_transformer.config import DecodingConfig
from keras_transformer.errors import InputError
from keras_transformer.translating.evaluation import corpus_scores, evaluate
from keras_transformer.translating.generator import Generation
from keras_transformer.translating.translation import Translation

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*translated in pieces"),
]

SEARCH = [field.name for field in dataclasses.fields(DecodingConfig)]
values = st.one_of(scalars, st.booleans(), st.integers(1, 6), st.lists(scalars, max_size=2))
any_text = texts | texts.map(lambda text: text.encode("utf-8", errors="surrogatepass"))


def options(*more):
    return st.dictionaries(st.sampled_from([*SEARCH, *more, "other"]), values, max_size=3)


def check(found, count, kind):
    assert len(found) == count
    for one in found:
        assert isinstance(one, kind)
        for answer in one.alternatives or [one]:
            assert isinstance(answer.text, str)
            answer.text.encode("utf-8")
            assert np.isfinite(answer.score)


@examples(60)
@given(lines=st.lists(any_text, max_size=6))
def test_each_text_gets_its_own_translation(translator, lines):
    together = translator.translate(lines)
    check(together, len(lines), Translation)
    for line, found in zip(lines, together, strict=True):
        (alone,) = translator.translate([line])
        assert "\n" not in found.text
        assert found.text == alone.text
        assert found.score == pytest.approx(alone.score, abs=1e-3)
    streamed = translator.translate_stream(iter(lines), chunk=2)
    assert [one.text for one in streamed] == [one.text for one in together]


@examples(30)
@given(known=st.lists(known_texts, min_size=1, max_size=4), others=st.lists(texts, max_size=4))
def test_known_words_get_their_answers_among_any_others(translator, known, others):
    alone = [translator.translate([line])[0].text for line in known]
    assert all(alone)
    lines = [line for pair in zip(known, [*others, *known], strict=False) for line in pair]
    assert [one.text for one in translator.translate(lines)][::2] == alone


@examples(30)
@given(line=any_text, max_length=values)
def test_a_call_gives_what_a_list_of_one_gives(translator, line, max_length):
    text, tokens, attention = translator(line)
    (many,), _, _ = translator([line])
    assert text.numpy() == many.numpy()
    assert tokens.shape[0] == attention.shape[2] + 1
    result_or_error(translator, line, max_length)


@examples(60)
@given(lines=st.lists(any_text | no_texts, max_size=3) | no_texts | any_text)
def test_what_is_no_list_of_texts_is_refused(translator, generator, lines):
    assume(isinstance(lines, str | bytes) or not is_texts(lines))
    for call in (translator.translate, generator.generate):
        with pytest.raises(InputError) as caught:
            call(lines)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(InputError):
        list(translator.translate_stream(lines))


def is_texts(lines):
    try:
        return all(isinstance(line, str | bytes) for line in lines)
    except TypeError:
        return False


@examples(100)
@given(
    lines=st.lists(known_texts | texts, min_size=1, max_size=2),
    chosen=options("style", "attention", "token_scores", "target_prefix", "first_stream"),
)
def test_options_of_translating(translator, lines, chosen):
    found = result_or_error(translator.translate, lines, **chosen)
    if found is not None:
        check(found, len(lines), Translation)


@examples(30)
@given(lines=st.lists(known_texts, min_size=1, max_size=3), chunk=values)
def test_a_stream_of_any_chunk_gives_all_or_an_error(translator, lines, chunk):
    found = result_or_error(lambda: list(translator.translate_stream(lines, chunk=chunk)))
    if found is not None:
        assert found == translator.translate(lines)


@examples(20)
@given(lines=st.lists(known_texts, max_size=3), prefixes=st.lists(any_text | no_texts, max_size=3))
def test_any_prefixes(translator, lines, prefixes):
    found = result_or_error(translator.translate, lines, target_prefix=prefixes)
    if found is not None:
        check(found, len(lines), Translation)


@examples(50)
@given(lines=st.lists(any_text, max_size=4))
def test_each_prompt_gets_its_own_continuation(generator, lines):
    together = result_or_error(generator.generate, lines, max_new_tokens=6)
    if together is None:
        with pytest.raises(InputError):
            [generator.generate([line], max_new_tokens=6) for line in lines]
        return
    check(together, len(lines), Generation)
    for line, found in zip(lines, together, strict=True):
        (alone,) = generator.generate([line], max_new_tokens=6)
        assert found.text == alone.text
        assert found.score == pytest.approx(alone.score, abs=1e-3)


@examples(100)
@given(
    lines=st.lists(known_texts, min_size=1, max_size=2),
    chosen=options("style", "max_new_tokens", "first_stream"),
)
def test_options_of_generating(generator, lines, chosen):
    found = result_or_error(generator.generate, lines, **{"max_new_tokens": 4, **chosen})
    if found is not None:
        check(found, len(lines), Generation)


@examples(40)
@given(
    pairs=st.lists(st.tuples(any_text, any_text) | st.tuples(any_text) | no_texts, max_size=4)
    | no_texts,
    tokenize=st.none() | st.sampled_from(["13a", "char", "zh", "none", "other", 3]),
)
def test_any_pairs_are_scored_or_refused(translator, pairs, tokenize):
    found = result_or_error(evaluate, translator, pairs, tokenize=tokenize)
    if found is not None:
        assert found["sentences"] == len(pairs)
        assert 0 <= found["bleu"]["score"] <= 100


@examples(40)
@given(
    hypotheses=st.lists(texts | no_texts, max_size=3),
    references=st.lists(texts | no_texts, max_size=3),
    language=st.none() | texts,
)
def test_any_sentences_are_scored_or_refused(hypotheses, references, language):
    found = result_or_error(corpus_scores, hypotheses, references, language=language)
    if found is not None:
        assert found["sentences"] == len(references)
        assert 0 <= found["chrf"]["score"] <= 100


@examples(20)
@given(sizes=st.dictionaries(st.sampled_from(["texts", "source_length"]), json_values, max_size=2))
def test_nothing_is_compiled_for_wrong_sizes(translator, sizes):
    assume(not all(isinstance(size, int) and size > 0 for size in sizes.values()))
    assert result_or_error(translator.warm_up, **sizes) is None
    assert not translator.jit_compile
