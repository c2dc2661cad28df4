"""Comparisons are fair to both systems, repeatable, what sacreBLEU says, and shown as they are."""

import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import sacrebleu.significance
from sacrebleu.metrics import BLEU, CHRF

from keras_transformer.errors import InputError
from keras_transformer.translating.comparison import significance
from keras_transformer.translating.comparison.compare import compare_translations
from keras_transformer.translating.comparison.page import comparison_page
from keras_transformer.translating.comparison.tables import as_text

WORDS = ["the", "a", "cat", "dog", "girl", "sees", "saw", "reads", "book", "of", "in", "old", "red"]
TESTS = ("bootstrap", "randomization")


def lines(seed, count=40):
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, generator.integers(4, 30))) for _ in range(count)]


def damaged(texts, share, seed):
    generator = np.random.default_rng(seed)
    return [
        " ".join(word if generator.random() > share else "x" for word in text.split())
        for text in texts
    ]


SOURCES, REFERENCES = lines(1), lines(2)
ONE, OTHER = damaged(REFERENCES, 0.2, 3), damaged(REFERENCES, 0.3, 4)


def compare(one, other, **options):
    return compare_translations(SOURCES, REFERENCES, {"one": one, "other": other}, **options)


@pytest.fixture(scope="module")
def found():
    return compare(ONE, OTHER)


def test_a_system_does_not_differ_from_itself():
    found = compare(ONE, ONE)
    assert found["different"] == 0
    assert found["better"] == found["worse"] == []
    for metric in found["metrics"].values():
        assert [metric[test]["p"] for test in TESTS] == [1.0, 1.0]
    for part in (*found["by_length"], *found["by_frequency"]):
        one, other = part.get("bleu") or part["f1"]
        assert one == other
    assert {"In BLEU they are equal.", "In chrF2 they are equal."} < set(as_text(found))


def test_systems_may_change_places(found):
    turned = compare(OTHER, ONE)
    for name, metric in found["metrics"].items():
        other = turned["metrics"][name]
        assert other["scores"] == metric["scores"][::-1]
        assert other["bootstrap"]["intervals"] == metric["bootstrap"]["intervals"][::-1]
        for test in TESTS:
            assert other[test]["p"] == metric[test]["p"]
    for one, other in ((found["better"], turned["worse"]), (found["worse"], turned["better"])):
        assert [each["number"] for each in one] == [each["number"] for each in other]
    for name, score in (("by_length", "bleu"), ("by_frequency", "f1")):
        assert [part[score] for part in turned[name]] == [p[score][::-1] for p in found[name]]


@pytest.mark.parametrize("seed", ["7", "none", None])
def test_the_environment_changes_nothing_and_stays_as_it_is(found, seed, monkeypatch):
    if seed is None:
        monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    else:
        monkeypatch.setenv("SACREBLEU_SEED", seed)
    assert compare(ONE, OTHER) == found
    assert os.environ.get("SACREBLEU_SEED") == seed


@pytest.mark.parametrize(("differing", "least"), [(1, 1.0), (2, 0.5), (5, 1 / 16)])
def test_few_sentences_that_differ_are_no_evidence(differing, least):
    """sacreBLEU itself gives one sentence a p-value of 0.0001."""
    found = compare(REFERENCES, OTHER[:differing] + REFERENCES[differing:])
    assert found["different"] == differing
    for metric in found["metrics"].values():
        assert metric["scores"][0] > metric["scores"][1]
        assert min(metric[test]["p"] for test in TESTS) >= least


def test_equal_scores_of_different_texts_are_no_difference():
    found = compare(ONE, [f"{line} " for line in ONE])
    assert found["different"] == len(ONE)
    assert {metric[test]["p"] for metric in found["metrics"].values() for test in TESTS} == {1.0}


def test_the_tests_are_those_of_sacrebleu(found, monkeypatch):
    monkeypatch.setenv("SACREBLEU_SEED", "12345")
    for test, kind in zip(TESTS, ("bs", "ar"), strict=True):
        signatures, results = sacrebleu.significance.PairedTest(
            [("one", ONE), ("other", OTHER)],
            {"bleu": BLEU(force=True), "chrf": CHRF()},
            references=[REFERENCES],
            test_type=kind,
        )()
        for name, metric in (("BLEU", "bleu"), ("chrF2", "chrf")):
            ours = found["metrics"][metric]
            assert ours["scores"] == [result.score for result in results[name]]
            assert ours[test]["p"] == results[name][1].p_value
            assert ours[test]["signature"] == str(signatures[name])
            if kind == "bs":
                assert ours[test]["means"] == [result.mean for result in results[name]]
                assert ours[test]["intervals"] == [result.ci for result in results[name]]


def test_the_better_sentences_come_first(found):
    metric = CHRF()
    by_number = [
        metric.sentence_score(one, [reference]).score
        - metric.sentence_score(other, [reference]).score
        for one, other, reference in zip(ONE, OTHER, REFERENCES, strict=True)
    ]
    order = np.argsort(by_number)
    assert [each["number"] - 1 for each in found["worse"]] == [*order[:5]]
    assert [each["number"] - 1 for each in found["better"]] == [*order[:-6:-1]]
    for each in (*found["better"], *found["worse"]):
        place = each["number"] - 1
        assert each["source"] == SOURCES[place]
        assert each["reference"] == REFERENCES[place]
        assert each["translations"] == [ONE[place], OTHER[place]]


def test_as_many_examples_as_asked_for():
    found = compare(ONE, OTHER, examples=2)
    assert len(found["better"]) == len(found["worse"]) == 2
    found = compare(ONE, OTHER, examples=0)
    assert found["better"] == found["worse"] == []
    assert "Sentences" not in comparison_page(found)


