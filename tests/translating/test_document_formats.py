"""Documents come back whole and in their shape, whatever a translator makes of their texts."""

import io
import random
import re
import tracemalloc
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_transformer.documents.formats import FORMATS, format_of
from keras_transformer.documents.html import encoding_of
from keras_transformer.documents.html_tokens import tokens_of
from keras_transformer.errors import InputError
from keras_transformer.translating.documents import sentences as dividing
from keras_transformer.translating.documents.translate import (
    translate_document,
    translate_document_file,
)
from keras_transformer.translating.translation import BaseTranslator, Translation

polib = pytest.importorskip("polib")
srt = pytest.importorskip("srt")


class Fake(BaseTranslator):
    """A translator that applies a function to each text."""

    def __init__(self, function, source="pt", target="en"):
        self.tokenizers = SimpleNamespace(source_language=source, target_language=target)
        self.function = function
        self.seen = []

    def translate(self, lines):
        self.seen += lines
        return [Translation(self.function(line), 0.0) for line in lines]


SAME = Fake(str)
UPPER = Fake(str.upper)
few_examples = settings(max_examples=25, deadline=None, database=None, derandomize=True)


def seen_in(document, format, **options):
    translator = Fake(str.upper)
    translate_document(translator, document, format, **options)
    return translator.seen


# Text.


def lines_of(count, seed=1):
    """Lines with odd white space, bullets, numbers and blank lines."""
    draw = random.Random(seed)
    begins = ["", "  ", "\t", "- ", " * ", "1. ", "2) ", "> ", "\u2022 ", "\u00a0", "> - "]
    ends = ["\n", "\n", "\r\n", "\r", " \n", "\t\r\n", "\u2003\n", "\x0b\n", "\n\n\n"]
    words = ["o", "gato", "Menina", "ß", "dorme", "água", "Sr.", "3,5", "42", "—", "...", "x@y.pt"]
    gaps = [" ", " ", "  ", "\t", ". ", "!  ", "? ", "\u00a0", "\u2028"]
    for _ in range(count):
        text = "".join(draw.choice(words) + draw.choice(gaps) for _ in range(draw.randrange(9)))
        yield draw.choice(begins) + text + draw.choice(ends)


@few_examples
@given(
    st.text(st.sampled_from("aB.!? -*1\n\r\t\u00a0\u2028\x0b\x85\u3000。。é\ufeff😀"), max_size=80)
)
def test_text_comes_back_byte_for_byte(text):
    assert translate_document(SAME, text) == text


def test_all_but_the_words_of_a_text_stays():
    text = "".join(lines_of(1000))
    assert translate_document(SAME, text) == text
    translator = Fake(lambda line: re.sub(r"\w", "x", line))
    written = translate_document(translator, text)
    assert re.sub(r"\w", "x", written) == re.sub(r"\w", "x", text)
    assert not any(
        re.search(r"[\n\r\x0b\u2028]|^\s|\s$|^[-*>•]+ ", line) for line in translator.seen
    )
    assert "dorme" not in written


def test_a_mark_and_a_missing_line_end_stay():
    text = "\ufeff  - Olá. Tudo bem?\r\n\r\n\t* x\ry\nfim"
    assert translate_document(UPPER, text) == "\ufeff  - OLÁ. TUDO BEM?\r\n\r\n\t* X\rY\nFIM"
    assert translate_document(UPPER, "") == ""
    assert translate_document(UPPER, "\ufeff") == "\ufeff"


def test_without_division_a_line_is_a_text():
    class Whole(Fake):
        def translate(self, lines, *, sentences):
            assert sentences is False
            return super().translate(lines)

    translator = Whole(str.upper)
    assert translate_document(translator, " Um. Dois.  \n", sentences=False) == " UM. DOIS.  \n"
    assert translator.seen == ["Um. Dois."]


