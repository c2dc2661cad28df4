"""The grammar of the sample corpus: by example, and that it wrote the corpus."""

import ast
import lzma
import re
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

import sample_corpus
from keras_transformer.data.corpora.sample import read_sample
from sample_corpus.__main__ import FILE
from sample_corpus.adjectives import ADJECTIVES
from sample_corpus.clauses import (
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
from sample_corpus.conjugation import HE, THEY, WE, I, english, portuguese
from sample_corpus.corpus import corpus_table
from sample_corpus.nouns import BY_NAME, PEOPLE
from sample_corpus.phrases import (
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
from sample_corpus.sentences import generate_pairs
from sample_corpus.verbs import Deed
from sample_corpus.writer import DETERMINERS, Writer


@pytest.fixture(scope="module")
def corpus():
    return read_sample()


@pytest.fixture(scope="module")
def pairs(corpus):
    return corpus["train"] + corpus["validation"] + corpus["test"]


# --- The corpus as a whole ------------------------------------------------------------------------


@pytest.mark.slow
def test_the_file_in_the_package_is_what_the_grammar_writes():
    assert lzma.decompress(FILE.read_bytes()).decode() == corpus_table()


def test_another_seed_writes_other_sentences(corpus):
    first = [s.source for s in generate_pairs(0, 500)]
    assert first == [s.source for s in generate_pairs(0, 500)]
    assert first != [s.source for s in generate_pairs(1, 500)]


def test_held_out_sentences_combine_words_as_training_never_does(corpus):
    sentences = generate_pairs(0, round(1.15 * len(corpus["train"])))
    combinations = {sentence.source: sentence.combinations for sentence in sentences}
    trained = set().union(*(combinations[source] for source, _ in corpus["train"]))
    for source, _ in corpus["validation"] + corpus["test"]:
        assert combinations[source] - trained, source


def test_no_template_dominates_and_test_is_distributed_like_train(corpus):
    sentences = generate_pairs(0, round(1.15 * len(corpus["train"])))
    template = {sentence.source: sentence.template for sentence in sentences}
    train = Counter(template[source] for source, _ in corpus["train"])
    test = Counter(template[source] for source, _ in corpus["validation"] + corpus["test"])
    for name, count in train.items():
        share = count / len(corpus["train"])
        assert share < 0.1
        assert abs(share - test[name] / 1200) < 0.02


def test_standard_library_only():
    modules = sorted(Path(sample_corpus.__file__).parent.glob("*.py"))
    assert len(modules) > 10
    for path in modules:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
            for name in names:
                ours = name.startswith("sample_corpus.")
                assert ours or name.split(".")[0] in sys.stdlib_module_names, (path.name, name)


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
