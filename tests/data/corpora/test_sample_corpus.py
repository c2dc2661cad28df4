"""The sample corpus: what it promises to those who train on it, and its grammar by example."""

import ast
import hashlib
import math
import re
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

import keras_transformer.data.sample
from keras_transformer.data.corpora import sample_corpus as module
from keras_transformer.data.corpora.sample_corpus import generate_pairs, sample_corpus
from keras_transformer.data.sample.adjectives import ADJECTIVES
from keras_transformer.data.sample.clauses import (
    ALREADY,
    BACKGROUND,
    CAN,
    FUTURE,
    HAD_TO,
    IF,
    JUST,
    MUST,
    NEVER,
    NOT_YET,
    PAST,
    PRESENT,
    PROGRESSIVE,
    SINCE,
    STATE_PAST,
    USED_TO,
    WANT,
    clause,
)
from keras_transformer.data.sample.conjugation import HE, THEY, WE, I, english, portuguese
from keras_transformer.data.sample.nouns import BY_NAME, PEOPLE
from keras_transformer.data.sample.phrases import (
    CONTRACTIONS,
    ELA,
    ELE,
    ELES,
    EU,
    NOS,
    VOCE,
    NounPhrase,
    Phrase,
    written,
)
from keras_transformer.data.sample.verbs import Deed
from keras_transformer.data.sample.writer import DETERMINERS, Writer

RECORDED_SHA256 = "6780913d584d17b8794b1eec3a90f722f4a10085f5836a90892e32b71b160770"


@pytest.fixture(scope="module")
def corpus():
    return sample_corpus()


@pytest.fixture(scope="module")
def pairs(corpus):
    return corpus.train + corpus.validation + corpus.test


# --- The corpus as a whole ------------------------------------------------------------------------


def test_it_is_the_recorded_corpus(pairs):
    text = "\n".join(f"{source}\t{target}" for source, target in pairs)
    assert hashlib.sha256(text.encode()).hexdigest() == RECORDED_SHA256


def test_another_seed_writes_other_sentences(corpus):
    first = [s.source for s in generate_pairs(0, 500)]
    assert first == [s.source for s in generate_pairs(0, 500)]
    assert first != [s.source for s in generate_pairs(1, 500)]


def test_counts(corpus):
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (25_000, 600, 600)


def test_a_source_occurs_once_and_so_has_one_translation(pairs):
    assert len({source for source, _ in pairs}) == len(pairs)


def test_nothing_leaks_from_training(corpus):
    sources, targets = (set(side) for side in zip(*corpus.train, strict=True))
    for source, target in corpus.validation + corpus.test:
        assert source not in sources
        assert target not in targets


def test_held_out_sentences_combine_words_as_training_never_does(corpus):
    sentences = generate_pairs(0, round(1.15 * len(corpus.train)))
    combinations = {sentence.source: sentence.combinations for sentence in sentences}
    trained = set().union(*(combinations[source] for source, _ in corpus.train))
    for source, _ in corpus.validation + corpus.test:
        assert combinations[source] - trained, source


@pytest.mark.parametrize("side", [0, 1])
def test_every_held_out_word_is_trained(corpus, side):
    counts = Counter(word for pair in corpus.train for word in pair[side].split())
    for pair in corpus.validation + corpus.test:
        assert min(counts[word] for word in pair[side].split()) >= 5


def test_vocabulary_and_length_suit_a_small_model(corpus):
    for side in (0, 1):
        sentences = [pair[side].split() for pair in corpus.train]
        assert 400 < len({word for sentence in sentences for word in sentence}) < 1100
        assert 9 < sum(map(len, sentences)) / len(sentences) < 13


def test_no_template_dominates_and_test_is_distributed_like_train(corpus):
    sentences = generate_pairs(0, round(1.15 * len(corpus.train)))
    template = {sentence.source: sentence.template for sentence in sentences}
    train = Counter(template[source] for source, _ in corpus.train)
    test = Counter(template[source] for source, _ in corpus.validation + corpus.test)
    for name, count in train.items():
        share = count / len(corpus.train)
        assert share < 0.1
        assert abs(share - test[name] / 1200) < 0.02


def test_standard_library_only():
    modules = sorted(Path(keras_transformer.data.sample.__file__).parent.glob("*.py"))
    assert len(modules) > 10
    for path in (Path(module.__file__), *modules):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
            for name in names:
                ours = name.startswith("keras_transformer.data.sample.")
                assert ours or name.split(".")[0] in sys.stdlib_module_names, (path.name, name)


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


