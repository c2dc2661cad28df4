"""Scores agree with sacreBLEU itself, carry their signatures, and refuse what cannot be scored."""

import importlib.util
import json
import logging
from types import SimpleNamespace

import pytest
import sacrebleu
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.translating.evaluation import bleu_tokenizer, corpus_scores, evaluate

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


CHINESE = ["我们必须解决这个问题。", "猫在花园里看见了那个女孩。", "这本旧书在我祖母的大房子里。"]
JAPANESE = ["私たちはこの問題を解決しなければならない。", "猫は庭でその女の子を見た。"]
THAI = ["เราต้องแก้ปัญหานี้", "แมวเห็นเด็กผู้หญิงในสวน"]


@pytest.mark.parametrize(
    ("references", "language", "tokenizer"),
    [
        (CHINESE, "zh", "zh"),
        (CHINESE, "zh-TW", "zh"),
        (CHINESE, "cmn", "zh"),
        (CHINESE, "unknown", "zh"),
        (CHINESE, None, "zh"),
        (CHINESE, "en", "zh"),  # a wrong code does not make a script another
        (JAPANESE, None, "char"),  # the extra is not installed
        (THAI, "th", "char"),
        (THAI, None, "char"),
        (REFERENCES, "en", "13a"),
        (REFERENCES, None, "13a"),
        (["Это хорошая книга .", "„Ja“ , 50 % von 中国 ."], "ru", "13a"),
    ],
)
def test_bleu_has_the_tokenizer_of_the_language(references, language, tokenizer, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert bleu_tokenizer(references, language) == tokenizer
    monkeypatch.undo()
    scores = corpus_scores(references, references, language=language, tokenize=tokenizer)
    assert f"tok:{tokenizer}" in scores["bleu"]["signature"]


def test_a_perfect_translation_has_a_perfect_score_in_any_script():
    for lines in (CHINESE, JAPANESE, THAI):
        assert corpus_scores(lines, lines)["bleu"]["score"] == pytest.approx(100)


def test_the_installed_tokenizer_is_taken(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert bleu_tokenizer(JAPANESE) == bleu_tokenizer([], "ja-JP") == "ja-mecab"
    assert bleu_tokenizer([], "kor") == "ko-mecab"


@pytest.mark.skipif(importlib.util.find_spec("mecab_ko") is not None, reason="is installed")
def test_a_tokenizer_that_is_missing_is_named_with_its_extra():
    with pytest.raises(InputError, match=r"no tokenizer 'ko-mecab' here.*\[korean\]") as error:
        corpus_scores(REFERENCES, REFERENCES, tokenize="ko-mecab")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="no tokenizer 'nonsense'"):
        corpus_scores(REFERENCES, REFERENCES, tokenize="nonsense")


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