def test_sentences_of_a_document_share_batches():
    batches = []

    class Counting(Fake):
        def translate(self, lines):
            batches.append(len(lines))
            return super().translate(lines)

    translate_document(Counting(str), "Um. Dois. Três.\n" * 10, chunk=20)
    assert batches == [20, 10]


def test_few_lines_are_read_ahead(monkeypatch):
    monkeypatch.setattr(dividing, "_CHUNK_TEXTS", 500)
    read, written = 0, 0

    class Source(io.BytesIO):
        """Tells how far it was read."""

        def read1(self, size=-1):
            nonlocal read
            content = super().read1(size)
            read += len(content)
            return content

    class Target:
        def write(self, part):
            nonlocal written
            written += len(part)
            ahead.append(read - written)

    ahead = []
    content = "".join(f"{i} um\n" if i % 3 else "\n" for i in range(4000)).encode()
    translate_document_file(SAME, Source(content), Target(), "text", chunk=500)
    assert written == read == len(content)
    assert max(ahead) < 1500 * len("3999 um\n") + io.DEFAULT_BUFFER_SIZE


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    source, target = tmp_path / "a.txt", tmp_path / "b.txt"
    line = "  - O gato dorme enquanto a menina come, e assim passa a tarde toda. Depois? Nada.\r\n"
    with source.open("w", encoding="utf-8", newline="") as file:
        file.writelines(line if i % 4 else "\n" for i in range(200_000))
    translator = Fake(str)
    translator.translate = lambda lines: [Translation(line, 0.0) for line in lines]
    tracemalloc.start()
    try:
        translate_document_file(translator, source, target)
        assert tracemalloc.get_traced_memory()[1] < source.stat().st_size / 2
    finally:
        tracemalloc.stop()
    assert target.read_bytes() == source.read_bytes()


# Subtitles.


def subtitles(*contents):
    """A file of subtitles, a second each."""
    return "".join(
        f"{i}\n00:00:{i:02},000 --> 00:00:{i:02},900\n{content}\n\n"
        for i, content in enumerate(contents, 1)
    )


SUBTITLES = subtitles(
    "<i>Eu não sei o que\nqueres dizer</i>",
    "- Olá.\n- Oi, tudo bem com\n  você? Sim.",
    r"{\an8}Ele disse que queria ir",
    "à <b>praia</b> ontem. Mas não foi.",
    "♪ Lá lá\n♪ Li li",
    "JOÃO:\nFoi ontem.",
    "...",
    "42 %",
)


def test_subtitles_come_back_as_they_are_composed():
    for text in (SUBTITLES, SUBTITLES.replace("\n", "\r\n"), SUBTITLES.strip()):
        composed = srt.compose(srt.parse(text), reindex=False, eol="\r\n" if "\r" in text else None)
        assert translate_document(SAME, text, "srt") == composed
    odd = "7\n00:00:01,000 --> 00:00:02,000 X1:5\nO fim\n\n3\n00:00:00,500 --> 00:00:00,700\n\n\n"
    assert translate_document(SAME, odd, "srt") == srt.compose(srt.parse(odd), reindex=False)


words = st.lists(
    st.sampled_from(["gato", "<i>", "</i>", "a", "Bem", "foi.", "-", "é?", "(bem)", "1"])
)


@few_examples
@given(st.lists(st.lists(words.map(" ".join), max_size=3).map("\n".join), max_size=6))
def test_any_subtitles_come_back_with_every_tag_and_time(contents):
    text = subtitles(*contents)
    parsed = list(srt.parse(text))
    assert translate_document(SAME, text, "srt") == srt.compose(parsed, reindex=False)
    written = list(srt.parse(translate_document(UPPER, text, "srt")))
    assert [(s.index, s.start, s.end) for s in written] == [
        (s.index, s.start, s.end) for s in parsed
    ]
    for before, after in zip(parsed, written, strict=True):
        tags = [Counter(re.findall("</?i>", s.content)) for s in (before, after)]
        assert tags[0] == tags[1]
        assert re.findall(r"\w+", re.sub("</?i>", "", after.content)) == [
            word.upper() for word in re.findall(r"\w+", re.sub("</?i>", "", before.content))
        ]


