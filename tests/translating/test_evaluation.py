"""Scores agree with sacreBLEU itself, carry their signatures, and refuse what cannot be scored."""

import json
import logging
from types import SimpleNamespace

import pytest
import sacrebleu
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.translating.evaluation import corpus_scores, evaluate

REFERENCES = ["i do n't know .", "this is a problem we have to solve .", "`` so '' , he said ."]
HYPOTHESES = ["i do n't know .", "this is one problem that we solve .", "`` so '' , she said ."]


class Lookup:
    """A translator that knows its answers and remembers how it was asked."""

    def __init__(self, answers):
        self.answers = answers
        self.calls = []

    def translate(self, lines, *, style, **options):
        self.calls.append((style, options))
        return [SimpleNamespace(text=self.answers[line]) for line in lines]


def test_scores_are_sacrebleus():
    scores = corpus_scores(HYPOTHESES, REFERENCES)
    bleu = sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES], force=True)
    plain = sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES], tokenize="none", force=True)
    assert scores["bleu"]["score"] == pytest.approx(bleu.score)
    assert scores["bleu_none"]["score"] == pytest.approx(plain.score)
    assert scores["chrf"]["score"] == pytest.approx(
        sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score
    )
    assert scores["sentences"] == 3


def test_signatures_say_how_the_score_was_made():
    scores = corpus_scores(HYPOTHESES, REFERENCES)
    version = f"version:{sacrebleu.__version__}"
    assert scores["bleu"]["signature"] == f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|{version}"
    assert "|tok:none|" in scores["bleu_none"]["signature"]
    assert scores["chrf"]["signature"] == f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|{version}"


def test_perfect_translations_score_100_and_the_result_is_json():
    scores = corpus_scores(REFERENCES, REFERENCES)
    assert [round(scores[name]["score"], 6) for name in ("bleu", "bleu_none", "chrf")] == [100] * 3
    assert json.loads(json.dumps(scores)) == scores


def test_tokenised_text_brings_no_warning(caplog):
    lines = [f"line {number} ." for number in range(200)]
    with caplog.at_level(logging.WARNING):
        corpus_scores(lines, lines)
    assert not caplog.records


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [(["a"], ["a", "b"], "1 translations for 2 references"), ([], [], "no sentences to score")],
)
def test_unscorable_input_is_refused(hypotheses, references, message):
    with pytest.raises(InputError, match=message):
        corpus_scores(hypotheses, references)


@pytest.mark.parametrize("as_dataset", [False, True])
def test_evaluate_translates_in_the_corpus_style(as_dataset):
    sources = ["não sei .", "é um problema .", "`` então '' ."]
    translator = Lookup(dict(zip(sources, HYPOTHESES, strict=True)))
    pairs = list(zip(sources, REFERENCES, strict=True))
    if as_dataset:
        pairs = tf.data.Dataset.from_tensor_slices((sources, REFERENCES))
    result = evaluate(translator, pairs, return_hypotheses=True, beam_size=4)
    assert translator.calls == [("corpus", {"beam_size": 4})]
    assert result.pop("hypotheses") == HYPOTHESES
    assert result.pop("seconds") >= 0
    assert result == corpus_scores(HYPOTHESES, REFERENCES)


def test_evaluate_needs_pairs():
    with pytest.raises(InputError, match="no pairs"):
        evaluate(Lookup({}), [])
