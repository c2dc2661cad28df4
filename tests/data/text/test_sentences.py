"""Sentences: nothing is lost or doubled, and cases of what parts and what does not."""

import hypothesis.strategies as st
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings

from keras_transformer.data.text.sentences import split_sentences, whole_texts

PARTED = """
Os meninos fortes viram o gato preto. | Na verdade, a menina não tem fome.
O Sr. Silva e a Dra. Ana chegaram. | Depois, o Prof. Costa falou.
Custa 3.14 euros. | Ou 1.000,50? | Não sei!
Comprei maçãs, peras, etc. | A loja fechou.
Comprei maçãs, peras, etc. e saí.
Há animais, p. ex. gatos, na rua. | E cães.
That is, i.e. this one, e.g. Tom's, works. | Good.
J. R. R. Tolkien escreveu isto. | George W. Bush leu.
Na p. 5 e na fig. 3 há mais. | Ver art. 12.
Ver no. 5. | O n.º 7 também.
Espera... não vás! | Espera... | Não vás!
«Vem cá!» | Ele foi.
"Vem cá!" disse ela. | "Já vou." | Foi.
(Isto é um teste.) | Outro.
Olá! — disse ele. | — Vem.
¿Qué pasa? | ¡Nada! | Bien.
What?! | No way!!! | Yes.
He lives in the U.S. and works. | She left at 5 p.m. | They stayed.
Em 2010. | A empresa cresceu.
Go to example.com. | Then read README.md now.
It costs $5. | 20 people paid.
Hello.[1] | World.
今日は。 | 元気ですか？ | はい！
「はい。」と言った。 | 終わり。
「はい。」 | 「いいえ。」
यह एक वाक्य है। | यह दूसरा है।
هل أنت بخير؟ | نعم. | شكرا.
os meninos viram o gato . | na verdade , a menina não tem fome .
eles disseram : `` sim . '' | depois saíram .
o sr. silva chegou . | e a dra. ana também .
e depois ... não sei . | porquê ?
sem ponto final
Uma frase só.
""".strip().splitlines()


split_in_graph = tf.function(
    split_sentences, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
)


def texts(found, row=0):
    owners = found.owners.numpy()
    return [
        text.decode()
        for text, owner in zip(found.texts.numpy(), owners, strict=True)
        if owner == row
    ]


@pytest.mark.parametrize("line", PARTED)
def test_sentences_of_a_line(line):
    wanted = line.split(" | ")
    for space in (" ", "  ", "\u00a0"):
        assert texts(split_sentences(space.join(wanted))) == wanted
    if any("\u3000" < character < "\u9fff" for character in line):
        assert texts(split_sentences("".join(wanted))) == wanted


def test_lines_are_sentences_and_bullets_are_none():
    text = (
        "Uma lista\n\n  - maçãs\n\t* peras. Doces.\r\n1. primeiro\n2) segundo\n(c) terceiro\n"
        "> > citação\n## Título\n- [x] feito\n***\n12 345\n😀\n3.1. Secção\u2028fim\n3 gatos\n3.5 l"
    )
    assert texts(split_sentences(text)) == [
        *("Uma lista", "maçãs", "peras.", "Doces.", "primeiro", "segundo", "terceiro", "citação"),
        *("Título", "feito", "Secção", "fim", "3 gatos", "3.5 l"),
    ]


def test_ordinals_are_of_languages():
    text = "Am 3. Mai kam er. Danach ging er."
    assert texts(split_sentences(text, "de")) == ["Am 3. Mai kam er.", "Danach ging er."]
    assert len(texts(split_sentences(text))) == 3


def rejoined(found):
    parts = [b""] * len(found.tails)
    for text, gap, owner in zip(*(part.numpy() for part in found[:3]), strict=True):
        parts[owner] += gap + text
    return [part + tail for part, tail in zip(parts, found.tails.numpy(), strict=True)]


anything = st.text(st.characters(codec="utf-8"), max_size=40)
likely = st.text(
    st.sampled_from("aA.?! \n\r\t1,:-—'\"«»()…。」\u2028\u00a0é\U0001f600[]`*")
    | st.sampled_from(["Sr. ", "p. ex. ", "... ", "etc. "]).flatmap(st.sampled_from),
    max_size=40,
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(anything | likely, max_size=4))
def test_nothing_is_lost_or_doubled_and_others_never_matter(lines):
    encoded = [line.encode() for line in lines]
    found = split_in_graph(tf.constant(encoded, tf.string, shape=(len(lines),)))
    assert rejoined(found) == encoded
    assert sorted(set(found.owners.numpy())) == list(range(len(lines)))
    for row, line in enumerate(encoded):
        alone = split_in_graph(tf.constant([line]))
        assert texts(alone) == texts(found, row)
    for text in found.texts.numpy():
        decoded = text.decode()
        assert decoded == decoded.strip(" \t\n\r\u00a0\u2028")
        assert text == b"" or any(map(str.isalpha, decoded))


def test_bytes_that_are_no_text_are_replaced():
    assert texts(split_sentences(tf.constant([b"a\xff. B"]))) == ["a\ufffd.", "B"]


def test_undivided_texts_are_as_they_are():
    found = whole_texts(tf.constant(["  Um. Dois.  ", ""]))
    assert rejoined(found) == [b"  Um. Dois.  ", b""]
    assert found.texts.numpy().tolist() == [b"  Um. Dois.  ", b""]


def test_it_is_a_graph_of_any_batch():
    assert texts(split_in_graph(tf.constant(["Um. Dois.", ""]))) == ["Um.", "Dois."]
    assert split_in_graph(tf.constant([], tf.string)).texts.shape == (0,)
