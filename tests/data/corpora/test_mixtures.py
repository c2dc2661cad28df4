"""Mixtures: nothing is lost, weights and tags are as asked for, filters tell what they took."""

import itertools
from collections import Counter

import pytest

from keras_transformer.data import load_corpus
from keras_transformer.data.corpora.corpus import Corpus, list_pairs
from keras_transformer.data.corpora.mixture import CorpusPart, mix_corpora, read_mixture
from keras_transformer.data.corpora.pair_filters import PairFilters
from keras_transformer.errors import InputError


def corpus(name, count, *, target="en", train=None, validation=2):
    """A corpus of pairs that say where they are from."""
    made = [(f"{name} um {i}", f"{name} one {i}") for i in range(count)]
    parts = {"train": train or made, "validation": [("v " + name, "w " + name)] * validation}
    return Corpus.from_pairs(name, parts, target_language=target)


def counted(found):
    """How often each pair is there, and what the dataset says of their number."""
    pairs = list_pairs(found)
    assert int(found.cardinality()) == len(pairs)
    return Counter(pairs)


@pytest.mark.parametrize("weight", [1, 1.5, 2, 3.25, 0.4])
def test_weights_say_how_often_pairs_are_seen_and_lose_none(weight):
    first, second = corpus("a", 200), corpus("b", 80)
    found = counted(mix_corpora([first, CorpusPart(second, weight)]).train)
    factors = {"a": max(1, 1 / weight), "b": max(1, weight)}
    for one in (first, second):
        times = [found[pair] for pair in list_pairs(one.train)]
        assert min(times) == int(factors[one.name])
        assert max(times) - min(times) <= 1
        assert sum(times) == round(len(times) * factors[one.name])


def test_a_fraction_of_the_pairs_is_spread_evenly():
    mixture = mix_corpora([corpus("a", 10), CorpusPart(corpus("b", 100), 1.25)])
    found = counted(mixture.train)
    often = [i for i in range(100) if found[f"b um {i}", f"b one {i}"] == 2]
    assert len(often) == 25
    assert {high - low for low, high in itertools.pairwise(often)} == {4}


def test_temperatures():
    corpora = [corpus("a", 1000), corpus("b", 10)]
    assert counted(mix_corpora(corpora, temperature=1).train) == counted(mix_corpora(corpora).train)
    found = counted(mix_corpora(corpora, temperature=2).train)
    shares = [sum(found[pair] for pair in list_pairs(one.train)) for one in corpora]
    assert shares == [1000, 100]  # as the roots of 1000 and 10
    assert mix_corpora(corpora, temperature=2).notes == ("b: 10 pairs, each 10 times in an epoch",)


def test_languages_have_tags_where_there_are_several():
    one, two = corpus("a", 3), corpus("b", 3, target="es")
    assert mix_corpora([one, one]).tags == ()
    found = mix_corpora([one, CorpusPart(two, tags=["<web>"])])
    assert found.tags == ("<2en>", "<2es>", "<web>")
    sources = [source for source, _ in list_pairs(found.train)]
    assert sources[0] == "<2en> a um 0"
    assert sources[3] == "<2es> <web> b um 0"
    assert [source for source, _ in list_pairs(found.validation)][2:] == ["<2es> <web> v b"] * 2
    assert (found.source_language, found.target_language) == ("pt", "mul")
    assert mix_corpora([one], language_tags=True).tags == ("<2en>",)
    assert mix_corpora([one, two], language_tags=False).tags == ()


FILTERED = [
    ("um gato", "one cat"),
    ("um gato", "one cat"),
    ("Um  GATO", "one cat"),
    ("igual", "Igual"),
    ("um dois três quatro", "one"),
    ("a " * 30, "b " * 30),
    ("bom", "good"),
]


def test_filters_tell_what_they_took():
    first = corpus("a", 1, train=FILTERED)
    second = corpus("b", 1, train=[("um gato", "one cat"), ("sim", "yes")])
    limits = PairFilters(max_words=20, max_ratio=2)
    found = mix_corpora(
        [
            CorpusPart(first, filters=limits, drop_duplicates=True),
            CorpusPart(second, drop_duplicates=True),
        ]
    )
    assert list_pairs(found.train) == [FILTERED[0], FILTERED[6], ("sim", "yes")]
    assert int(found.train.cardinality()) == 3
    assert found.notes == (
        "a: 2 pairs (1 identical sides, 1 length ratio, 1 too long, 2 duplicates left out)",
        "b: 1 pairs (1 duplicates left out)",
    )
    kept = mix_corpora([CorpusPart(first, filters=limits)])
    assert list_pairs(kept.train) == [*FILTERED[:3], FILTERED[6]]


