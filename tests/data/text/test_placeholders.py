"""What is not translated is found, put aside and put back byte for byte."""

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_transformer.data.text.placeholders import (
    JOIN,
    KEPT,
    count_kept,
    fill,
    join_words,
    mask,
    mask_like,
    mask_pair,
    part_words,
    pattern_of,
    unknown_words,
)
from keras_transformer.errors import InputError

FOUND = [
    ("Visite https://example.com/a?b=c&d=e.", ["https://example.com/a?b=c&d=e"]),
    ("(veja www.exemplo.pt/x_y, p. 3)", ["www.exemplo.pt/x_y"]),
    ("exemplo.com.br, foo.org/a/b. Etc.", ["exemplo.com.br", "foo.org/a/b"]),
    ("a ana.silva+x@mail.exemplo.pt.", ["ana.silva+x@mail.exemplo.pt"]),
    ("mailto:a@b.c e @ana_s", ["mailto:a@b.c", "@ana_s"]),
    ("Olá {name}, {{ user.name }} e ${x}!", ["{name}", "{{ user.name }}", "${x}"]),
    ("%s tem %d de %(count)d, %1$s %-5.2f e %1", ["%s", "%d", "%(count)d", "%1$s", "%-5.2f", "%1"]),
    ("em $HOME, $(ARG1), $[nome] e %PATH%", ["$HOME", "$(ARG1)", "$[nome]", "%PATH%"]),
    ("%PRODUCTNAME Writer", ["%PRODUCTNAME"]),
    ("pão &amp; água &#233; &#xE9;", ["&amp;", "&#233;", "&#xE9;"]),
    ("/usr/lib/x.so, ./a.py e ~/x/y", ["/usr/lib/x.so", "./a.py", "~/x/y"]),
    (r"em C:\Temp\a.txt.", [r"C:\Temp\a.txt"]),
    ("1234567 e 12345", ["1234567"]),
    ("use `git  push` ou ``a b``", ["`git  push`", "``a b``"]),
    ("<b>negrito</b><br/>", ["<b>", "</b>", "<br/>"]),
    ("bom 😀👍🏽!", ["😀👍🏽"]),
    (f"a {KEPT}{JOIN} b", [KEPT, JOIN]),
]

LEFT = [
    "50%de desconto, 100 % e 5% da conta",
    "R$5, US$ 10 e $5",
    "e/ou, km/h, 24/7 e 1.000.000",
    "disse.it depois. Ele",
    "`` so '' e `` x ''",
    "3 < 4 > 2, a <- b",
    "{ com espaços } e { }",
    "Smith & Co; etc.",
    "",
]


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_what_is_kept(text, expected):
    masked = mask(tf.constant([text]))
    assert [part.decode() for part in masked.kept.to_list()[0]] == expected
    assert masked.texts.numpy()[0].decode().count(KEPT) == len(expected)
    assert fill(masked.texts, masked.kept).numpy()[0].decode() == text


def test_what_is_text_like_any_other():
    masked = mask(tf.constant(LEFT))
    assert masked.kept.to_list() == [[]] * len(LEFT)
    assert [text.decode() for text in masked.texts.numpy()] == LEFT


