import pytest
import tensorflow as tf

from keras_transformer.data.text.normalization import humanize, humanize_bert, normalize
from keras_transformer.errors import InputError

# (human text, corpus style, corpus style written by people)
EXAMPLES = [
    (
        "Este é um problema que temos que resolver.",
        "este é um problema que temos que resolver .",
        "este é um problema que temos que resolver.",
    ),
    ("Este e\u0301 o  ÚLTIMO\tdia.", "este é o último dia .", "este é o último dia."),
    (
        "I don't know; it's 3.5% (or $1,000), isn't it?",
        "i do n't know ; it 's 3.5 % ( or $ 1,000 ) , is n't it ?",
        "i don't know; it's 3.5% (or $1,000), isn't it?",
    ),
    (
        "I'm sure we've seen what they'll say: can't, you're, he'd.",
        "i 'm sure we 've seen what they 'll say : ca n't , you 're , he 'd .",
        "i'm sure we've seen what they'll say: can't, you're, he'd.",
    ),
    ("wouldn't've", "would n't 've", "wouldn't've"),
    ("We cannot. I'm gonna go!", "we can not . i 'm gon na go !", "we cannot. i'm gonna go!"),
    ('He said: "I\'m here."', "he said : `` i 'm here . ''", 'he said: "i\'m here."'),
    ("“So”, he said.", "`` so '' , he said .", '"so", he said.'),
    ("«Olá», disse ela.", "`` olá '' , disse ela .", '"olá", disse ela.'),
    ("the word (\"so\") or ['it']", "the word ( `` so '' ) or [ 'it ' ]", None),
    ("We’ve seen ‘it’ –– no…", "we 've seen 'it ' – – no ...", None),
    ("the doctors' idea", "the doctors ' idea", "the doctors' idea"),
    ("Um copo d'água às 2:30. Sim...", "um copo d'água às 2:30 . sim ...", None),
    (
        "Mr. Smith met J. Silva at the U.N. today.",
        "mr. smith met j. silva at the u.n. today .",
        None,
    ),
    ("É a Maria. Não sei o que é. Fim", "é a maria . não sei o que é . fim", None),
    ("em 1996.", "em 1996 .", "em 1996."),
    ("lembro-me do norte—e", "lembro-me do norte — e", None),
    ("olá👍🏽👨\u200d👩\u200d👧!", "olá 👍🏽👨\u200d👩\u200d👧 !", None),
    ("¿Qué?", "¿ qué ?", "¿qué?"),
    ("Why...?", "why ... ?", "why...?"),
    ("a\x00b\u200bc\ufeff\u00a0d", "abc d", "abc d"),
    ("", "", ""),
    (" \t\n\u2003", "", ""),
    ("Привет, мир! 你好", "привет , мир ! 你好", "привет, мир! 你好"),
]

# Lines as the corpus has them, with its own oddities.
CORPUS_LINES = [
    "`` `` '' my mother , '' '' she said , `` '' my mother did n't enjoy a fight . ''",
    "nuna , it has been already 10 years that i haven’t seen you .",
    "( laughter ) ca : you already tried it once , right , and you —rt : i tried it before .",
    "instead of framing , ask the individual , 'how would you label yourself ? '",
    "in the u.s. , 6,000 people ; 14.9 % of them ... ok. fine .",
    "os e.u.a. são , para o sr. silva , 280.000 pessoas .",
    "( aplausos )",
]


@pytest.mark.parametrize(("human", "corpus", "_"), EXAMPLES)
def test_normalizes_to_the_corpus_style(human, corpus, _):
    assert normalize(human).numpy().decode() == corpus


@pytest.mark.parametrize(("_", "corpus", "human"), [e for e in EXAMPLES if e[2] is not None])
def test_humanizes(_, corpus, human):
    assert humanize(corpus).numpy().decode() == human


@pytest.mark.parametrize("text", [human for human, _, _ in EXAMPLES] + CORPUS_LINES)
def test_twice_is_once(text):
    once = normalize(text)
    assert normalize(once).numpy() == once.numpy()
    again = normalize(humanize(once))
    assert normalize(again).numpy() == again.numpy()