def test_languages_are_checked_where_a_detector_is_there():
    pytest.importorskip("py3langid")
    pairs = [
        ("O governo anunciou novas medidas.", "The government announced new measures."),
        ("The weather is nice today.", "O tempo está bom hoje."),
    ]
    part = CorpusPart(corpus("a", 1, train=pairs), filters=PairFilters(check_language=True))
    assert list_pairs(mix_corpora([part]).train) == pairs[:1]


def write(folder, name, pairs):
    for side, language in enumerate(("pt", "en")):
        text = "".join(pair[side] + "\n" for pair in pairs)
        (folder / f"{name}.{language}").write_text(text, encoding="utf-8")
    return f"pairs:{folder}/{name}.pt,{folder}/{name}.en"


def test_a_file_of_a_mixture(tmp_path):
    made = [(f"um {i}", f"one {i}") for i in range(100)]
    first, second = write(tmp_path, "first", made), write(tmp_path, "second", made[:50])
    file = tmp_path / "mix.yaml"
    file.write_text(
        f"""
        datasets:
          - {{dataset: "{first}"}}
          - dataset: "{second}"
            weight: 3
            tags: [<web>]
            filters: {{max_words: 9, duplicates: false}}
            validation: false
        filters: {{max_ratio: 2}}
        """
    )
    found = load_corpus(f"mix:{file}")
    assert found.name == f"mix:{file}"
    assert found.tags == ("<web>",)
    assert len(list_pairs(found.validation)) == 2  # of the first
    pairs = counted(found.train)
    assert sum(pairs.values()) == 98 + 3 * 50  # nothing was held out of the second
    assert pairs["<web> um 3", "one 3"] == 3
    assert found.train_files
    assert load_corpus(f"mix:{file}").train_files == found.train_files
    file.write_text(file.read_text().replace("weight: 3", "weight: 2"))
    assert load_corpus(f"mix:{file}").train_files != found.train_files


def test_several_names_are_joined(tmp_path):
    made = [(f"um {i}", f"one {i}") for i in range(100)]
    names = [write(tmp_path, name, made) for name in ("first", "second")]
    found = load_corpus(names)
    assert found.name == " + ".join(names)
    assert counted(found.train) == counted(load_corpus(names[0]).train) + counted(
        load_corpus(names[1]).train
    )
    validated = load_corpus(names, validation_pairs=names[0])
    assert sum(counted(validated.train).values()) == 200
    assert len(list_pairs(validated.validation)) == 100


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "datasets"),
        ("datasets: []", "datasets"),
        ("datasets: [{dataset: sample, wieght: 2}]", r"datasets\.1\.wieght"),
        ("datasets: [{dataset: sample, weight: 0}]", r"datasets\.1\.weight.* greater than 0"),
        ("datasets: [{dataset: sample}]\ntemperature: 0.5", "temperature"),
        ("{", "neither YAML nor JSON"),
    ],
)
def test_wrong_files_are_refused(content, message, tmp_path):
    file = tmp_path / "mix.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        read_mixture(file)
    with pytest.raises(InputError, match="No such file"):
        read_mixture(tmp_path / "no.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("datasets: [{dataset: sample, filters: {max_wrods: 2}}]", "filters are max_words"),
        ("datasets: [{dataset: sample, filters: {max_words: 0}}]", "max_words"),
        ("datasets: [{dataset: sample, tags: [web]}]", "'web' is no tag"),
        ("datasets: [{dataset: 'text:a.txt'}]", "made of corpora of pairs"),
        ("datasets: [{dataset: sample, filters: {max_words: 1}}]", "no pair is left"),
    ],
)
def test_wrong_mixtures_are_refused(content, message, tmp_path):
    file = tmp_path / "mix.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        load_corpus(f"mix:{file}")


def test_wrong_arguments_are_refused(tmp_path):
    one, two = corpus("a", 3), corpus("b", 3, target="es")
    with pytest.raises(InputError, match="needs a corpus"):
        mix_corpora([])
    with pytest.raises(InputError, match="a weight is a number above 0"):
        mix_corpora([CorpusPart(one, -1)])
    with pytest.raises(InputError, match="two ways to mix"):
        mix_corpora([one, CorpusPart(one, 2)], temperature=5)
    with pytest.raises(InputError, match="a temperature is a number of at least 1"):
        mix_corpora([one], temperature=0)
    with pytest.raises(InputError, match="target language is not known"):
        mix_corpora([two, corpus("c", 2, target="unknown")])
    with pytest.raises(InputError, match="has no train pairs"):
        mix_corpora([Corpus("empty")])
    file = tmp_path / "mix.json"
    file.write_text('{"datasets": [{"dataset": "sample"}], "language_tags": true}')
    with pytest.raises(InputError, match="tags of languages"):
        load_corpus(f"mix:{file}", validation_pairs="a.pt,a.en")
