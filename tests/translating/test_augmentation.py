"""Augmentation: originals, both directions, filters; the same however often it was interrupted."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from keras_transformer.cli.command import main
from keras_transformer.data.corpora.corpus import Corpus
from keras_transformer.data.corpora.pair_files import read_pairs
from keras_transformer.data.corpora.sample import read_sample
from keras_transformer.data.tokenizers.masked import PairOptions, tokenize_pair
from keras_transformer.data.tokenizers.pair import train_tokenizers
from keras_transformer.errors import InputError
from keras_transformer.special_tokens import UNK
from keras_transformer.translating.augmentation import ORIGINS, TAG, augment
from keras_transformer.translating.pair_filters import Filters
from keras_transformer.translating.translation import Translation

LANGUAGES = "pt", "en"
PAIRS = [
    *((f"fonte {i % 17} com palavras .", f"source {i % 17} with words .") for i in range(23)),
    ("adeus .", "good bye ."),
]
TEXTS = [f"text {i % 5} has words ." for i in range(8)]


class Model:
    """Writes what a text is mapped to, or its words with a mark; may stop after some calls."""

    takes_first_stream = True

    def __init__(self, source="pt", target="en", writes=None, mark="x", calls=np.inf):
        self.tokenizers = SimpleNamespace(source_language=source, target_language=target)
        self.folders = [f"runs/{source}-{target}"]
        self.writes, self.mark, self.calls = writes or {}, mark, calls
        self.asked, self.options = [], []

    def translate(self, lines, first_stream, **options):
        if self.calls <= 0:
            raise KeyboardInterrupt
        self.calls -= 1
        self.asked += zip(itertools.count(first_stream), lines, strict=False)
        self.options.append(options)
        marked = (" ".join(f"{word}{self.mark}" for word in line.split()) for line in lines)
        return [
            Translation(self.writes.get(line, other), -1.0)
            for line, other in zip(lines, marked, strict=True)
        ]


def forward(**options):
    return Model(**options)


def backward(**options):
    return Model("en", "pt", **options)


@pytest.fixture
def table(tmp_path):
    return tmp_path / "augmented.tsv"


def made(models, pairs, table, **options):
    """Counts and lines of a table, which is gone afterwards."""
    counts = augment(models, pairs, table, languages=LANGUAGES, **options)
    lines = read_pairs(str(table))
    table.unlink()
    return counts, lines


# Laws


def test_originals_are_all_there_once_and_no_line_twice(table):
    # Translations that are originals, of their own pair and of one that comes later.
    writes = {PAIRS[0][0]: PAIRS[0][1], PAIRS[3][0]: "good bye ."}
    back = {PAIRS[5][1]: PAIRS[5][0], "good bye .": "adeus ."}
    models = [forward(writes=writes), forward(), backward(writes=back)]
    for tag in (False, True):
        counts, lines = made(models, PAIRS, table, tag=tag)
        assert len(lines) == len(set(lines)) == sum(counts[origin] for origin in ORIGINS)
        assert set(PAIRS) <= set(lines)
        assert counts["original"] == len(set(PAIRS))
        assert counts["duplicates"] > 4 * 6
    _, lines = made(models, PAIRS, table, originals=False)
    assert len(lines) == len(set(lines))
    assert set(lines) & set(PAIRS) == {PAIRS[0], PAIRS[5], PAIRS[-1]}


def test_a_model_keeps_the_side_that_it_was_given(table):
    _, lines = made([forward()], PAIRS, table, originals=False)
    assert {source for source, _ in lines} == {source for source, _ in PAIRS}
    _, lines = made([backward()], PAIRS, table, originals=False, monolingual=TEXTS)
    assert {target for _, target in lines} == {target for _, target in PAIRS} | set(TEXTS)
    _, lines = made([backward()], [], table, monolingual=TEXTS)
    assert lines == [(" ".join(f"{w}x" for w in text.split()), text) for text in TEXTS[:5]]


def test_counts_add_up_to_all_that_there_was(table):
    writes = dict(zip([source for source, _ in PAIRS], ["", "fonte", "x " * 9], strict=False))
    filters = Filters(max_words=6, max_ratio=1.5, max_copied=0.5, min_round_trip=70)
    models = [forward(writes=writes), backward()]
    counts, lines = made(
        models,
        [*PAIRS, ("", "no source"), ("no target", " ")],
        table,
        monolingual=[*TEXTS, ""],
        filters=filters,
        round_trip=[backward(mark=""), forward(mark="")],
    )
    assert sum(counts.values()) == 3 * (len(PAIRS) + 2) + len(TEXTS) + 1
    assert sum(counts[origin] for origin in ORIGINS) == len(lines)
    assert set(counts) == {*ORIGINS, *filters.names, "duplicates"}


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_interrupted_it_goes_on_and_ends_with_the_same_bytes(calls, table, tmp_path):
    options = {"languages": LANGUAGES, "monolingual": TEXTS, "tag": True}
    options |= {"filters": Filters(min_round_trip=60)}
    checks = [backward(mark=""), forward(mark="")]
    whole = tmp_path / "whole.tsv"
    models = [forward(), backward()]
    expected = augment(models, PAIRS, whole, chunk=5, round_trip=checks, **options)
    stopped = [forward(), backward(calls=calls)]
    with pytest.raises(KeyboardInterrupt):
        augment(stopped, PAIRS, table, chunk=5, round_trip=checks, **options)
    assert not table.exists()
    with open(f"{table}.unfinished", "ab") as file:
        file.write(b"half a li")  # what a killed process may leave
    rest = [forward(), backward()]
    assert augment(rest, PAIRS, table, chunk=7, round_trip=checks, **options) == expected
    assert table.read_bytes() == whole.read_bytes()
    assert sorted(tmp_path.iterdir()) == [table, whole]
    # The numbers of random numbers follow from the place in the input, not from the chunk.
    assert stopped[1].asked + rest[1].asked == models[1].asked


def test_what_was_begun_in_another_way_is_not_gone_on_with(table):
    options = {"languages": LANGUAGES, "about": {"models": "one"}, "chunk": 5}
    with pytest.raises(KeyboardInterrupt):
        augment([forward(calls=1)], PAIRS, table, **options)
    for changed in (
        *({"about": {"models": "two"}}, {"beam_size": 2}, {"originals": False}, {"tag": True}),
        {"filters": Filters(max_words=9)},
    ):
        with pytest.raises(InputError, match=r"augmented\.tsv\.progress: was begun with another"):
            augment([forward()], PAIRS, table, **{**options, **changed})


@pytest.mark.parametrize("kind", ["wordpiece", "sentencepiece"])
@pytest.mark.parametrize(("normalization", "case"), [("ptb-lower", None), ("none", "factored")])
def test_the_tag_is_a_token_of_its_own(kind, normalization, case):
    pairs = read_sample()["train"][:300]
    tagged = [(f"{TAG} {source}", target) for source, target in pairs]
    corpus = Corpus.from_pairs("tagged", {"train": [*pairs, *tagged]}, normalization=normalization)
    tokenizers = train_tokenizers(corpus, kind, 900, shared=True, case=case, placeholders=16)

    def source_tokens(pairs):
        columns = (tf.constant(side, tf.string) for side in zip(*pairs, strict=True))
        ids, _ = tokenize_pair(tokenizers, *columns, PairOptions())
        return ids.to_list(), tokenizers.source.lookup(ids).to_list()

    (ids, plain), (tagged_ids, marked) = source_tokens(pairs), source_tokens(tagged)
    before = marked[0][1 : 1 + len(marked[0]) - len(plain[0])]
    assert before[-1].decode().endswith(TAG)
    assert b"".join(before).decode().strip("▁") == TAG
    assert marked == [[*row[:1], *before, *row[1:]] for row in plain]
    assert not any(UNK in row for row in (*ids, *tagged_ids))
    assert not any(before[-1] in row for row in plain)


# Examples


def test_each_item_has_its_lines_in_order(table):
    models = [
        forward(writes={"a b": "c\td\u2028e"}),
        backward(writes={"f": "g", "h i": "j"}),
        forward(writes={"a b": "f"}),
    ]
    counts, lines = made(models, [("a b", "f")], table, monolingual=["h i"], tag=True)
    assert lines == [
        *(("a b", "f"), ("a b", "c d e")),
        *((f"{TAG} g", "f"), (f"{TAG} j", "h i")),
    ]
    assert (counts["original"], counts["forward"], counts["backward"]) == (1, 1, 2)
    assert counts["duplicates"] == 1
    for model in models:
        assert all(call == {"style": "corpus", "beam_size": 5} for call in model.options)
    made(models, [("a b", "f")], table, sampling=True, seed=3)
    assert models[0].options[-1] == {
        "style": "corpus",
        "beam_size": 1,
        "sampling": True,
        "seed": 3,
    }


@pytest.mark.parametrize(
    ("translation", "reason", "filters"),
    [
        (" ", "empty", {}),
        ("A gata  dorme .", "identical sides", {}),
        ("the cat sleeps and snores .", "too long", {"max_words": 5}),
        ("the cat sleeps .", None, {"max_words": 4}),
        ("the cat sleeps and snores .", "length ratio", {"max_ratio": 1.4}),
        ("no", "length ratio", {}),
        ("the cat sleeps and snores .", None, {"max_ratio": 1.5}),
        ("a gata sleeps .", "copied source", {"max_copied": 0.5}),
        ("gata she sleeps .", None, {"max_copied": 0.5}),
        ("o gato está a dormir .", "language", {"check_language": True}),
        ("the cat is sleeping .", None, {"check_language": True}),
    ],
)
def test_each_filter_takes_what_it_is_for(translation, reason, filters):
    filters = Filters(**filters)
    assert filters.reason("a gata dorme .", translation, LANGUAGES) == reason
    # A backward model's pairs are the same, the other way round.
    assert filters.reason(translation, "a gata dorme .", LANGUAGES[::-1]) in (
        reason,
        "copied source",
    )
    assert reason is None or reason in filters.names


def test_what_does_not_come_back_is_left_out(table):
    model = forward(writes={"o gato dorme": "the cat sleeps", "a casa": "a dog"})
    back = backward(writes={"the cat sleeps": "O gato dorme", "a dog": "um cachorro"})
    pairs = [("o gato dorme", "x"), ("a casa", "y"), ("o gato dorme", "z")]
    counts, lines = made(
        [model],
        pairs,
        table,
        originals=False,
        filters=Filters(min_round_trip=99),
        round_trip=[back],
    )
    assert lines == [("o gato dorme", "the cat sleeps")]
    assert (counts["round trip"], counts["duplicates"]) == (1, 1)
    assert [text for _, text in back.asked] == ["the cat sleeps", "a dog"]
    assert back.options == [{"style": "corpus"}]


def test_wrong_models_are_refused_in_one_line(table):
    def refused(message, models, **options):
        with pytest.raises(InputError, match=message):
            augment(models, PAIRS, table, **{"languages": LANGUAGES, **options})
        assert not table.with_name("augmented.tsv.unfinished").exists()

    other = Model("de", "en")
    refused("runs/de-en: translates from de to en, neither from pt to en nor back", [other])
    refused("runs/unknown-en: does not say its languages", [Model("unknown", "en")])
    refused("a model: does not say its languages", [SimpleNamespace(translate=None)])
    refused("of the corpus are not known", [forward()], languages=("unknown", "unknown"))
    refused("needs a model that translates from en", [forward()], monolingual=TEXTS)
    limit = {"filters": Filters(min_round_trip=50)}
    refused("needs both models and the least score", [forward()], **limit)
    refused("needs both models and the least score", [forward()], round_trip=[backward()])
    refused("no backward model", [forward()], round_trip=[forward()], **limit)
    refused("one model of each direction", [forward()], round_trip=[backward()] * 2, **limit)
    counts = augment([Model("pt-BR", "en")], PAIRS, table, languages=("pt_PT", "en"))
    assert counts["forward"] == len(set(PAIRS))


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_words", 0), ("max_ratio", 0.5), ("max_copied", 1.1), ("min_round_trip", "much")],
)
def test_wrong_limits_are_named(name, value):
    with pytest.raises(InputError, match=f"{name} is a "):
        Filters(**{name: value})


def test_languages_need_their_extra(monkeypatch):
    monkeypatch.setattr(
        "keras_transformer.data.corpora.pair_filters._detector",
        lambda: SimpleNamespace(is_there=False),
    )
    with pytest.raises(InputError, match=r"keras_transformer\[detect\]"):
        Filters(check_language=True)
    assert "language" not in Filters().names


# The command


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_the_command_writes_what_the_function_does(tiny_run, tiny_corpus, tmp_path):
    pairs = [
        (source.decode(), target.decode())
        for source, target in tiny_corpus.test.take(6).as_numpy_iterator()
    ]
    # The run translates from pt to en; here that is the way back.
    corpus = write(tmp_path / "c.en-pt.tsv", (f"{target}\t{source}" for source, target in pairs))
    text = write(tmp_path / "more.pt", ["o gato dorme .", "a menina dorme ."])
    table, again = tmp_path / "augmented.tsv", tmp_path / "again.tsv"
    command = ["augment", "--model", str(tiny_run.folder), "--pairs", str(corpus), "--tag"]
    command += ["--monolingual", str(text), "--max-words", "40", "--beam-size", "2"]
    result = CliRunner().invoke(main, [*command, "--output", str(table)])
    assert result.exit_code == 0, result.output
    counts = augment(
        [tiny_run.translator],
        [(target, source) for source, target in pairs],
        again,
        languages=("en", "pt"),
        monolingual=["o gato dorme .", "a menina dorme ."],
        tag=True,
        filters=Filters(max_words=40),
        beam_size=2,
    )
    assert table.read_bytes() == again.read_bytes()
    assert f"({counts['original']} original, 0 forward, {counts['backward']} backward)" in (
        result.output
    )
    assert f"{counts['empty']} empty" in result.output


def test_samples_follow_from_the_seed_and_the_place(tiny_run, tiny_corpus, table):
    texts = [source.decode() for source, _ in tiny_corpus.test.take(7).as_numpy_iterator()]
    found = [
        made(
            [tiny_run.translator],
            [(text, "reference") for text in [*texts, *texts]],
            table,
            originals=False,
            filters=Filters(max_ratio=99),
            sampling=True,
            **options,
        )
        for options in ({"seed": 3}, {"seed": 3, "chunk": 4}, {"seed": 4})
    ]
    assert found[0] == found[1]
    assert found[0][1] != found[2][1]
    assert found[0][0]["duplicates"] < 7  # the second sample of a text is another


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "Give a --dataset, --pairs or --monolingual"),
        (["--pairs", "a.tsv", "--dataset", "sample"], 2, "either --dataset or --pairs"),
        (["--pairs", "a.tsv", "--data-dir", "."], 2, "--data-dir is of a --dataset"),
        (["--dataset", "sample", "--min-round-trip", "50"], 2, "or neither"),
        (["--dataset", "sample", "--source-language", "de"], 1, "neither from de to en nor back"),
        (["--monolingual", "{en}"], 1, "needs a model that translates from en"),
        (["--dataset", "sample", "--monolingual", "{fr}"], 1, "is fr by its name"),
    ],
)
def test_wrong_commands_are_told_in_one_line(options, code, message, tiny_run, tmp_path):
    files = {name: write(tmp_path / f"text.{name}", ["one line"]) for name in ("en", "fr")}
    options = [option.format(**files) for option in options]
    output = ["--output", str(tmp_path / "out.tsv")]
    command = ["augment", "--model", str(tiny_run.folder), *output, *options]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == code
    assert message in result.output.splitlines()[-1]
