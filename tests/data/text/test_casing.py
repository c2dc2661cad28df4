"""Capitals: what is taken apart is written out again, and rules restore what they can."""

import hypothesis.strategies as st
import pytest
import tensorflow as tf
from hypothesis import given, settings

from keras_transformer.data.text.casing import MARKS, factor, restore_capitals
from keras_transformer.data.text.normalization import normalize
from keras_transformer.data.tokenizers.base import SubwordTokenizer
from keras_transformer.data.tokenizers.sentencepiece import SentencePieceTokenizer
from keras_transformer.data.tokenizers.wordpiece import BertTokenizer, WordPieceTokenizer
from keras_transformer.errors import InputError
from keras_transformer.translating.segmentation import pieces_of

LINES = [
    "The cat sat on the mat.",
    "THE CAT SAT ON THE MAT AND THE DOG TOO",
    "A NASA engineer has an iPhone (and a Big house).",
    "Ünder Éire, ÉCOLE ΣΟΦΙΑ İstanbul STRAẞE Straße ß 42 times",
    'He said: "No, I will not." It\'s OK.',
    'A Guide To "The Big Cats" Of 42 Ünder-Éire For NASA',
]


def marked(text):
    words, marks, last = factor(tf.strings.split(tf.constant([text])))
    out = []
    for word, mark, ends in zip(words[0].numpy(), marks[0].numpy(), last[0].numpy(), strict=True):
        out += [MARKS[mark - 1]] * bool(mark) + [word.decode()] + [MARKS[-1]] * bool(ends)
    return " ".join(out)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("the cat", "the cat"),
        ("The Cat", "[CAPITAL] the [CAPITAL] cat"),
        ('"The', '[CAPITAL] "the'),
        ("A NASA iPhone", "[CAPITAL] a [UPPER] nasa iPhone"),
        ("THE 3 BIG cats", "[UPPER] the 3 [UPPER] big cats"),
        ("see THE 3 BIG DOGS now", "see [UPPER_ON] the 3 big dogs [SPAN_OFF] now"),
        ("THIS IS A", "[UPPER] this [UPPER] is [CAPITAL] a"),
        ("THIS IS A TEST", "[UPPER_ON] this is a test [SPAN_OFF]"),
        ("A B C", "[CAPITAL] a [CAPITAL] b [CAPITAL] c"),
        ("A B C D", "[TITLE_ON] a b c d [SPAN_OFF]"),
        ("the Guide To 3 Big Cats is", "the [TITLE_ON] guide to 3 big cats [SPAN_OFF] is"),
        (
            "THE BIG DOG A Small Cat Is Here",
            "[UPPER_ON] the big dog a [SPAN_OFF] [TITLE_ON] small cat is here [SPAN_OFF]",
        ),
        ("İstanbul", "İstanbul"),
        ("今日 42 !", "今日 42 !"),
    ],
)
def test_marks_of_words(text, wanted):
    assert marked(text) == wanted


@pytest.fixture(scope="module", params=[WordPieceTokenizer, SentencePieceTokenizer])
def factored(request) -> SubwordTokenizer:
    # Every character that the law is tried with has been seen.
    lines = [*LINES, *(f"a{chr(i)}" for i in (*range(33, 127), *map(ord, "ÉéßIi")))]
    return request.param.train(lines, vocab_size=600, normalization="none", case="factored")


def test_text_comes_back(factored):
    wanted = normalize(LINES, "none").numpy().tolist()
    assert factored.detokenize(factored.tokenize(LINES)).numpy().tolist() == wanted
    ids = factored.tokenize(LINES)
    assert factored.detokenize(ids.to_tensor()).numpy().tolist() == wanted


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.sampled_from("abAB ÉéßIi1.'-\u00a0"), max_size=30), max_size=3))
def test_any_text_comes_back(factored, lines):
    text = tf.constant([line.encode() for line in lines], tf.string, shape=(len(lines),))
    found = factored.detokenize(factored.tokenize(text)).numpy().tolist()
    assert found == normalize(text, "none").numpy().tolist()


def test_capitals_change_no_piece_of_a_word(factored):
    names = [
        [name for name in row.numpy().tolist() if name.decode() not in MARKS]
        for row in factored.lookup(factored.tokenize(["the cat", "The Cat", "THE CAT"]))
    ]
    assert names[0] == names[1] == names[2]


