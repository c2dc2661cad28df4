"""The sample corpus: what it promises to those who train on it."""

import hashlib
import math
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
import sacrebleu

from keras_transformer.data.corpora.sample import read_sample

RECORDED_SHA256 = "6780913d584d17b8794b1eec3a90f722f4a10085f5836a90892e32b71b160770"


@pytest.fixture(scope="module")
def corpus():
    return read_sample()


@pytest.fixture(scope="module")
def pairs(corpus):
    return corpus["train"] + corpus["validation"] + corpus["test"]


# --- The corpus as a whole ------------------------------------------------------------------------


def test_it_is_the_recorded_corpus(pairs):
    text = "\n".join(f"{source}\t{target}" for source, target in pairs)
    assert hashlib.sha256(text.encode()).hexdigest() == RECORDED_SHA256


def test_counts(corpus):
    assert (len(corpus["train"]), len(corpus["validation"]), len(corpus["test"])) == (
        25_000,
        600,
        600,
    )


def test_a_source_occurs_once_and_so_has_one_translation(pairs):
    assert len({source for source, _ in pairs}) == len(pairs)


def test_nothing_leaks_from_training(corpus):
    sources, targets = (set(side) for side in zip(*corpus["train"], strict=True))
    for source, target in corpus["validation"] + corpus["test"]:
        assert source not in sources
        assert target not in targets


@pytest.mark.parametrize("side", [0, 1])
def test_every_held_out_word_is_trained(corpus, side):
    counts = Counter(word for pair in corpus["train"] for word in pair[side].split())
    for pair in corpus["validation"] + corpus["test"]:
        assert min(counts[word] for word in pair[side].split()) >= 5


def test_vocabulary_and_length_suit_a_small_model(corpus):
    for side in (0, 1):
        sentences = [pair[side].split() for pair in corpus["train"]]
        assert 400 < len({word for sentence in sentences for word in sentence}) < 1100
        assert 9 < sum(map(len, sentences)) / len(sentences) < 13


# --- Style ----------------------------------------------------------------------------------------

WORD = {
    0: re.compile(r"[a-záàâãçéêíóôõú]+(-[a-zç]+)*|[1-9]\d*|[.,?]"),
    1: re.compile(r"[a-z]+(-[a-z]+)?|n't|'(s|m|re|ve|ll)|[1-9]\d*|[.,?]"),
}


@pytest.mark.parametrize("side", [0, 1])
def test_text_is_lower_case_and_tokenised(pairs, side):
    for pair in pairs:
        words = pair[side].split(" ")
        assert all(WORD[side].fullmatch(word) for word in words), pair
        assert words[-1] in (".", "?")


def test_both_sides_end_alike(pairs):
    assert all(source[-1] == target[-1] for source, target in pairs)


def test_the_tutorial_sentences_are_within_reach(corpus):
    known = {word for source, _ in corpus["train"] for word in source.split()}
    for sentence in (
        "este é um problema que temos que resolver .",
        "os meus vizinhos ouviram sobre esta ideia .",
        "vou então muito rapidamente partilhar convosco algumas histórias de algumas coisas"
        " mágicas que aconteceram .",
        "este é o primeiro livro que eu fiz .",
    ):
        assert set(sentence.split()) <= known


# --- Baselines that a model must beat -------------------------------------------------------------


def bleu(hypotheses, corpus):
    references = [target for _, target in corpus["test"]]
    return sacrebleu.corpus_bleu(hypotheses, [references], force=True).score


def ibm_model_1(pairs, iterations=5):
    """Returns t(target word | source word) with a null source word."""
    table = defaultdict(lambda: defaultdict(lambda: 1.0))
    for _ in range(iterations):
        counts = defaultdict(lambda: defaultdict(float))
        for source, target in pairs:
            words = [*source.split(), ""]
            for out in target.split():
                weights = [table[word][out] for word in words]
                total = sum(weights)
                for word, weight in zip(words, weights, strict=True):
                    counts[word][out] += weight / total
        table = {
            word: {out: count / sum(outs.values()) for out, count in outs.items()}
            for word, outs in counts.items()
        }
    return table


def test_word_by_word_translation_is_not_enough(corpus):
    training = corpus["train"][:6000]
    table = ibm_model_1(training)
    best = {word: max(outs, key=outs.get) for word, outs in table.items()}
    produced, seen = Counter(), Counter()  # how many target words each source word explains
    for source, target in training[:2000]:
        words = [*source.split(), ""]
        seen.update(words)
        for out in target.split():
            weights = [table[word].get(out, 0.0) for word in words]
            for word, weight in zip(words, weights, strict=True):
                produced[word] += weight / sum(weights)
    for least in (0.0, 0.5):  # with and without a null translation
        hypotheses = [
            " ".join(best.get(w, w) for w in source.split() if produced[w] >= least * seen[w])
            for source, _ in corpus["test"]
        ]
        assert bleu(hypotheses, corpus) < 40


def edit_distance(one, other):
    previous = list(range(len(other) + 1))
    for i, word in enumerate(one, 1):
        row = [i]
        for j, against in enumerate(other, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (word != against)))
        previous = row
    return previous[-1]


def test_copying_the_nearest_training_pair_is_not_enough(corpus):
    train = [source.split() for source, _ in corpus["train"]]
    test = [source.split() for source, _ in corpus["test"]]
    counts = Counter(word for words in train for word in words)
    index = {word: i for i, word in enumerate(counts)}
    idf = np.array([1 + math.log(len(train) / count) for count in counts.values()], np.float32)

    def unit_rows(sentences):
        rows = np.zeros((len(sentences), len(index)), np.float32)
        for row, words in zip(rows, sentences, strict=True):
            for word in words:
                row[index[word]] += idf[index[word]]
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    similarity = unit_rows(test) @ unit_rows(train).T  # (test, train)
    by_words = [corpus["train"][i][1] for i in similarity.argmax(axis=1)]
    by_edits = []
    for words, row in zip(test, similarity, strict=True):
        near = np.argpartition(-row, 40)[:40]
        by_edits.append(corpus["train"][min(near, key=lambda i: edit_distance(words, train[i]))][1])
    assert bleu(by_words, corpus) < 50
    assert bleu(by_edits, corpus) < 50


def test_translation_hangs_on_the_object(pairs):
    """`perder` is to lose a key and to miss a train, `usar` to use a phone and to wear a hat."""
    for source, target in pairs:
        words = source.split()
        for verb, noun, en in (
            ("perdeu", "trem", "miss"),
            ("perdeu", "chave", "los"),
            ("usou", "chapéu", "wear|wore"),
            ("usou", "telefone", "use"),
        ):
            if [verb, "o", noun] in (words[i : i + 3] for i in range(len(words))):
                assert re.search(en, target), (source, target)