def test_sentences_run_over_lines_and_subtitles():
    assert seen_in(SUBTITLES, "srt") == [
        "Eu não sei o que queres dizer",
        *("Olá.", "Oi, tudo bem com você?", "Sim."),
        *("Ele disse que queria ir à praia ontem.", "Mas não foi."),
        *("Lá lá", "Li li", "JOÃO:", "Foi ontem.", "", ""),
    ]
    written = [s.content for s in srt.parse(translate_document(UPPER, SUBTITLES, "srt"))]
    assert written[:4] == [
        "<i>EU NÃO SEI O QUE\nQUERES DIZER</i>",
        "- OLÁ.\n- OI, TUDO BEM COM\n  VOCÊ? SIM.",
        r"{\an8}ELE DISSE QUE QUERIA IR",
        "<b>À PRAIA ONTEM. MAS NÃO FOI.</b>",
    ]
    assert written[6:] == ["...", "42 %"]


def test_a_sentence_is_divided_in_proportion_at_spaces():
    text = subtitles("Quando chegaste", "eu já dormia.")
    for translation, parts in (
        ("when you got here I was asleep", ["when you got here", "I was asleep"]),
        ("sleep", ["sleep", ""]),
        ("aaaaaaaaaaaaaaaaaa b", ["aaaaaaaaaaaaaaaaaa", "b"]),
        ("你来的时候我已经睡着了", ["你来的时候我", "已经睡着了"]),
        ("a\nb c\nd", ["a b", "c d"]),
        ("", ["", ""]),
    ):
        written = translate_document(Fake(lambda _, t=translation: t), text, "srt")
        assert [s.content.strip() for s in srt.parse(written)] == parts


def test_tags_of_a_line_stay_nested_and_once():
    (written,) = srt.parse(
        translate_document(UPPER, subtitles("<i>um</i> <b>dois</b> e <u>três</u> sim"), "srt")
    )
    assert written.content == "<i><b><u>UM DOIS E TRÊS SIM</u></b></i>"


# Catalogues.

CATALOGUE = r"""# Header
msgid ""
msgstr ""
"Project-Id-Version: x\n"
"Language: \n"
"Content-Type: text/plain; charset=UTF-8\n"
"X-Generator: hand\n"

#. for translators
#: a.py:1
#, python-format
msgctxt "menu"
msgid ""
"\n"
"Olá %s.\n"
"  Tudo bem?\n"
msgstr ""

msgid "feito"
msgstr "done"

#, fuzzy
#| msgid "era"
msgid "é"
msgstr "was"

#: b.py:2
#| msgid "uma gata"
msgid "um \"gato\""
msgid_plural "%d gatos"
msgstr[0] ""
msgstr[1] ""

#~ msgid "velho"
#~ msgstr ""
"""


def test_a_catalogue_that_is_translated_comes_back_byte_for_byte():
    whole = translate_document(UPPER, CATALOGUE, "po")
    for text in (whole, whole.replace("\n", "\r\n"), whole.rstrip("\n"), ""):
        assert translate_document(Fake(str.lower), text, "po") == text


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_entries_without_a_translation_get_one_and_are_fuzzy(line_end):
    written = translate_document(UPPER, CATALOGUE.replace("\n", line_end), "po")
    assert written == (
        CATALOGUE.replace("Language: ", "Language: en")
        .replace("#, python-format", "#, fuzzy, python-format")
        .replace(
            'bem?\\n"\nmsgstr ""', 'bem?\\n"\nmsgstr ""\n"\\n"\n"OLÁ %S.\\n"\n"  TUDO BEM?\\n"'
        )
        .replace('#| msgid "uma gata"', '#, fuzzy\n#| msgid "uma gata"')
        .replace('msgstr[0] ""', r'msgstr[0] "UM \"GATO\""')
        .replace('msgstr[1] ""', 'msgstr[1] "%D GATOS"')
        .replace("\n", line_end)
    )
    entries = polib.pofile(written)
    assert [entry.fuzzy for entry in entries] == [True, False, True, True, False]
    assert [entry.msgstr for entry in entries][:3] == ["\nOLÁ %S.\n  TUDO BEM?\n", "done", "was"]
    assert entries.metadata["X-Generator"] == "hand"


