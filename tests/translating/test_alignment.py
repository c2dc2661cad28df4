"""Alignments: laws of padding, pieces and exports, and a model that was taught them.

The language of the model that learns is made up: every word has a partner, and sentences are
turned round, so that alignments are known and nothing but attention tells them.
"""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.config import DecodingConfig
from keras_transformer.data.corpora.corpus import Corpus, dataset_of
from keras_transformer.data.text.words import word_spans
from keras_transformer.data.tokenizers.pair import train_tokenizers
from keras_transformer.data.tokenizers.token_links import NONE, TokenLinks, joined_links
from keras_transformer.errors import InputError
from keras_transformer.models.recurrent_seq2seq import RecurrentSeq2Seq
from keras_transformer.training.run import train
from keras_transformer.translating.alignment import (
    AlignmentHead,
    Link,
    choose_head,
    head_weights,
    token_places,
    word_links,
)
from keras_transformer.translating.exported import aligned_rows
from keras_transformer.translating.graph import GraphTranslation
from keras_transformer.translating.load import run_alignment_head
from keras_transformer.translating.translator import Translator

SOURCE = np.array([[2, 5, 6, 7, 3], [2, 9, 3, 0, 0]])
TARGET = np.array([[5, 6, 7, 3], [9, 3, 0, 0]])


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    model = kt.Transformer(
        num_layers=2, d_model=8, num_heads=2, dff=16, input_vocab_size=13, target_vocab_size=11
    )
    rng = np.random.default_rng(7)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(scale=0.5, size=weight.shape))
    return model