def test_portuguese_contracts_and_english_says_an(pairs):
    for source, target in pairs:
        words = source.split()
        assert not set(pairwise(words)) & set(CONTRACTIONS), source
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", target), target


def test_determiners_agree_with_nouns(pairs):
    noun_forms = defaultdict(set)
    for noun in {id(n): n for n in (*BY_NAME.values(), *PEOPLE)}.values():
        noun_forms[noun.pt].add((noun.feminine, False))
        noun_forms[noun.pt_plural].add((noun.feminine, True))
    determiners = {}
    for name in ("the", "a", "this", "that"):
        for index, word in enumerate(DETERMINERS[name][:4]):
            for form in {word, "d" + word, "n" + word, "pel" + word}:
                determiners[form] = (bool(index % 2), index > 1)
    del determiners["a"], determiners[""]  # `a` is also a preposition
    seen = 0
    for source, _ in pairs:
        words = source.split()
        for one, noun in pairwise(words):
            if one in determiners and noun in noun_forms:
                seen += 1
                assert determiners[one] in noun_forms[noun], source
    assert seen > 10_000


def test_the_tutorial_sentences_are_within_reach(corpus):
    known = {word for source, _ in corpus.train for word in source.split()}
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
    references = [target for _, target in corpus.test]
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
    training = corpus.train[:6000]
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
            for source, _ in corpus.test
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
    train = [source.split() for source, _ in corpus.train]
    test = [source.split() for source, _ in corpus.test]
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
    by_words = [corpus.train[i][1] for i in similarity.argmax(axis=1)]
    by_edits = []
    for words, row in zip(test, similarity, strict=True):
        near = np.argpartition(-row, 40)[:40]
        by_edits.append(corpus.train[min(near, key=lambda i: edit_distance(words, train[i]))][1])
    assert bleu(by_words, corpus) < 50
    assert bleu(by_edits, corpus) < 50


# --- The grammar by example -----------------------------------------------------------------------

READ = Deed("ler", "", "read")
TIRED = Deed("estar", "cansado", "be tired")
HUNGRY = Deed("ter", "fome", "be hungry")
TEACHER = NounPhrase("a professora", "the teacher", HE, True, "professora/f")
STUDENTS = NounPhrase("os alunos", "the students", THEY, False, "aluno/m", "plural")


def says(subject, tense, deed, source, target, **options):
    assert written(clause(subject, tense, deed, **options)) == (source, target)


def test_tenses():
    says(TEACHER, PRESENT, READ, "a professora lê", "the teacher reads")
    says(STUDENTS, PROGRESSIVE, READ, "os alunos estão lendo", "the students are reading")
    says(EU, PAST, READ, "eu li", "i read")
    says(TEACHER, BACKGROUND, READ, "a professora lia", "the teacher was reading")
    says(ELE, USED_TO, READ, "ele lia", "he used to read")
    says(NOS, FUTURE, READ, "vamos ler", "we 'll read", dropped=True)
    says(TEACHER, MUST, READ, "a professora tem que ler", "the teacher has to read")
    says(EU, HAD_TO, READ, "eu tive que ler", "i had to read")
    says(EU, JUST, READ, "acabei de ler", "i 've just read", dropped=True)
    says(ELA, ALREADY, READ, "ela já leu", "she has already read")
    says(NOS, NEVER, READ, "nós nunca lemos", "we 've never read")
    says(TEACHER, SINCE, READ, "a professora lê", "the teacher has read")
    says(ELA, STATE_PAST, HUNGRY, "ela tinha fome", "she was hungry")
    always = Phrase("sempre", "always")
    says(ELE, PRESENT, READ, "ele sempre lê", "he always reads", adverb=always)
    says(ELE, PRESENT, TIRED, "ele sempre está cansado", "he 's always tired", adverb=always)


def test_negation():
    says(TEACHER, PAST, READ, "a professora não leu", "the teacher did n't read", negative=True)
    says(ELES, FUTURE, READ, "eles não vão ler", "they wo n't read", negative=True)
    says(EU, CAN, READ, "eu não posso ler", "i ca n't read", negative=True)
    says(ELES, MUST, READ, "eles não têm que ler", "they do n't have to read", negative=True)
    says(ELE, NOT_YET, READ, "ele ainda não leu", "he has n't read yet", negative=True)
    says(ELE, IF, READ, "ele não ler", "he does n't read", negative=True)
    says(EU, PRESENT, TIRED, "eu não estou cansado", "i 'm not tired", negative=True)
    says(ELE, PRESENT, HUNGRY, "ele não tem fome", "he is n't hungry", negative=True)