def test_everything_is_translated_where_asked():
    entries = polib.pofile(translate_document(UPPER, CATALOGUE, "po", everything=True))
    assert [entry.msgstr for entry in entries][1:3] == ["FEITO", "É"]
    assert all(entry.fuzzy for entry in entries if not entry.obsolete)
    assert entries[-1].msgstr == ""


def test_one_form_stands_for_all_numbers():
    text = 'msgid "%d gato"\nmsgid_plural "%d gatos"\nmsgstr[0] ""\n'
    assert translate_document(UPPER, text, "po").endswith('msgstr[0] "%D GATOS"\n')


@few_examples
@given(
    st.lists(
        st.text(st.sampled_from('aB "\\\n\t.é-' + "x" * 9), min_size=1, max_size=120), max_size=4
    )
)
def test_any_catalogue_is_read_as_it_was_meant(messages):
    catalogue = polib.POFile()
    for number, message in enumerate(messages):
        catalogue.append(polib.POEntry(msgctxt=str(number), msgid=message))
    entries = polib.pofile(translate_document(UPPER, str(catalogue), "po") + "\n")
    assert [entry.msgid for entry in entries] == messages
    for entry in entries:
        assert entry.msgstr in ("", entry.msgid.upper())
        assert entry.msgstr or not re.search(r"\w", entry.msgid)


# Pages.

PAGE = """<!DOCTYPE html>
<html lang="pt-BR"><head><title>Olá &amp; tchau</title><meta charset=utf-8>
<meta name="description" content="Uma página"><meta name="author" content="Um nome">
<style>p > b {x}</style><script>if (a<b) "</p>"</script></head>
<body class=a><!-- um comentário -->
<p>Uma &lt;palavra&gt; &copy;&nbsp;só.  <em>Uma frase inteira.</em>
<br/>Outra
 linha <![CDATA[x]]></p><pre>não  toca</pre><textarea placeholder="Escreve">não</textarea>
<ul><li>um item<li>- dois</ul><input type=submit value=Enviar><input value="não">
<p translate=no title="não">nada <b>disto</b></p><p class="a notranslate">nem isto
<p>algo <a b="""


def test_a_page_comes_back_byte_for_byte():
    assert translate_document(SAME, PAGE, "html") == PAGE.replace("pt-BR", "en")
    assert translate_document(Fake(str, "de", "fr"), PAGE, "html") == PAGE