_PARTS = st.lists(
    st.one_of(
        st.sampled_from([text for text, _ in FOUND] + LEFT + [" ", ".", "\n", KEPT, JOIN]),
        st.text(max_size=12),
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=60)
@given(st.lists(_PARTS.map("".join), min_size=1, max_size=4))
@example(["\0" + KEPT, f"{JOIN}\0\0a@b.org\0"])
def test_nothing_is_lost_or_doubled(texts):
    texts = [text.encode("utf-8", "replace") for text in texts]
    masked = mask(tf.constant(texts, tf.string))
    assert fill(masked.texts, masked.kept).numpy().tolist() == texts
    assert count_kept(masked.texts).numpy().tolist() == masked.kept.row_lengths().numpy().tolist()
    assert all(JOIN.encode() not in text for text in masked.texts.numpy())
    parted = part_words(masked.texts)
    assert join_words(parted).numpy().tolist() == masked.texts.numpy().tolist()
    words = tf.strings.split(parted).flat_values.numpy()
    assert all(word == KEPT.encode() for word in words if KEPT.encode() in word)


def test_fewer_and_more_strings_than_places():
    texts = tf.constant([f"a{KEPT}b{KEPT}", "", f"{KEPT}"])
    kept = tf.ragged.constant([["x"], ["y"], ["z", "w"]])
    assert fill(texts, kept).numpy().tolist() == [b"axb", b"", b"z"]


def test_patterns_of_the_user_come_first():
    keep = ("Libre ?Office", "Writer [0-9.]+")
    masked = mask(tf.constant(["Libre Office e Writer 7.4 de {x}"]), keep)
    assert masked.kept.to_list() == [[b"Libre Office", b"Writer 7.4", b"{x}"]]


def test_words_that_a_vocabulary_does_not_know():
    known = "abcdefghijklmnopqrstuvwxyzáãç0123456789.,"
    texts = [
        "Olá 北京 e Москва город, Søren {x} ação.",
        "→ “aspas” – ½ İstanbul",
        "e\u0301 é Ação",  # normalisation composes what it can
        "Søren\0Søren",
    ]
    masked = mask(tf.constant(texts), (), unknown_words(known, "none"))
    kept = [[part.decode() for part in row] for row in masked.kept.to_list()]
    assert kept[0] == ["北京", "Москва город", "Søren", "{x}"]
    assert kept[1] == ["→", "“", "”", "–", "½ İstanbul"]
    assert kept[2] == ["é"]
    assert [text.decode() for text in fill(*masked).numpy()] == texts
    treebank = mask(tf.constant(texts[1:2]), (), unknown_words(known, "ptb-lower"))
    assert [part.decode() for part in treebank.kept.to_list()[0]] == ["→", "½ İstanbul"]
    assert unknown_words(map(chr, range(0x4E00, 0x9FFF, 2)), "none") is None


@pytest.mark.parametrize(("pattern", "says"), [("(", "no regular expression"), ("a*", "empty")])
def test_patterns_that_are_none(pattern, says):
    with pytest.raises(InputError, match=says):
        pattern_of((pattern,))


def k(text):
    return text.replace("_", KEPT)


def test_both_sides_of_a_pair_have_the_same_numbers():
    pair = mask_pair((k("_ de _ e _"), ["a", "b", "a"]), (k("_ _ of _"), ["b", "a", "c"]), 16)
    assert pair.source == k("_ de _ e a")
    assert pair.target == k("_ _ of c")
    assert pair.source_slots == [0, 1]
    assert pair.target_slots == [1, 0]


def test_a_pair_has_no_more_placeholders_than_there_are_and_numbers_go_round():
    sides = (k("_ _ _"), ["a", "b", "c"])
    pair = mask_pair(sides, sides, 2, first=1)
    assert pair.source == pair.target == k("_ _ c")
    assert pair.source_slots == pair.target_slots == [1, 0]


def test_a_word_that_both_sides_have_becomes_a_placeholder():
    source, target = (k("Em Lisboa com _, Ana"), ["{x}"]), (k("_ in Lisboa, with you"), ["{x}"])
    pair = mask_pair(source, target, 16, shared_word=0.5)
    assert (pair.source, pair.target) == (k("Em _ com _, Ana"), k("_ in _, with you"))
    assert (pair.source_slots, pair.target_slots) == ([1, 0], [0, 1])
    none = mask_pair(("o total", []), ("A total", []), 16, shared_word=0.5)  # "total" is a word
    assert none.source_slots == []


def test_private_characters_that_one_side_has_alone_are_no_placeholders():
    pair = mask_pair((k("a _"), [KEPT]), ("b", []), 16)
    assert pair.source == "a \ufffd"


def test_a_text_with_the_numbers_of_another():
    text = k("_ then _ and _"), ["{y}", "{z}", "{x}"]
    assert mask_like(text, ["{x}", "{y}"], 16) == (k("_ then {z} and _"), [1, 0])