def test_text_yields_no_marks(factored):
    spelt = " ".join(MARKS)
    names = factored.lookup(factored.tokenize([spelt.lower()]))[0].numpy()
    assert not {name.decode() for name in names} & set(MARKS)


@pytest.mark.parametrize("stray", [[4, 4], [4], [5, 6, 7, 8], [8], [7], [6]])
def test_stray_marks_are_no_text(factored, stray):
    (ids,) = factored.tokenize(["the cat"]).numpy().tolist()
    text = factored.detokenize(tf.constant([[*ids[:-1], *stray, ids[-1]]]))[0].numpy()
    assert text == b"the cat"


def test_it_is_saved_with_its_case(factored, tmp_path):
    factored.save(tmp_path)
    loaded = type(factored).load(tmp_path)
    assert loaded.case == "factored"
    assert loaded.tokenize(LINES).to_list() == factored.tokenize(LINES).to_list()


def test_it_works_in_a_graph(factored):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def there_and_back(text):
        return factored.detokenize(factored.tokenize(text))

    assert there_and_back(tf.constant(LINES[:3])).numpy().tolist() == [
        line.encode() for line in LINES[:3]
    ]
    assert there_and_back(tf.constant([], tf.string)).shape == (0,)


@pytest.mark.parametrize("kind", [WordPieceTokenizer, SentencePieceTokenizer])
def test_lower_case_forgets_capitals_and_keep_keeps_them(kind):
    kept = kind.train(LINES * 3, vocab_size=500, normalization="none")
    assert kept.case == "keep"
    assert kept.detokenize(kept.tokenize(LINES[:1]))[0].numpy().decode() == LINES[0]
    lowered = kind.train(LINES * 3, vocab_size=500, normalization="none", case="lower")
    ids = lowered.tokenize(["THE CAT sat. i sat."])
    assert ids.to_list() == lowered.tokenize(["the cat sat. i sat."]).to_list()
    assert lowered.detokenize(ids)[0].numpy() == b"the cat sat. i sat."


def test_a_case_that_cannot_be_is_refused():
    with pytest.raises(InputError, match="drops capitals"):
        WordPieceTokenizer.train(LINES, case="factored")
    with pytest.raises(InputError, match="keep, lower, factored"):
        WordPieceTokenizer.train(LINES, normalization="none", case="upper")
    with pytest.raises(InputError, match=r"\[CAPITAL\]"):
        WordPieceTokenizer(["[PAD]", "[UNK]", "[START]", "[END]", "a"], "none", case="factored")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("this is it.", "This is it."),
        (
            "this is it. and i'm here, i said. i.e. me.",
            "This is it. And I'm here, I said. I.e. me.",
        ),
        ('"no," i think.', '"No," I think.'),
        ("i, i and mr. i. wi-fi i-beam hi", "I, I and mr. I. Wi-fi i-beam hi"),
        ("e depois... não", "E depois... não"),
        ("", ""),
        ("42 times", "42 times"),
        ("¿qué?", "¿Qué?"),
    ],
)
def test_capitals_that_rules_know(text, wanted):
    assert restore_capitals(tf.constant([text]))[0].numpy().decode() == wanted


def test_capitals_of_other_languages_and_of_what_goes_on():
    text = tf.constant(["i fatti", "ele foi. ela veio."])
    assert restore_capitals(text, "it").numpy().tolist() == [
        b"I fatti",
        b"Ele foi. Ela veio.",
    ]
    going_on = restore_capitals(text, "it", tf.constant([False, False])).numpy().tolist()
    assert going_on == [b"i fatti", b"ele foi. Ela veio."]


def test_human_style_of_lower_case_has_capitals():
    lines = ["this is a problem that i do n't know .", "`` so '' , he said ."]
    tokenizer = WordPieceTokenizer.train(lines, vocab_size=200)
    text = tokenizer.detokenize(tokenizer.tokenize(lines), "human").numpy().tolist()
    assert text == [b"This is a problem that I don't know.", b'"So", he said.']
    bert = BertTokenizer(tokenizer.vocabulary)
    assert bert.case == "lower"


def test_pieces_of_a_long_text_end_before_marks(factored):
    (ids,) = factored.tokenize([" ".join(["The Cat."] * 6)])
    inner = tf.RaggedTensor.from_tensor([ids[1:-1]])
    pieces, _ = pieces_of(inner, factored.lookup(inner), 12)
    for piece in pieces.to_list()[:-1]:
        assert piece[-1] not in (4, 5, 6)
