"""Buckets of length divide the sentences, each scored by itself; pictures draw what is given."""

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg

from keras_transformer.errors import InputError
from keras_transformer.plotting.lengths import (
    plot_losses_by_time,
    plot_scores_by_length,
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


def scores(*numbers):
    words = ("1-10", "11-20", "21+")
    parts = zip(words, numbers, strict=True)
    return [{"words": name, "sentences": 1234, "bleu": number} for name, number in parts]


def by_characters(*numbers):
    return [{**part, "unit": "characters"} for part in scores(*numbers)]


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
    (axes,) = plot_scores_by_length({"GRU": found}).axes
    assert axes.get_xlabel() == "Characters of the source (sentences)"


def test_one_unit_for_all_buckets():
    """Most letters of all sources decide, and not each source for itself."""
    chinese, english = UNSPACED["Chinese"], sentence(12)
    references = [sentence(6)] * 3
    found = scores_by_length([chinese * 9, english, chinese], references, references)
    assert {part["unit"] for part in found} == {"characters"}
    found = scores_by_length(["word " * 90, english, chinese], references, references)
    assert {part["unit"] for part in found} == {"words"}
    (axes,) = plot_scores_by_length({"GRU": found}).axes
    assert axes.get_xlabel() == "Words of the source (sentences)"


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


def test_a_line_of_scores_for_each_system():
    open_before = pyplot.get_fignums()
    given = {f"system {number}": scores(30.0, 20.0 - number, None) for number in range(8)}
    figure = plot_scores_by_length(given)
    (axes,) = figure.axes
    lines = axes.get_lines()
    assert [line.get_label() for line in lines] == list(given)
    for number, line in enumerate(lines):
        np.testing.assert_array_equal(line.get_ydata(), [30, 20 - number, np.nan])
    looks = {(line.get_color(), str(line.get_linestyle()), line.get_marker()) for line in lines}
    assert len(looks) == len({look[2] for look in looks}) == len(given)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["1-10\n(1,234)", "11-20\n(1,234)", "21+\n(1,234)"]
    assert pyplot.get_fignums() == open_before


@pytest.mark.parametrize("highest", [0.0, 0.5, 100.0])
def test_the_highest_marker_has_room(highest):
    (axes,) = plot_scores_by_length({"GRU": scores(0.97 * highest, None, highest)}).axes
    low, high = axes.get_ylim()
    assert low == 0
    assert high > 1.03 * highest


def test_losses_are_drawn_over_minutes():
    figure = plot_losses_by_time({"GRU": ([60, 120, 180], [5, 4, 3.5]), "LSTM": ([90], [6])})
    first, second = figure.axes[0].get_lines()
    np.testing.assert_array_equal(first.get_xydata(), [(1, 5), (2, 4), (3, 3.5)])
    np.testing.assert_array_equal(second.get_xydata(), [(1.5, 6)])


def test_nothing_is_cut_and_the_legend_hides_nothing():
    names = ("GRU, attention of Bahdanau", "Transformer, 4 layers")
    for figure in (
        plot_scores_by_length(dict.fromkeys(names, scores(1.0, 2.0, 3.0))),
        plot_losses_by_time(dict.fromkeys(names, ([1, 600], [9, 2]))),
    ):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        (legend,), (axes,) = figure.legends, figure.axes
        boxes = [part.get_tightbbox(canvas.get_renderer()) for part in (legend, axes)]
        assert not boxes[0].overlaps(boxes[1])
        for box in boxes:
            assert box.x0 >= -1
            assert box.y0 >= -1
            assert box.x1 <= figure.bbox.width + 1
            assert box.y1 <= figure.bbox.height + 1


@pytest.mark.parametrize(
    ("draw", "given", "complaint"),
    [
        (plot_scores_by_length, {}, "0 systems"),
        (plot_losses_by_time, {str(number): ([1], [1]) for number in range(9)}, "9 systems"),
        (plot_scores_by_length, {"a": scores(1, 2, 3), "b": scores(1, 2, 3)[:2]}, "different"),
        (plot_scores_by_length, {"a": scores(1, 2, 3), "b": by_characters(1, 2, 3)}, "different"),
        (plot_losses_by_time, {"GRU": ([1, 2], [3])}, r"GRU: seconds of shape \(2,\)"),
        (plot_losses_by_time, {"GRU": ([], [])}, r"GRU: seconds of shape \(0,\)"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, given, complaint):
    with pytest.raises(InputError, match=complaint):
        draw(given)
