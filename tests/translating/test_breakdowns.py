"""Buckets of length divide the sentences, those of frequency the words, each scored by itself."""

import numpy as np
import pytest

from keras_transformer.errors import InputError
from keras_transformer.translating.comparison.breakdowns import (
    scores_by_frequency,
    scores_by_length,
)
from keras_transformer.translating.evaluation import corpus_scores

LENGTHS = [1, 3, 10, 11, 20, 21, 40, 41, 90]


def sentence(length, letter="w"):
    return " ".join(f"{letter}{number}" for number in range(length))


@pytest.fixture
def triples():
    """Sources of all lengths; of every translation one word in six is wrong."""
    references = [sentence(length + 5) for length in LENGTHS]
    hypotheses = [
        " ".join("x" if i % 6 == 5 else word for i, word in enumerate(text.split()))
        for text in references
    ]
    return [sentence(length, "f") for length in LENGTHS], hypotheses, references


def test_every_sentence_is_in_the_bucket_of_its_source(triples):
    found = scores_by_length(*triples)
    assert [part["words"] for part in found] == ["1-10", "11-20", "21-30", "31-40", "41+"]
    assert [part["sentences"] for part in found] == [3, 2, 1, 1, 2]


def test_a_bucket_has_the_corpus_score_of_its_sentences(triples):
    short, long = scores_by_length(*triples, limits=[10])
    _, hypotheses, references = triples
    for part, place in ((short, slice(0, 3)), (long, slice(3, None))):
        expected = corpus_scores(hypotheses[place], references[place])["bleu"]["score"]
        assert 0 < part["bleu"] == expected < 100


def test_the_order_of_the_sentences_changes_nothing(triples):
    order = np.random.default_rng(1).permutation(len(LENGTHS))
    shuffled = [[texts[i] for i in order] for texts in triples]
    for part, other in zip(scores_by_length(*triples), scores_by_length(*shuffled), strict=True):
        assert part == pytest.approx(other)


def test_a_bucket_without_sentences_has_no_score(triples):
    sources, _, references = triples
    found = scores_by_length(sources, references, references, limits=[3, 9, 15])
    assert [(part["sentences"], part["bleu"]) for part in found][1] == (0, None)
    assert all(part["bleu"] == pytest.approx(100) for part in found if part["sentences"])


UNSPACED = {
    "Chinese": "我们必须解决这个问题",
    "Japanese": "これはもんだいですよ",
    "Thai": "เราต้องแก้",
    "Burmese": "ဒါကပြဿနာတစ်",
}


@pytest.mark.parametrize("script", UNSPACED)
def test_characters_count_where_words_have_no_spaces(script):
    """They were one word each, and all in the first bucket."""
    text = UNSPACED[script][:10]
    sources = [text[:3], f"{text[:5]} {text[5:]}", text * 2, text * 4 + "x"]
    references = [sentence(6)] * 4
    found = scores_by_length(sources, references, references)
    assert {part["unit"] for part in found} == {"characters"}
    assert [part["sentences"] for part in found] == [2, 1, 0, 0, 1]


def test_one_unit_for_all_buckets():
    """Most letters of all sources decide, and not each source for itself."""
    chinese, english = UNSPACED["Chinese"], sentence(12)
    references = [sentence(6)] * 3
    found = scores_by_length([chinese * 9, english, chinese], references, references)
    assert {part["unit"] for part in found} == {"characters"}
    found = scores_by_length(["word " * 90, english, chinese], references, references)
    assert {part["unit"] for part in found} == {"words"}


def test_one_tokenizer_for_all_buckets():
    """That of all references; of its own, the bucket with the short one would have 13a."""
    sources = ["um", sentence(50)]
    references = ["ok !", UNSPACED["Chinese"] * 5]
    hypotheses = ["ok!", UNSPACED["Chinese"] * 4]
    expected = [
        corpus_scores([hypothesis], [reference], tokenize="zh")["bleu"]["score"]
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
    for given in ({}, {"language": "zh"}, {"language": "en", "tokenize": "zh"}):
        short, long = scores_by_length(sources, hypotheses, references, limits=[10], **given)
        assert [short["bleu"], long["bleu"]] == pytest.approx(expected)
    by_words = scores_by_length(sources, hypotheses, references, limits=[10], tokenize="13a")
    assert [part["bleu"] for part in by_words] != pytest.approx(expected)


@pytest.mark.parametrize("limits", [(), (0, 10), (10, 10), (20, 10)])
def test_limits_must_rise(triples, limits):
    with pytest.raises(InputError, match="limits"):
        scores_by_length(*triples, limits=limits)


def test_as_many_translations_as_sources(triples):
    sources, hypotheses, references = triples
    with pytest.raises(InputError, match="9 sources, 8 translations and 9 references"):
        scores_by_length(sources, hypotheses[1:], references)


REFERENCES = ["the cat saw the dog .", "a cat sleeps .", "the girl reads ."]
SYSTEMS = [
    ["the cat saw a dog .", "a cat cat sleeps", "the boy reads the ."],
    ["the the the dog .", "cat sleeps .", "the girl ."],
]


def by_frequency(systems, references=REFERENCES, text=None):
    found = scores_by_frequency(systems, references, text, tokenize="13a")
    return {part["count"]: part for part in found}


def test_every_word_of_the_references_is_in_a_bucket():
    for text in (None, REFERENCES[:1], ["other words"], ["the " * 5000]):
        found = by_frequency(SYSTEMS, text=text)
        assert sum(part["words"] for part in found.values()) == 14


def test_the_references_themselves_are_right_in_every_bucket():
    lines = REFERENCES * 40
    found = [part for part in by_frequency([lines], lines).values() if part["words"]]
    assert len(found) == 2
    assert [part["f1"] for part in found] == [[100.0]] * 2


def test_the_order_of_the_sentences_does_not_matter():
    turned = by_frequency([lines[::-1] for lines in SYSTEMS], REFERENCES[::-1])
    assert turned == by_frequency(SYSTEMS)


def test_a_word_in_another_sentence_is_wrong():
    found = by_frequency([REFERENCES[1:] + REFERENCES[:1]])
    assert found["1"]["f1"] == [0.0]


def test_the_training_text_tells_how_frequent_words_are():
    found = by_frequency(SYSTEMS, text=["the the the the the .", "the .", "cat girl"] * 2)
    assert {count: part["words"] for count, part in found.items() if part["words"]} == {
        **{"0": 5, "2": 3, "4": 3, "10-99": 3}
    }
    assert found["1000+"]["f1"] == [None, None]


def test_f1_is_that_of_compare_mt():
    """Its FreqWordBucketer, version 0.2.10, on the same words."""
    found = by_frequency(SYSTEMS)
    assert {count: part["f1"] for count, part in found.items() if part["words"]} == {
        "1": pytest.approx([83.33333333333334, 66.66666666666666]),
        "2": pytest.approx([80.0, 66.66666666666666]),
        "3": pytest.approx([72.72727272727272, 92.3076923076923]),
    }
