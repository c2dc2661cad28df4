"""What hypotheses begin with so that terms are where they belong, with links that are given."""

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.data.corpora.corpus import Corpus, dataset_of
from keras_transformer.data.tokenizers.pair import train_tokenizers
from keras_transformer.data.tokenizers.token_links import NONE
from keras_transformer.special_tokens import PAD, UNK
from keras_transformer.translating.terms_in_place import terms_in_place
from keras_transformer.translating.token_words import words_of

LINES = [
    ("Clique no Botão, já.", "Click the Button, now."),
    ("A caixa de diálogo do João (nova) abre-se!", "John's dialog box (new) opens!"),
    ("o botão azul {x}", "the blue button {x}"),
    ("OS BOTÕES DA CAIXA", "the BOX'S buttons"),
    ("a janela, o painel e o menu", "the window, the pane, the knob and the menu"),
    ("Puxe A ALAVANCA", "Push THE KNOB, Knob or Pane"),
]


@pytest.fixture(
    scope="module",
    params=[
        {"normalization": "none"},
        {"normalization": "none", "case": "keep"},
        {"normalization": "none", "kind": "sentencepiece", "terms": True},
        {"normalization": "none", "kind": "sentencepiece", "case": "keep", "shared": True},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def tokenizers(request):
    pairs = LINES * 20
    corpus = Corpus(
        name="terms",
        source_language="pt",
        target_language="en",
        train=dataset_of(pairs),
        validation=dataset_of(LINES),
        test=dataset_of(LINES),
    )
    options = {"terms": False} | request.param
    return train_tokenizers(corpus, vocab_size=400, placeholders=2, **options)


def ids_of(tokenizer, texts):
    return tf.cast(tokenizer.tokenize(tf.constant(texts)), tf.int64)


def begun(tokenizers, rows, fixed=None, lacks=None):
    """What hypotheses begin with, as texts.

    Args:
        rows: of source, hypothesis, for each word of this the number of its source word, and the
            terms, with their translations.
    """
    sources, targets, links, terms = zip(*rows, strict=True)
    source, target = (
        ids_of(tokenizer, list(texts))
        for tokenizer, texts in ((tokenizers.source, sources), (tokenizers.target, targets))
    )
    target = target[:, 1:]  # without the start
    of_source = words_of(tokenizers.source.lookup(source))
    of_target = words_of(tokenizers.target.lookup(target))
    places = np.full(target.to_tensor().shape, NONE, np.int32)
    word_of_row = np.concatenate([np.arange(len(text.split())) for text in targets])
    assert len(word_of_row) == len(of_target.rows)
    first_source = tf.RaggedTensor.from_value_rowids(of_source.begins, of_source.rows, len(rows))
    starts = source.row_starts().numpy()
    for begin, end, row, word in zip(
        of_target.begins.numpy(),
        of_target.ends.numpy(),
        of_target.rows.numpy(),
        word_of_row,
        strict=True,
    ):
        linked = links[row][word]
        if linked is not None:
            first = target.row_starts().numpy()[row]
            place = first_source[row].numpy()[linked] - starts[row]
            places[row, begin - first : end - first] = place
    terms = [list(row.items()) for row in terms]
    if lacks is None:
        lacks = [[True] * len(row) for row in terms]
    found = terms_in_place(
        tokenizers,
        source,
        target,
        tf.constant(places),
        tf.constant(np.where(places == NONE, 0.0, 0.9), tf.float32),
        tf.ragged.constant([[one for one, _ in row] for row in terms], tf.string, 1),
        tf.ragged.constant([[other for _, other in row] for row in terms], tf.string, 1),
        tf.ragged.constant(lacks, tf.bool, 1),
        tf.constant(fixed or [0] * len(rows)),
    )
    kept = tf.ragged.constant([["{x}"]] * len(rows))
    texts = tokenizers.target.detokenize(
        found.to_tensor(PAD), "human", tf.ones(len(rows), tf.bool), kept
    )
    return [text.decode() for text in texts.numpy()]


CLICK = ("Clique no Botão, já.", "Click the Button, now.", [0, 1, 2, 3])
DIALOG = (
    "A caixa de diálogo do João (nova) abre-se!",
    "John's dialog box (new) opens!",
    [5, 1, 3, 6, 7],
)


ROWS = [
    # Of the word that follows a stretch there is the first token.
    (CLICK, {"Botão": "knob"}, "Click the Knob,", " now."),
    (CLICK, {"Clique": "push", "Botão": "knob"}, "Push the Knob,", " now."),
    (DIALOG, {"caixa de diálogo": "pane"}, "John's pane", " (new)"),
    (DIALOG, {"nova": "blue menu"}, "John's dialog box (blue menu)", " opens!"),
    (DIALOG, {"João": "knob"}, "Knob's", " dialog"),
    (CLICK, {"Botão": "KNOB"}, "Click the KNOB,", " now."),
    # What no word is linked to follows the nearest word before that is linked.
    ((CLICK[0], "Click now.", [0, 3]), {"Botão": "knob"}, "Click knob", ""),
    ((CLICK[0], "now.", [3]), {"Clique": "push"}, "push", ""),
    ((CLICK[0], "Click", [0]), {"Botão": "knob"}, "Click knob", ""),
    # Of two such only the first.
    ((CLICK[0], "now.", [3]), {"Clique": "push", "Botão": "knob"}, "push", ""),
    # The weightier stretch of those that stand for it.
    (
        (CLICK[0], "Button the blue Button now.", [2, 1, 2, 2, 3]),
        {"Botão": "knob"},
        "Button the Knob",
        " now.",
    ),
    # A placeholder stays.
    (("o botão {x}", "the {x}", [0, 1]), {"botão": "knob"}, "the knob", ""),
    # Nothing is linked, as without attention.
    ((CLICK[0], "Click now.", [None, None]), {"Botão": "knob"}, "", ""),
    # The source has no such term, or there is none.
    (CLICK, {"menu": "menu"}, "", ""),
    (CLICK, {}, "", ""),
]


def check(found, expected, more):
    assert found.lower().startswith(expected.lower())
    assert (expected + more).lower().startswith(found.lower())


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_terms_take_the_place_of_words(row, tokenizers):
    pair, terms, expected, more = row
    check(*begun(tokenizers, [(*pair, terms)]), expected, more)


def test_a_letter_that_the_vocabulary_lacks(tokenizers):
    (found,) = begun(tokenizers, [(*CLICK, {"Botão": "Ω"})])
    if tokenizers.target.tokenize_masked(tf.constant(["Ω"])).to_list()[0].count(UNK):
        assert not found
    else:  # SentencePiece has all bytes
        check(found, "Click the Ω,", " now.")


def test_rows_do_not_mind_one_another(tokenizers):
    found = begun(tokenizers, [(*pair, terms) for pair, terms, *_ in ROWS])
    for one, (_, _, expected, more) in zip(found, ROWS, strict=True):
        check(one, expected, more)
    assert begun(tokenizers, [("", "", [], {})]) == [""]


def test_capitals_stay_where_words_begin_with_them(tokenizers):
    found = begun(tokenizers, [(*CLICK, {"Clique": "push"}), (*CLICK, {"Botão": "knob"})])
    assert found[0].startswith("Push")
    assert found[1].startswith("Click the Knob,")


def test_only_terms_that_lack_are_placed(tokenizers):
    terms = {"Clique": "push", "Botão": "knob"}
    (found,) = begun(tokenizers, [(*CLICK, terms)], lacks=[[False, True]])
    check(found, "Click the Knob,", " now.")
    assert begun(tokenizers, [(*CLICK, terms)], lacks=[[False, False]]) == [""]


def test_what_a_hypothesis_was_made_to_begin_with_stays(tokenizers):
    begin = ids_of(tokenizers.target, ["Click the"])[0, 1:-1]
    terms = {"Clique": "push", "Botão": "knob"}
    (found,) = begun(tokenizers, [(*CLICK, terms)], fixed=[len(begin)])
    check(found, "Click the Knob,", " now.")
    (found,) = begun(tokenizers, [(*CLICK, {"Clique": "push"})], fixed=[len(begin)])
    assert found == ""


def test_words_of_marks_and_of_translations_beside_terms():
    names = tf.ragged.constant(
        [
            ["[START]", "[CAPITAL]", "##but", "##ton", "[JOIN]", "##,", "[END]"],
            ["[START]", "[END]"],
            ["a", "[TERM]", "b", "[AS]", "c", "##d", "[TERM_END]", "[CAPITAL]", "e"],
            ["x", "[END]"],
        ]
    )
    words = words_of(names)
    assert [text.decode() for text in words.texts.numpy()] == ["button,", "a", "b", "e", "x"]
    assert words.rows.numpy().tolist() == [0, 2, 2, 2, 3]
    assert words.of_tokens.numpy().tolist() == [
        *(NONE, NONE, 0, 0, NONE, 0, NONE),
        *(NONE, NONE),
        *(1, NONE, 2, 2, 2, 2, 2, NONE, 3),
        *(4, NONE),
    ]