def test_questions():
    says(STUDENTS, PAST, READ, "os alunos leram", "did the students read", question=True)
    says(ELA, WANT, READ, "ela quer ler", "does she want to read", question=True)
    says(VOCE, CAN, READ, "você pode ler", "can you read", question=True)
    says(TEACHER, PRESENT, HUNGRY, "a professora tem fome", "is the teacher hungry", question=True)


def test_object_pronouns_stand_before_the_portuguese_verb():
    says(EU, PAST, Deed("ver", "", "see her"), "eu a vi", "i saw her", clitic="a")
    help_me = Deed("ajudar", "", "help me")
    says(ELA, WANT, help_me, "ela quer me ajudar", "she wants to help me", clitic="me")
    look = Deed("procurar", "", "look for it")
    says(ELE, PAST, look, "ele não o procurou", "he did n't look for it", clitic="o", negative=True)


@pytest.mark.parametrize(
    ("name", "determiner", "options", "expected"),
    [
        ("livro", "a", {}, ("um livro", "a book")),
        ("ideia", "a", {}, ("uma ideia", "an idea")),
        ("irmã", "our", {"plural": True}, ("as nossas irmãs", "our sisters")),
        ("carta", "his", {}, ("a carta dele", "his letter")),
        ("chave", "own", {"owner": TEACHER}, ("a sua chave", "her key")),
        ("chave", "own", {"owner": STUDENTS}, ("a sua chave", "their key")),
        ("chave", "own", {"owner": EU}, ("a minha chave", "my key")),
        ("lição", "this", {"plural": True}, ("estas lições", "these lessons")),
        ("café", "bare", {}, ("café", "coffee")),
    ],
)
def test_noun_phrases(name, determiner, options, expected):
    noun, options = BY_NAME[name], {"plural": False} | options
    assert written(Writer(0).noun_phrase(noun, determiner, adjective=0, **options)) == expected


def test_adjectives_follow_and_agree():
    phrase = Writer(0).noun_phrase(BY_NAME["camisa"], "the", plural=True, adjective=1)
    article, noun, adjective = phrase.pt.split()
    assert (article, noun) == ("as", "camisas")
    assert adjective.endswith(("as", "is"))
    assert re.fullmatch(r"the [a-z]+ shirts", phrase.en)


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("alto", ("alto", "alta", "altos", "altas")),
        ("azul", ("azul", "azul", "azuis", "azuis")),
        ("difícil", ("difícil", "difícil", "difíceis", "difíceis")),
        ("jovem", ("jovem", "jovem", "jovens", "jovens")),
        ("feliz", ("feliz", "feliz", "felizes", "felizes")),
        ("simples", ("simples",) * 4),
    ],
)
def test_adjective_forms(word, forms):
    adjective = ADJECTIVES[word]
    cells = [(False, False), (True, False), (False, True), (True, True)]
    assert tuple(adjective.agree(*cell) for cell in cells) == forms


@pytest.mark.parametrize(
    ("infinitive", "form", "person", "expected"),
    [
        ("chegar", "preterite", I, "cheguei"),
        ("tocar", "preterite", I, "toquei"),
        ("começar", "preterite", I, "comecei"),
        ("falar", "preterite", THEY, "falaram"),
        ("falar", "imperfect", WE, "falávamos"),
        ("beber", "preterite", HE, "bebeu"),
        ("abrir", "present", WE, "abrimos"),
        ("abrir", "participle", HE, "aberto"),
        ("trazer", "preterite", HE, "trouxe"),
        ("dormir", "present", I, "durmo"),
        ("sair", "gerund", HE, "saindo"),
        ("ter", "present", THEY, "têm"),
    ],
)
def test_portuguese_forms(infinitive, form, person, expected):
    assert portuguese(infinitive, form, person) == expected


@pytest.mark.parametrize(
    ("base", "form", "expected"),
    [
        ("study", "third", "studies"),
        ("play", "third", "plays"),
        ("watch", "third", "watches"),
        ("have", "third", "has"),
        ("write", "ing", "writing"),
        ("run", "ing", "running"),
        ("see", "ing", "seeing"),
        ("try", "past", "tried"),
        ("close", "past", "closed"),
        ("write", "participle", "written"),
    ],
)
def test_english_forms(base, form, expected):
    assert english(base, form) == expected


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
