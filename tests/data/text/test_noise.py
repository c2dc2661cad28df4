"""Noise changes the share of pairs that it should, and each in a way that people do."""

import random
from collections import Counter

import pytest

from keras_transformer.data.text.noise import NOISES, noisy, without_accents
from keras_transformer.data.text.placeholders import KEPT, MaskedPair

PAIR = MaskedPair(f"A opção {KEPT} não está visível.", f"The option {KEPT} is hidden.", [0], [0])


def test_the_share_of_pairs_that_change():
    changed = [noisy(PAIR, 0.3, b"%d" % i) for i in range(400)]
    count = sum(pair != PAIR for pair in changed)
    assert 90 < count < 150
    assert changed == [noisy(PAIR, 0.3, b"%d" % i) for i in range(400)]
    assert noisy(PAIR, 0.0, b"1") == PAIR


def test_every_noise_is_taken_and_missing_accents_most_often():
    made = {noise(PAIR.source, PAIR.target, random.Random(1)): n for n, noise in NOISES.items()}
    changed = [noisy(PAIR, 0.999, b"%d" % i) for i in range(800)]
    counts = Counter(made.get((pair.source, pair.target), "mistyped") for pair in changed)
    assert all(50 < counts[name] < 150 for name in set(NOISES) - {"without accents"})
    assert 250 < counts["without accents"] < 350


@pytest.mark.parametrize("name", NOISES)
def test_placeholders_stay(name):
    for seed in range(50):
        source, target = NOISES[name](PAIR.source, PAIR.target, random.Random(seed))
        assert source.count(KEPT) == target.count(KEPT) == 1
        assert (source, target) != (PAIR.source, PAIR.target)


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("in capitals", f"A OPÇÃO {KEPT} NÃO ESTÁ VISÍVEL.", f"THE OPTION {KEPT} IS HIDDEN."),
        ("as a title", f"A Opção {KEPT} Não Está Visível.", f"The Option {KEPT} Is Hidden."),
        ("without capitals", f"a opção {KEPT} não está visível.", PAIR.target),
        ("without accents", f"A opcao {KEPT} nao esta visivel.", PAIR.target),
        ("without a stop", PAIR.source[:-1], PAIR.target[:-1]),
    ],
)
def test_examples(name, source, target):
    assert NOISES[name](PAIR.source, PAIR.target, random.Random(1)) == (source, target)


def test_mistyped_words_keep_most_of_their_letters():
    for seed in range(200):
        source, _ = NOISES["mistyped"](PAIR.source, PAIR.target, random.Random(seed))
        assert abs(len(source) - len(PAIR.source)) <= 2
        assert len(set(source.split()) & set(PAIR.source.split())) >= 4
    assert NOISES["mistyped"]("a b", "c", random.Random(1)) == ("a b", "c")
    assert NOISES["without a stop"](".", "x.", random.Random(1)) == (".", "x.")


def test_accents_of_any_script():
    assert without_accents("ação über ñandú ё 가") == "acao uber nandu е 가"