@pytest.mark.parametrize("line", CORPUS_LINES)
def test_corpus_lines_stay(line):
    assert normalize(line).numpy().decode() == line


def test_doubled_quotes_of_the_corpus_become_one():
    assert humanize(CORPUS_LINES[0]).numpy().decode() == (
        '"my mother," she said, "my mother didn\'t enjoy a fight."'
    )


@pytest.mark.parametrize(
    ("language", "corpus", "human"),
    [
        ("de", "50 % von", "50 % von"),
        ("de", "`` ja `` , sagte er .", '"ja", sagte er.'),
        ("de", "er sagte : '' nein `` .", 'er sagte: "nein".'),
        ("de-AT", "`` ja '' , `` nein ''", '"ja", "nein"'),
        ("it", "can not e gon na restano", "can not e gon na restano"),
        ("tr", "ankara 'm değil", "ankara 'm değil"),
        ("fr", "ça va ?", "ça va ?"),
        ("fr_CA", "oui ; non : 5 % !", "oui ; non : 5 % !"),
        ("es", "¿ qué tal ? ¡ bien !", "¿qué tal? ¡bien!"),
        ("unknown", "x ( y ) , z .", "x (y), z."),
        *((code, "x @ y.org", "x@y.org") for code in ("de", "fr", "en", "pt", None, "unknown")),
        (None, "mail x.y @ mail.org.br .", "mail x.y@mail.org.br."),
        ("en", "3 @ 5 dollars", "3 @ 5 dollars"),
        ("en", "50 % of it can not wait", "50% of it cannot wait"),
        ("pt-BR", "50 % disso ?", "50% disso?"),
    ],
)
def test_humanizes_as_the_language_is_written(language, corpus, human):
    assert humanize(corpus, language=language).numpy().decode() == human


def test_bert_parts_words_of_other_languages_too():
    assert humanize_bert("l ' homme n ' a pas", "fr").numpy().decode() == "l'homme n'a pas"
    assert humanize_bert("don ' t", "en").numpy().decode() == "don't"


def test_humanizes_what_bert_took_apart():
    text = "he said : ` ` i don ' t , it ' s a 14 - year , well - known thing . . . ' '"
    human = humanize_bert(text).numpy().decode()
    assert human == "he said: \"i don't, it's a 14 - year, well-known thing...\""


def test_invalid_utf8_is_replaced():
    assert normalize(b"Ol\xe1 mundo.").numpy().decode() == "ol\ufffd mundo ."
    assert normalize(b"Ol\xe1  mundo. ", "none").numpy().decode() == "Ol\ufffd mundo."


def test_none_keeps_the_text():
    text = 'In the beginning God "created"; e\u0301 [START]'
    assert normalize(text, "none").numpy().decode() == text
    assert humanize(text, "none").numpy().decode() == text


@pytest.mark.parametrize("shape", [(), (0,), (2,), (2, 1), (1, 2, 3)])
def test_any_shape(shape):
    text = tf.fill(shape, "Olá, mundo.")
    for function in (normalize, humanize):
        assert function(text).shape == shape


def test_in_a_graph_and_a_dataset():
    lines = [human for human, _, _ in EXAMPLES]
    expected = [corpus.encode() for _, corpus, _ in EXAMPLES]
    graph = tf.function(normalize, input_signature=[tf.TensorSpec([None], tf.string)])
    assert graph(tf.constant(lines)).numpy().tolist() == expected
    dataset = tf.data.Dataset.from_tensor_slices(lines).map(normalize)
    assert list(dataset.as_numpy_iterator()) == expected


@pytest.mark.parametrize("function", [normalize, humanize])
def test_unknown_style(function):
    with pytest.raises(InputError, match=r"'upper'.*ptb-lower, none"):
        function("a", "upper")


def test_validation_split_is_left_as_it_is(official_validation):
    for lines in official_validation.values():
        tf.debugging.assert_equal(normalize(lines), lines)
        human = normalize(humanize(lines))
        tf.debugging.assert_equal(normalize(human), human)