def test_training_text_may_be_read_once():
    found = compare(ONE, OTHER, training_text=(line for line in REFERENCES))
    assert found["by_frequency"] == compare(ONE, OTHER)["by_frequency"]
    assert found["counted_in"] == "training text"
    as_bytes = compare(ONE, OTHER, training_text=[line.encode() for line in REFERENCES])
    assert as_bytes == found


def test_the_result_is_json(found):
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"translations": {"one": ONE}}, "1 systems to compare"),
        ({"translations": {"one": ONE, "other": OTHER[1:]}}, "other: 39 lines for 40 references"),
        ({"sources": SOURCES[:3]}, "sources: 3 lines for 40 references"),
        ({"references": [" ", *REFERENCES[1:]]}, "reference 1 is empty"),
        ({"references": [], "sources": [], "translations": {"a": [], "b": []}}, "no sentences"),
        ({"translations": {"one": ONE, "other": "text"}}, "translations of other are several"),
        ({"training_text": "text"}, "training_text are several texts"),
        ({"examples": -1}, "examples is a whole number"),
        ({"tokenize": "nonsense"}, "no tokenizer 'nonsense'"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes, message):
    arguments = {
        "sources": SOURCES,
        "references": REFERENCES,
        "translations": {"one": ONE, "other": OTHER},
        **changes,
    }
    with pytest.raises(InputError, match=message) as error:
        compare_translations(**arguments)
    assert "\n" not in str(error.value)


def test_more_lines_than_there_is_memory_for_are_refused(monkeypatch):
    monkeypatch.setattr(significance, "_MOST_LINES", 39)
    with pytest.raises(InputError, match="40 lines to compare: the tests take at most 39"):
        compare(ONE, OTHER)


def test_characters_of_a_script_without_spaces_are_words():
    chinese = ["我们必须解决这个问题", "猫在花园里看见了那个女孩"]
    found = compare_translations(chinese, chinese, {"a": chinese, "b": [chinese[1], chinese[0]]})
    assert found["by_length"][0]["unit"] == "characters"
    assert "tok:zh" in found["metrics"]["bleu"]["bootstrap"]["signature"]
    assert sum(part["words"] for part in found["by_frequency"]) == len("".join(chinese))


# What people see


def test_the_text_has_every_number(found):
    text = list(as_text(found))
    assert text[:2] == ["A  one", "B  other"]
    rows = {line.split()[0]: line.split() for line in text if line.startswith(("1-10", "11-20"))}
    for part in found["by_length"][:2]:
        one, other = part["bleu"]
        numbers = [f"{one:.2f}", f"{other:.2f}", f"{one - other:+.2f}"]
        assert rows[part["words"]] == [part["words"], str(part["sentences"]), *numbers]
    start = text.index("F1 of words by their count in the references") + 1
    table = text[start : text.index("", start) - 1]
    assert len({len(line) for line in table}) == 1, "columns stand below one another"


@pytest.mark.parametrize(
    ("p_values", "says"),
    [
        ((0.01, 0.02), "significantly (p < 0.05 in both tests)"),
        ((0.01, 0.2), "which may be chance (p < 0.05 in one test only)"),
        ((0.05, 0.2), "which may be chance (p ≥ 0.05 in both tests)"),
    ],
)
def test_the_text_says_what_the_tests_mean(found, p_values, says):
    found = json.loads(json.dumps(found))
    for test, p in zip(TESTS, p_values, strict=True):
        found["metrics"]["bleu"][test]["p"] = p
    one, other = found["metrics"]["bleu"]["scores"]
    assert f"In BLEU A is better by {one - other:.2f}, {says}." in list(as_text(found))


class Page(HTMLParser):
    """The elements of a page and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.texts = set(), [], []
        self.feed(page)
        self.close()
        self.text = "".join(self.texts)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.texts.append(data)


HOSTILE = "</style></dd><script>alert(1)</script> <img src=x onerror=alert(1)> & &lt; \" ' ]]> -->"


def test_the_page_shows_texts_and_runs_none():
    names = {f"runs/{HOSTILE}": [HOSTILE, *ONE[1:]], "other": OTHER}
    found = compare_translations(
        [HOSTILE, *SOURCES[1:]], [f"{HOSTILE} .", *REFERENCES[1:]], names, examples=40
    )
    page = Page(comparison_page(found))
    plain = Page(comparison_page(compare(ONE, OTHER, examples=40)))
    assert page.tags == plain.tags
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) == 5  # the title, a name, source, reference and translation
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_the_page_needs_nothing_from_elsewhere(found):
    text = comparison_page(found)
    page = Page(text)
    assert not {name for name, _ in page.attributes} & {"src", "href", "style"}
    assert "url(" not in text
    assert "@import" not in text


def test_the_policy_allows_the_style_of_the_page_alone(found):
    text = comparison_page(found)
    [style] = re.findall(r"<style>(.*)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    [policy] = re.findall(r'Security-Policy" content="([^"]*)"', text)
    assert f"default-src 'none'; style-src 'sha256-{digest}';" in policy


def test_the_page_has_the_tables_and_marks_what_the_reference_lacks():
    references = ["the cat saw the dog"]
    found = compare_translations(
        ["x"], references, {"a": ["the cat saw a dog dog"], "b": ["nothing"]}
    )
    text = comparison_page(found)
    assert "the cat saw <u>a</u> dog <u>dog</u>" in text
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", text)
    for line in as_text(found):
        if line.startswith(("1-10", "A - B", "p, ")):
            assert set(re.split(r"  +", line)) <= set(cells), line