def test_texts_of_a_page_are_translated_in_place():
    written = translate_document(UPPER, PAGE, "html")
    expected = PAGE.replace("pt-BR", "en")
    for before, after in {
        "Olá &amp; tchau": "OLÁ &amp; TCHAU",
        "Uma página": "UMA PÁGINA",
        "Uma &lt;palavra&gt; &copy;&nbsp;só.": "UMA &lt;PALAVRA&gt; ©\u00a0SÓ.",
        "Uma frase inteira.": "UMA FRASE INTEIRA.",
        "Outra\n linha": "OUTRA LINHA",
        "Escreve": "ESCREVE",
        "um item": "UM ITEM",
        "dois": "DOIS",
        "value=Enviar": 'value="ENVIAR"',
        "algo": "ALGO",
    }.items():
        expected = expected.replace(before, after)
    assert written == expected


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("<p>O <b>gato</b> dorme.</p>", "<p><b>O GATO DORME.</b></p>"),
        ("<p><b>Um.</b> Dois.</p>", "<p><b>UM.</b> DOIS.</p>"),
        ("<p><b>Um. Dois.</b></p>", "<p><b>UM. DOIS.</b></p>"),
        ("<p>O <b>um</b> e <i>dois</i>.</p>", "<p><b><i>O UM E DOIS.</i></b></p>"),
        ("<p>O <b>um <i>dois</i></b> a.</p>", "<p><b><i>O UM DOIS A.</i></b></p>"),
        ("<p>Um <b>dois. Três</b> quatro.</p>", "<p><b>UM DOIS. TRÊS QUATRO.</b></p>"),
        (
            "<p><b>Um. Dois</b> e <i>três. Quatro</i>.</p>",
            "<p><b>UM. DOIS E TRÊS.</b><i> QUATRO.</i></p>",
        ),
        ("<p>O <img src=a> fim.</p>", "<p>O  FIM.<img src=a></p>"),
        ("<p>O <i class=b></i>fim.</p>", "<p>O FIM.<i class=b></i></p>"),
        ("<p>O <!-- c -->fim.</p>", "<p>O FIM.<!-- c --></p>"),
        ("<p>Usa <code>ls -l. A</code> já.</p>", "<p>USA <code>ls -l. A</code> JÁ.</p>"),
        ("<p><code>ls</code> mostra.</p>", "<p><code>ls</code> MOSTRA.</p>"),
        ("<p><code>ls</code></p>", "<p><code>ls</code></p>"),
        ("<p>Diz <i translate=no>isto</i>.</p>", "<p>DIZ <i translate=no>isto</i>.</p>"),
        (
            "<div translate=no>não <b translate=yes>sim</b></div>",
            "<div translate=no>não <b translate=yes>SIM</b></div>",
        ),
        ("<p>um<br>dois<hr>três", "<p>UM<br>DOIS<hr>TRÊS"),
        ("<p>O <b>um<br>dois</b> três", "<p><b>O UM<br>DOIS TRÊS</b>"),
        ("<p>a < b & c &lt d", "<p>A &lt; B &amp; C &lt; D"),
        ('<a title="um &quot;b&quot;">x</a>', '<a title="UM &quot;B&quot;">X</a>'),
        ("<img alt='a \"b\"'>", "<img alt='A \"B\"'>"),
        ("<p>um <b>dois <i>três</b> quatro</i>.", "<p><b><i>UM DOIS TRÊS QUATRO.</i></b>"),
        ("<p translate=no>um<p>dois", "<p translate=no>um<p>DOIS"),
        ("<title>a <b> c</title>", "<title>A &lt;B&gt; C</title>"),
        ("<?xml version='1.0'?><p><i/>um <script src='a'/>dois</p>", None),
    ],
)
def test_tags_in_sentences(source, written):
    if written is None:
        written = source.replace("um", "UM").replace("dois", "DOIS")
    assert translate_document(UPPER, source, "html") == written


def test_code_whose_text_is_lost_goes_to_the_end():
    written = translate_document(Fake(lambda _: "show <it>"), "<p>O <code>ls</code> já.", "html")
    assert written == "<p>show &lt;it&gt; <code>ls</code>"


inline = st.sampled_from(["b", "i", "a", "span"])
leaves = st.sampled_from(
    [
        "um ",
        "Dois. ",
        "três! ",
        " ",
        "<br>",
        "<img alt=x>",
        "<!-- c -->",
        "<code>x. Y</code>",
        "&amp;",
    ]
)


def element(inner):
    return st.builds("<{0}>{1}</{0}>".format, inline | st.sampled_from(["p", "li"]), inner)


pages = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4).map("".join) | element(inner), max_leaves=20
)


def is_nested(page):
    waiting = []
    for token in tokens_of(page):
        if token.kind == "start" and token.name not in ("br", "img"):
            waiting.append(token.name)
        elif token.kind == "end" and (not waiting or waiting.pop() != token.name):
            return False
    return not waiting


