"""Scores agree with sacreBLEU itself, carry their signatures, and refuse what cannot be scored."""

import json
import logging
import urllib.error
from types import SimpleNamespace

import pytest
import sacrebleu
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.translating import evaluation
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


@pytest.fixture
def lacking(monkeypatch):
    """sacreBLEU in which a tokenizer cannot be made: what to raise, by its name; None makes it."""
    errors = {
        "ja-mecab": RuntimeError("\nJapanese needs more.\nPlease\n  pip install sacrebleu[ja]\n"),
        "ko-mecab": RuntimeError("no such file or directory: dicrc"),  # MeCab has no dictionary
        "flores200": urllib.error.URLError("Network is unreachable"),
        "spm": SystemExit(1),  # what it does where a certificate is wrong
    }
    make = sacrebleu.metrics.bleu._get_tokenizer

    def make_or_raise(name):
        if (error := errors.get(name)) is None:
            return make("char" if name in errors else name)
        raise error

    monkeypatch.setattr(sacrebleu.metrics.bleu, "_get_tokenizer", make_or_raise)
    evaluation._is_there.cache_clear()
    yield errors
    evaluation._is_there.cache_clear()


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
def test_bleu_has_the_tokenizer_of_the_language(references, language, tokenizer, lacking):
    assert bleu_tokenizer(references, language) == tokenizer
    scores = corpus_scores(references, references, language=language, tokenize=tokenizer)
    assert f"tok:{tokenizer}" in scores["bleu"]["signature"]


def test_a_perfect_translation_has_a_perfect_score_in_any_script():
    for lines in (CHINESE, JAPANESE, THAI):
        assert corpus_scores(lines, lines)["bleu"]["score"] == pytest.approx(100)


def test_the_installed_tokenizer_is_taken(lacking):
    lacking.update({"ja-mecab": None, "ko-mecab": None})
    assert bleu_tokenizer(JAPANESE) == bleu_tokenizer([], "ja-JP") == "ja-mecab"
    assert bleu_tokenizer([], "kor") == "ko-mecab"


@pytest.mark.parametrize(("language", "extra"), [("ja", "japanese"), ("ko", "korean")])
def test_characters_stand_in_for_a_tokenizer_that_is_missing(language, extra, lacking, caplog):
    """Whether it is not installed or has no dictionary; the first time, a line says so."""
    for _ in range(2):
        scores = corpus_scores(JAPANESE, JAPANESE, language=language)
        assert "tok:char" in scores["bleu"]["signature"]
    (line,) = (record.getMessage() for record in caplog.records)
    assert f'pip install "keras_transformer[{extra}]"' in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("tokenize", "says"),
    [
        ("ja-mecab", r"'ja-mecab' here \(Japanese needs more\): pip install .*\[japanese\]"),
        ("ko-mecab", r"no tokenizer 'ko-mecab' here \(no such file.*pip install .*\[korean\]"),
        ("flores200", r"'flores200' here \(.*Network is unreachable.*choose another \(--tokenize"),
        ("spm", r"'spm' here \(it cannot be downloaded\): choose another"),
        ("nonsense", "no tokenizer 'nonsense'"),
    ],
)
def test_a_tokenizer_that_was_named_and_is_missing_is_an_error(tokenize, says, lacking):
    """Before anything is translated."""
    translator = Lookup(dict(zip(REFERENCES, REFERENCES, strict=True)))
    pairs = list(zip(REFERENCES, REFERENCES, strict=True))
    with pytest.raises(InputError, match=says) as error:
        evaluate(translator, pairs, tokenize=tokenize)
    assert "\n" not in str(error.value)
    assert translator.calls == []
    with pytest.raises(InputError, match=says):
        corpus_scores(REFERENCES, REFERENCES, tokenize=tokenize)


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


def test_evaluate_takes_the_target_language():
    """Of a translator that knows none; where it knows one, the argument still counts."""
    sources = ["a", "b", "c"]
    for known in (None, SimpleNamespace(target_language="en")):
        translator = Lookup(dict(zip(sources, REFERENCES, strict=True)))
        if known is not None:
            translator.tokenizers = known
        pairs = list(zip(sources, REFERENCES, strict=True))
        assert "tok:13a" in evaluate(translator, pairs)["bleu"]["signature"]
        scores = evaluate(translator, pairs, language="th")
        assert "tok:char" in scores["bleu"]["signature"]
        assert all(options == {} for _, options in translator.calls)


def test_evaluate_needs_pairs():
    with pytest.raises(InputError, match="no pairs"):
        evaluate(Lookup({}), [])