@pytest.mark.parametrize("implementation", ["reference", "blockwise"])
def test_the_weights_of_a_head_are_those_of_all(model, implementation):
    config = {**model.get_config(), "attention_implementation": implementation}
    other = kt.Transformer.from_config(config)
    other.set_weights(model.get_weights())
    target = np.pad(TARGET, ((0, 0), (1, 0)), constant_values=2)[:, :-1]
    _, scores = other((SOURCE, target), return_attention_scores=True)
    for layer in (1, 2):
        all_heads = scores[f"decoder_layer{layer}_block2"].numpy()
        for head in (1, 2):
            found = other.last_cross_attention(layer, head).numpy()
            np.testing.assert_allclose(found, all_heads[:, head - 1], atol=1e-6)
        mean = other.last_cross_attention(layer, None).numpy()
        np.testing.assert_allclose(mean, all_heads.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("head", [AlignmentHead(1, 2), AlignmentHead(2, None, True), None])
def test_padding_never_matters(model, head):
    def places(source, target):
        source, target = tf.constant(source), tf.constant(target)
        weights = head_weights(model, source, target, 2, head)
        return [part.numpy() for part in token_places(weights, source, target)]

    alone = places(SOURCE[1:, :3], TARGET[1:, :2])
    batch = places(np.pad(SOURCE, ((0, 0), (0, 3))), np.pad(TARGET, ((0, 0), (0, 2))))
    np.testing.assert_array_equal(batch[0][1, :2], alone[0][0])
    np.testing.assert_allclose(batch[1][1, :2], alone[1][0], atol=1e-6)
    # The end and padding belong to nothing, and nothing belongs to them.
    assert (batch[0][1, 1:] == NONE).all()
    assert set(batch[0][0, :3].tolist()) <= {1, 2, 3}


def test_the_weights_of_a_token_do_not_depend_on_those_after_it(model):
    head = AlignmentHead(1, 1)
    for ahead in (False, True):
        whole, cut = (
            head_weights(
                model, tf.constant(SOURCE[:1]), tf.constant(target), 2, head_of(head, ahead)
            ).numpy()
            for target in (TARGET[:1], np.array([[5, 6, 8, 3]]))
        )
        np.testing.assert_allclose(whole[0, :2], cut[0, :2], atol=1e-6)
        assert np.allclose(whole[0, 2], cut[0, 2], atol=1e-6) == ahead


def head_of(head, ahead):
    return AlignmentHead(head.layer, head.head, ahead)


def test_words_are_linked_by_their_tokens():
    links = TokenLinks(
        ["", "", "o", "gato", "dor", "me", ""],
        ["the", "cat", "", "sle", "eps", "."],
        [1, 3, 4, 4, 5, NONE],
        [0.9, 0.8, 0.7, 0.5, 1.0, 0.0],
    )
    # "." is part of the third word; a mark is part of the word after it.
    assert word_links("O gato dorme", "The cat sleeps.", links) == [
        Link(0, 0, 0.9),
        Link(1, 1, 0.8),
        Link(2, 2, pytest.approx((0.7 + 0.5 + 1.0) / 4)),
    ]
    joined = joined_links([links, links])
    assert joined.places[6:9] == [8, 10, 11]
    assert joined.places[-1] == NONE
    twice = word_links("O gato dorme O gato dorme", "The cat sleeps. The cat sleeps.", joined)
    assert [link[:2] for link in twice] == [(i, i) for i in range(6)]


def test_what_says_which_head_aligns(tmp_path):
    assert AlignmentHead.load(tmp_path) is None
    for head in (AlignmentHead(2, 3, True), AlignmentHead(1)):
        head.save(tmp_path)
        assert AlignmentHead.load(tmp_path) == head
    for head in (AlignmentHead(9), AlignmentHead(0), AlignmentHead(1, 9)):
        head.save(tmp_path)
        with pytest.raises(InputError, match=r"alignment\.json names"):
            run_alignment_head(tmp_path, kt.Config())
    path = tmp_path / "alignment.json"
    for wrong in ("{}", '{"layer": true, "head": 1, "ahead": false}', "[1]", "{"):
        path.write_text(wrong)
        with pytest.raises(InputError, match=r"alignment\.json"):
            AlignmentHead.load(tmp_path)


WORDS = [f"{a}{b}" for a in ("ba", "ce", "di", "fo", "gu") for b in ("lar", "men", "nis", "tor")]


def reversed_pairs(count, seed):
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        row = rng.permutation(WORDS)[: rng.integers(2, 7)]
        pairs.append((" ".join(row), " ".join(word[::-1] for word in row[::-1])))
    return pairs


def links_of(pair) -> set:
    words = len(pair[0].split())
    return {(i, words - 1 - i) for i in range(words)}


@pytest.fixture(scope="module")
def corpus():
    train_pairs, held = reversed_pairs(600, 1), reversed_pairs(60, 2)
    return Corpus("turned", dataset_of(train_pairs), dataset_of(held), normalization="none")


@pytest.fixture(scope="module")
def taught(corpus, tiny_config, unwatched, tmp_path_factory):
    """A run whose head was taught alignments by a file."""
    folder = tmp_path_factory.mktemp("taught")
    path = folder / "links"
    lines = [sorted(links_of(pair)) for pair in reversed_pairs(600, 1)]
    path.write_text("".join(" ".join(f"{i}-{j}" for i, j in row) + "\n" for row in lines))
    changes = {"max_steps": 120, "guided_alignment": 0.5, "alignments": str(path)}
    config = tiny_config.replace({"training": changes, "tokenizer": {"vocab_size": 300}})
    return train(corpus, folder / "run", config)


def shares(found, pairs):
    """Share of found links that are right, and of right ones that are found."""
    links = [{link[:2] for link in of_pair} for of_pair in found]
    right = sum(len(one & links_of(pair)) for one, pair in zip(links, pairs, strict=True))
    return right / sum(map(len, links)), right / sum(len(links_of(pair)) for pair in pairs)


def test_a_taught_head_aligns(taught, corpus):
    pairs = reversed_pairs(40, 5)
    found = taught.translator.align(pairs)
    precision, recall = shares(found, pairs)
    assert precision > 0.9
    assert recall > 0.9
    again = Translator.load(taught.folder)
    assert again.alignment_head == taught.translator.alignment_head == AlignmentHead(1, 1)
    assert again.align(pairs) == found
    # Of a translation that is given word for word, the links are the same.
    sources, targets = zip(*pairs, strict=True)
    answers = again.translate(sources, target_prefix=targets, alignment=True)
    for answer, of_pair, target in zip(answers, found, targets, strict=True):
        words = len(target.split())
        assert [link[:2] for link in answer.alignment if link.target < words] == [
            link[:2] for link in of_pair
        ]
    kept = (taught.folder / "alignments.txt").read_text().splitlines()
    assert len(kept) == 600


def test_a_run_goes_on_with_the_alignments_that_it_began_with(taught, corpus, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(taught.folder, folder)
    (taught.folder.parent / "links").write_text("")  # the folder has its own
    run = train(corpus, folder, resume=True)
    assert run.metrics["steps"] == taught.metrics["steps"]


def test_files_that_do_not_belong_to_the_corpus(corpus, tiny_config, tmp_path):
    path = tmp_path / "links"
    path.write_text("0-0\n")
    changes = {"guided_alignment": 0.5, "alignments": str(path)}
    with pytest.raises(InputError, match="alignments of 1 pairs, and the corpus has 600"):
        train(corpus, tmp_path / "run", tiny_config.replace({"training": changes}))
    assert not (tmp_path / "run" / "alignments.txt").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": {"alignments": "x"}}, "guided_alignment above 0"),
        ({"training": {"alignment_layer": 2}}, "guided_alignment above 0"),
        ({"training": {"guided_alignment": 0.1}, "model": {"family": "gru"}}, "not gru"),
        ({"training": {"guided_alignment": 0.1, "alignment_layer": 9}}, "number of layers"),
        (
            {
                "training": {"guided_alignment": 0.1, "alignment_layer": 2},
                "model": {"num_layers": 4, "num_decoder_layers": 1},
            },
            r"layers of the decoder \(1\)",
        ),
        ({"training": {"guided_alignment": -1}}, "guided_alignment"),
        (
            {"training": {"terms": 0.1}, "tokenizer": {"placeholders": 0}},
            "terms needs placeholders",
        ),
        (
            {"training": {"terms": 0.1}, "tokenizer": {"shared": True}, "model": {"family": "gpt"}},
            "training.terms is for models that translate",
        ),
    ],
)
def test_wrong_configurations(tiny_config, changes, words):
    with pytest.raises(InputError, match=words):
        tiny_config.replace(changes)


