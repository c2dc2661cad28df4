"""Minimum Bayes risk: sacreBLEU's utilities, and the choice among samples."""

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

import keras_transformer as kt
from keras_transformer.errors import InputError
from keras_transformer.translating.minimum_risk import chrf_of_pairs, expected_utility

TEXTS = [
    "the cat sleeps on the mat .",
    "the cat is sleeping on the mat .",
    "a cat sleeps on a mat",
    "the dog barks .",
    "o",
    "",
    "  spaces   do not  count ",
    "spaces do not count",
    "é um 𝄞 çà",
]


def test_it_is_sacrebleus_chrf():
    metric = CHRF()
    expected = [[metric.sentence_score(one, [two]).score for two in TEXTS] for one in TEXTS]
    np.testing.assert_allclose(chrf_of_pairs(TEXTS), expected, atol=1e-9)
    assert np.isfinite(chrf_of_pairs(["", ""])).all()


@pytest.mark.parametrize(
    ("metric", "peer"), [("chrf", CHRF()), ("bleu", BLEU(effective_order=True))]
)
def test_it_is_the_mean_over_all_samples(metric, peer):
    texts = [TEXTS[i] for i in (0, 1, 1, 3, 0, 1)]
    expected = [
        np.mean([peer.sentence_score(one, [other]).score for other in texts]) for one in texts
    ]
    np.testing.assert_allclose(expected_utility(texts, metric), expected, atol=1e-9)
    assert np.argmax(expected_utility(texts, metric)) in (1, 2, 5)


@pytest.fixture(scope="module")
def translator(tiny_run):
    return tiny_run.translator


LINES = ["o gato dorme .", "", "eu vejo um gato ."]
SAMPLING = {"sampling": True, "temperature": 2.0}


@pytest.mark.parametrize("metric", ["chrf", "bleu"])
def test_the_sample_of_least_risk_comes_first(translator, metric):
    samples = translator.translate(LINES, n_best=6, **SAMPLING)
    found = translator.translate(LINES, mbr=6, mbr_metric=metric, n_best=6, **SAMPLING)
    for one, of_risk in zip(samples, found, strict=True):
        texts = [other.text for other in one.alternatives]
        ranked = [other.text for other in of_risk.alternatives]
        assert sorted(ranked) == sorted(texts)
        utilities = expected_utility(ranked, metric)
        assert (np.diff(utilities) <= 1e-9).all()
        assert of_risk.text == ranked[0]
    assert len({one.text for one in samples[0].alternatives}) > 2


def test_one_translation_is_given_unless_more_are_asked_for(translator):
    one = translator.translate(LINES, mbr=6, **SAMPLING)
    several = translator.translate(LINES, mbr=6, n_best=3, **SAMPLING)
    assert [each.text for each in one] == [each.text for each in several]
    assert one[0].alternatives is None
    assert [len(each.alternatives) for each in several] == [3, 3, 3]
    assert one[1].text == ""


def test_of_one_sample_it_is_that(translator):
    (sample,) = translator.translate(LINES[:1], sampling=True)
    (found,) = translator.translate(LINES[:1], sampling=True, mbr=1)
    assert found == sample


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mbr": 4}, "set decoding.sampling"),
        ({"mbr": 4, "sampling": True, "n_best": 5}, "raise decoding.mbr"),
        ({"mbr": 4, "sampling": True, "mbr_metric": "ter"}, "mbr_metric"),
    ],
)
def test_what_makes_no_sense_is_refused(translator, options, message):
    with pytest.raises(InputError, match=message):
        translator.translate(LINES, **options)


def test_a_search_without_samples_is_without_it():
    config = kt.DecodingConfig(sampling=True, mbr=4)
    assert config.without_sampling() == kt.DecodingConfig()