@few_examples
@given(pages)
def test_every_tag_of_a_page_comes_back_once_and_nested(page):
    assert translate_document(SAME, page, "html") == page
    written = translate_document(UPPER, page, "html")
    spans = [
        Counter(text[token.begin : token.stop] for token in tokens_of(text) if token.kind != "text")
        for text in (page.replace("alt=x", 'alt="X"'), written)
    ]
    assert spans[0] == spans[1]
    assert is_nested(written)
    assert (
        re.sub(r"<[^>]*>|\s", "", written)
        == re.sub(
            r"<[^>]*>|\s",
            "",
            re.sub("(?<=<code>).*?(?=</code>)|um|dois|três", _upper, page, flags=re.I),
        )
        or "<code>" in page
    )


def _upper(found):
    return found[0].upper()


@few_examples
@given(st.lists(st.sampled_from([*"<>/!-?=\"'& \naAb;#1[]", "<p>", "</b>", "<!--"])).map("".join))
def test_anything_is_a_page(text):
    assert "".join(text[token.begin : token.stop] for token in tokens_of(text)) == text
    assert translate_document(SAME, text, "html") == text
    translate_document(UPPER, text, "html")


@pytest.mark.parametrize(
    "page",
    [
        "<b>um " * 10_000 + "dois." + "</b>" * 10_000,
        "<div>" * 10_000 + "um",
        "<b>" * 10_000 + "</i>" * 10_000 + "um",
        "um " + "<b>" * 5000 + "</i>" * 5000 + " dois",
        "<a " * 10_000,
        "<!--" * 10_000,
        "<title>" * 10_000,
        "um <code>x. Y</code> dois. " * 500,
        "<p>" + "o gato dorme " * 5000,
        "&" * 10_000 + "a" + "&amp" * 10_000,
    ],
    ids=lambda page: page[:20],
)
def test_hostile_pages_come_back(page):
    assert translate_document(SAME, page, "html") == page
    written = translate_document(UPPER, page, "html")
    for tag in ("<b>", "</b>", "<div>", "<code>", "<!--"):
        assert written.count(tag) == page.count(tag)


def test_pages_keep_their_encoding(tmp_path):
    page = '<meta charset="{}"><p>não é — isso</p>'
    source, target = tmp_path / "a.html", tmp_path / "b.htm"
    source.write_bytes(page.format("iso-8859-1").encode("cp1252"))
    translate_document_file(Fake(lambda text: text.upper() + " 猫"), source, target)
    assert target.read_bytes() == '<meta charset="iso-8859-1"><p>NÃO É — ISSO &#29483;</p>'.encode(
        "cp1252"
    )
    for declared, encoding in {
        "utf-16": "utf-8",
        "nonsense": "utf-8",
        "rot13": "utf-8",
        "Shift_JIS": "shift_jis",
    }.items():
        assert encoding_of(page.format(declared).encode()[:1024]) == encoding


# Files.