def test_a_head_is_chosen_by_words_that_both_sides_have(tiny_run):
    head = run_alignment_head(tiny_run.folder, kt.Config())
    assert head == AlignmentHead.load(tiny_run.folder)
    assert head.layer in (1, 2)


def test_the_head_that_finds_the_same_words_is_chosen(taught, corpus):
    from keras_transformer.data.batches.token_store import tokenize_pairs

    translator = taught.translator
    # Pairs whose words are all the same, and whose order the taught head knows.
    pairs = dataset_of([(s, t) for s, t in reversed_pairs(60, 9)])
    found = tokenize_pairs(pairs, translator.tokenizers)
    head = choose_head(taught.model, found, translator.tokenizers)
    assert head.layer <= 2
    nothing = dataset_of([("ba", "de"), ("ce", "fo")])
    few = tokenize_pairs(nothing, translator.tokenizers)
    assert choose_head(taught.model, few, translator.tokenizers) == AlignmentHead(1, ahead=True)


def test_pairs_that_are_too_long_have_no_links(kept):
    assert kept.align([]) == []
    with pytest.warns(UserWarning, match="1 of 2 pairs are too long"):
        found = kept.align([("o gato", "the cat"), ("o gato " * 50, "the cat")])
    assert found[0]
    assert not found[1]


TEXTS = [
    "O gato preto dorme. A menina viu {x} ontem!\n",
    "",
    "  um gato  ",
    "https://example.com/a?b=c",
    "a menina viu o gato e o gato viu a menina e a casa e o gato. " * 3,
]


