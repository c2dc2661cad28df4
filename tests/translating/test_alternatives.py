"""Other words at a place of a translation: all begin alike, and no two go on alike."""

import re

import pytest
import tensorflow as tf

from keras_transformer.data.text.sentences import split_sentences
from keras_transformer.errors import InputError
from keras_transformer.exporting import export
from keras_transformer.exporting.format import NOT_FOUND
from keras_transformer.translating.alternatives import best_distinct


@pytest.fixture(scope="module")
def translator(tiny_run):
    return tiny_run.translator


@pytest.fixture(scope="module")
def signature(translator, tmp_path_factory):
    """The signature of an export, as a function of Python's values."""
    folder = export(translator, tmp_path_factory.mktemp("exported") / "model", compiled=False)
    loaded = tf.saved_model.load(str(folder))

    def call(texts, prefix, count):
        inputs = {"text": tf.constant(texts), "prefix": tf.constant(prefix)}
        found = loaded.signatures["alternatives"](count=tf.constant(count), **inputs)
        return {name: values.numpy() for name, values in found.items()}

    call.loaded = loaded  # its signatures live as long as it does
    return call


def prefixes_of(translation):
    """What a translation begins with, up to each of its first words."""
    # Not up to the "s" of "girl's", which may be of one token with what is before it.
    return [translation[: word.start()] for word in re.finditer(r"(?<!\S)\w+", translation)][:3]


def next_word(text, prefix):
    return re.match(r"\s*(\w+|\S)", text[len(prefix.rstrip()) :])[1]


@pytest.mark.parametrize("text", ["O gato dorme .", "a menina viu o gato preto ."])
def test_alternatives_begin_with_the_prefix_and_go_on_with_different_words(translator, text):
    [best] = translator.translate([text])
    for prefix in prefixes_of(best.text):
        found = translator.alternatives(text, prefix, 4)
        assert 1 < len(found) <= 4
        # An "'s" may go on without the space.
        assert all(other.text.startswith(prefix.rstrip()) for other in found)
        words = [next_word(other.text, prefix) for other in found]
        assert len(set(words)) == len(words)
        scores = [other.score for other in found]
        assert scores == sorted(scores, reverse=True)
        assert best.text in [other.text for other in found]  # greedy search goes on as it did


@pytest.mark.slow
def test_an_export_gives_the_same(translator, signature):
    texts = ["O gato dorme .", "  - O gato dorme . A menina viu o gato !", "", "O e-mail a@b.org ."]
    for text in texts:
        [best] = translator.translate([text])
        for prefix in ["", *prefixes_of(best.text)]:
            live = translator.alternatives(text, prefix, 3)
            found = signature([text], prefix, 3)
            count = sum(found["scores"][0] > NOT_FOUND)
            assert [one.decode() for one in found["translations"][0][:count]] == [
                one.text for one in live
            ]
            assert found["scores"][0][:count] == pytest.approx([one.score for one in live])
            assert not any(found["translations"][0][count:])


def test_the_first_of_several_sentences_has_alternatives_and_the_rest_is_whole(translator):
    text = "  - O gato dorme .  A menina viu o gato !\n"
    [best] = translator.translate([text])
    gaps = [gap.decode() for gap in split_sentences([text]).gaps.numpy()]
    found = translator.alternatives(text, gaps[0], 3)
    assert len(found) == 3
    tail = best.text[best.text.index(gaps[1], len(gaps[0])) :]
    assert all(other.text.startswith(gaps[0]) for other in found)
    assert all(other.text.endswith(tail) for other in found)


@pytest.mark.slow
def test_texts_of_a_batch_do_not_know_of_each_other(translator, signature):
    texts = ["O gato dorme .", "a menina", "", "o gato preto viu a menina ."]
    together = signature(texts, "the ", 3)
    for row, text in enumerate(texts):
        alone = signature([text], "the ", 3)
        assert together["translations"][row].tolist() == alone["translations"][0].tolist()
        assert together["scores"][row] == pytest.approx(alone["scores"][0], abs=1e-4)


@pytest.mark.parametrize("prefix", ["the", "nothing like it, ", "\0", "😀 ", "the " * 200])
@pytest.mark.slow
def test_any_prefix_gives_what_begins_with_it_or_nothing(translator, prefix):
    for other in translator.alternatives("O gato dorme .", prefix, 3):
        assert other.text.startswith(prefix.rstrip())


@pytest.mark.parametrize("count", [0, 17, -1, 2.5])
@pytest.mark.slow
def test_another_count_is_an_error(translator, count):
    with pytest.raises(InputError, match="count"):
        translator.alternatives("O gato", "", count)


@pytest.mark.slow
def test_the_likelier_of_equal_words_counts_and_longer_words_are_others():
    texts = [["a cat", "a cat sat", "a dog", "another", "ab", "a  cow", "a "]]
    scores = [[-5.0, -1.0, -2.0, -0.1, -0.2, -3.0, -0.3]]
    found = best_distinct(
        tf.constant(texts), tf.constant(scores), tf.fill((1, 7), True), tf.constant("a "), 4
    )
    assert found["translations"].numpy().tolist() == [[b"a dog", b"a  cow", b"a cat", b""]]
    assert found["scores"].numpy().tolist() == [[-2.0, -3.0, -5.0, NOT_FOUND]]
    found = best_distinct(
        tf.constant(texts), tf.constant(scores), tf.fill((1, 7), True), tf.constant("a "), 2
    )
    assert found["translations"].numpy().tolist() == [[b"a dog", b"a cat"]]