def test_files_are_written_whole_or_not_at_all(tmp_path):
    source = tmp_path / "a.txt"
    source.write_bytes("\ufeffum\r\ndois".encode())
    translate_document_file(UPPER, source, source)
    assert source.read_bytes() == "\ufeffUM\r\nDOIS".encode()
    source.write_bytes(b"um\n" * 5000 + b"\xff")
    with pytest.raises(InputError, match=r"a\.txt, line 5001: byte 0xff is not UTF-8"):
        translate_document_file(UPPER, source, tmp_path / "b.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_streams_are_read_and_written(tmp_path):
    source, target = io.BytesIO(b"um\ndois"), io.BytesIO()
    translate_document_file(UPPER, source, target, "text")
    assert target.getvalue() == b"UM\nDOIS"
    assert not source.closed
    with pytest.raises(InputError, match="the document: its name tells no format"):
        translate_document_file(UPPER, source, target)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.txt", b"um\n\xe3o\n", "a.txt, line 2: byte 0xe3 is not UTF-8"),
        ("a.txt", "um".encode("utf-16"), "a.txt, line 1: byte 0xff is not UTF-8"),
        ("a.txt", b"um\n\0", "a.txt, line 2: has a zero byte"),
        ("a.txt", b"a" * 2**22, "a.txt, line 1: has 4,194,304 characters or more"),
        ("a.html", b"<p>\n\xe3", "a.html, line 2: byte 0xe3 is not UTF-8"),
        ("a.srt", b"\n\num\n", "a.srt, line 3: begins no subtitle ('um')"),
        ("a.srt", b"1\n00:00:01,000 -> x\num\n", "a.srt, line 1: begins no subtitle"),
        (
            "a.srt",
            b"1\n00:00:01,000 --> 00:00:02,000\num\n\n2\n00:00:xx --> 1\ndois\n\n"
            b"3\n00:00:01,000 --> 00:00:02,000\num\n",
            "a.srt, line 6: '00:00:xx --> 1' are no times",
        ),
        ("a.srt", b"1\n" + b"9" * 99 + b":00:01,000 --> 00:00:02,000\n", "a.srt, subtitle 1: "),
        ("a.srt", b"\n" * 100_000, "a.srt, line 1: has a thousand blanks"),
        ("a.srt", b"1" * 100_000, "a.srt, line 1: has a thousand blanks or a hundred digits"),
        ("a.po", b'msgid "a"\nmsgid "b"\n', "a.po, line 2: is no entry of a catalogue"),
        ("a.po", b'\nmsgid "a"b"\n', "a.po, line 2: is no entry of a catalogue (unescaped double"),
        ("a.po", b"nonsense", "a.po, line 1: is no entry of a catalogue"),
        (
            "a.po",
            b'msgid ""\nmsgstr "Content-Type: text/plain; charset=latin-1\\n"\n',
            "a.po, line 1: the catalogue is in latin-1: convert it with msgconv",
        ),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_place(tmp_path, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    target = tmp_path / "written"
    with pytest.raises(InputError) as raised:
        translate_document_file(UPPER, tmp_path / name, target)
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_document_stays_empty(tmp_path, format):
    (tmp_path / "a").touch()
    translate_document_file(UPPER, tmp_path / "a", tmp_path / "b", format)
    assert (tmp_path / "b").read_bytes() == b""


def test_formats_are_told_by_names():
    names = {"a.TXT": "text", "b/c.xhtml": "html", "x.htm": "html", "a.srt": "srt", "a.pot": "po"}
    assert {name: format_of(name) for name in names} == names
    for name in ("a", "a.pdf", "txt"):
        with pytest.raises(InputError, match="its name tells no format"):
            format_of(name)
    with pytest.raises(InputError, match="format is text, html, srt or po; got 'pdf'"):
        translate_document(SAME, "", "pdf")
    with pytest.raises(InputError, match=r"nowhere\.txt: no such file"):
        translate_document_file(SAME, "nowhere.txt", "x")


@pytest.mark.parametrize(
    "part", ["9" * 90 + "\n", "1\n", " " * 900 + "a", "12 " * 200 + "a", "1" + " " * 300 + "\n"]
)
def test_runs_that_subtitles_do_not_have_are_refused_before_they_are_searched(part):
    begin = "1\n00:00:01,000 --> 00:00:02,000\na\n"
    for document in (begin + part * (2**19 // len(part)), part * (2**19 // len(part))):
        with pytest.raises(InputError, match="no subtitles"):
            translate_document(SAME, document, "srt")


def test_many_subtitles_with_numbers_are_read():
    document = "".join(
        f"{number}\n00:{number // 60 % 60:02}:{number % 60:02},000 --> 01:00:00,000\n"
        f"Ligue para 5511999990000 ou 0800 {number:04}, em 1 2 3.\n\n"
        for number in range(1, 1500)
    )
    assert translate_document(SAME, document, "srt") == document