@pytest.fixture(scope="module")
def kept(tiny_corpus):
    """A translator with placeholders that has learned nothing."""
    tokenizers = train_tokenizers(tiny_corpus, vocab_size=500, placeholders=4)
    keras.utils.set_random_seed(5)
    model = kt.Transformer(
        num_layers=2,
        d_model=16,
        num_heads=2,
        dff=32,
        input_vocab_size=tokenizers.source.get_vocab_size(),
        target_vocab_size=tokenizers.target.get_vocab_size(),
    )
    config = DecodingConfig(length_ratio=1.0, length_offset=4)
    translator = Translator(
        tokenizers, model, decoding=config, jit_compile=False, max_source_length=24
    )
    translator.alignment_head = AlignmentHead(1, 2)
    return translator


@pytest.mark.filterwarnings("ignore:.*translated in pieces")
def test_links_name_words_of_both_texts(kept):
    plain = kept.translate(TEXTS)
    for text, one, two in zip(TEXTS, kept.translate(TEXTS, alignment=True), plain, strict=True):
        assert one.text == two.text
        assert two.alignment is None
        words = len(word_spans(text)), len(word_spans(one.text))
        assert all(link.source < words[0] and link.target < words[1] for link in one.alignment)
        assert all(0 < link.weight <= 1 for link in one.alignment)
    assert kept.translate([TEXTS[0]], alignment=True)[0].alignment
    several = kept.translate(TEXTS[:1], alignment=True, beam_size=3, n_best=2)[0]
    assert all(other.alignment is not None for other in several.alternatives)


@pytest.mark.filterwarnings("ignore:.*translated in pieces")
def test_graphs_say_the_same(kept):
    graph = GraphTranslation(kept)
    signature = [tf.TensorSpec([None], tf.string)]
    aligning = tf.function(graph.alignment, input_signature=signature, autograph=False)
    answer = {name: value.numpy() for name, value in aligning(tf.constant(TEXTS)).items()}
    live = kept.translate(TEXTS, alignment=True)
    lines = [text.encode() for text in TEXTS]
    for text, one, other in zip(TEXTS, live, aligned_rows(answer, lines), strict=True):
        assert one.text == other.text, text
        assert one.token_links[:2] == other.token_links[:2]
        assert [link[:2] for link in one.alignment] == [link[:2] for link in other.alignment]
        weights = [[link.weight for link in each.alignment] for each in (one, other)]
        np.testing.assert_allclose(*weights, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*translated in pieces")
def test_graphs_say_which_tokens_a_sentence_has(kept):
    graph = GraphTranslation(kept)
    answer = {name: part.numpy() for name, part in graph.alignment(tf.constant(TEXTS)).items()}
    sentences = {name: part.numpy() for name, part in graph.sentences(tf.constant(TEXTS)).items()}
    for name, values in sentences.items():
        np.testing.assert_array_equal(answer[name], values)
    for side in ("source", "target"):
        counts = answer[f"{side}_sentence_tokens"]
        assert counts.shape == answer["gaps"].shape
        tokens = (answer[f"{side}_tokens"] != b"").sum(axis=1)
        np.testing.assert_array_equal(counts.sum(axis=1), tokens)
    whole = kept.translate([TEXTS[0]], alignment=True)[0].token_links
    first = kept.translate(["O gato preto dorme."], alignment=True)[0].token_links
    count = int(answer["target_sentence_tokens"][0, 0])
    assert whole.target[:count] == first.target


def test_recurrent_models_align_by_the_attention_they_have(tiny_corpus):
    tokenizers = train_tokenizers(tiny_corpus, vocab_size=300)
    sizes = {
        "input_vocab_size": tokenizers.source.get_vocab_size(),
        "target_vocab_size": tokenizers.target.get_vocab_size(),
    }
    for attention in ("additive", None):
        model = RecurrentSeq2Seq(units=8, attention=attention, **sizes)
        config = DecodingConfig(length_ratio=1.0, length_offset=4)
        translator = Translator(tokenizers, model, decoding=config, jit_compile=False)
        (found,) = translator.translate(["o gato dorme"], alignment=True)
        assert bool(found.alignment) == (attention is not None)
