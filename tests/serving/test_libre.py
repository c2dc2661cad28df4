"""LibreTranslate's interface gives what the others give, in the form that its clients know."""

import asyncio
import json
import random
import re
import shutil
import time
from types import SimpleNamespace

import httpx
import pytest
import tiny_server
from tiny_server import gather, running_server

from keras_transformer.data.tokenizers.token_links import TokenLinks
from keras_transformer.documents.html_tokens import tokens_of
from keras_transformer.translating.documents.translate import translate_document
from keras_transformer.translating.translation import BaseTranslator, Translation

TEXTS = [
    "um dois três",
    "só",
    "a b c d e f g h",
    "  espaços  ",
    "日本 語 🙂",
    '"<aspas>\\"',
    "a\nb c",
]
PAIR = {"source": "pt", "target": "en"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Backwards(BaseTranslator):
    """What the tiny export does, in Python."""

    tokenizers = SimpleNamespace(source_language="pt", target_language="en")

    def can_align(self, **options):
        return True

    def translate(self, lines, alignment=False):
        found = []
        for line in lines:
            words = line.split()
            places = list(reversed(range(len(words))))
            links = TokenLinks(words, words[::-1], places, [1.0] * len(words))
            found.append(Translation(" ".join(reversed(words)), 0.0, token_links=links))
        return found


def predicted(client, texts, signature="serving_default"):
    """What TensorFlow Serving's interface gives for texts."""
    content = {"signature_name": signature, "inputs": {"text": texts}}
    answer = client.post("/v1/models/tiny:predict", json=content)
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs"]["translation"]


def translate(client, **content):
    """The answer to a request, which is no error."""
    answer = client.post("/translate", json=PAIR | content)
    assert answer.status_code == 200, answer.text
    return answer.json()


def translated_file(client, name, content, **fields):
    """A file that is translated and fetched, and the answer that it came in."""
    answer = client.post("/translate_file", data=PAIR | fields, files={"file": (name, content)})
    assert answer.status_code == 200, answer.text
    return client.get(answer.json()["translatedFileUrl"])


# Laws.


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_translated_as_elsewhere_however_it_is_sent(client, text):
    [expected] = predicted(client, [text])
    fields = PAIR | {"q": text}
    assert translate(client, q=text) == {"translatedText": expected}
    for sent in (
        {"data": fields},
        {"params": fields},
        {"data": {"q": text}, "params": PAIR},
        {"files": {name: (None, value) for name, value in fields.items()}},
    ):
        answer = client.post("/translate", **sent)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"translatedText": expected}


def test_a_list_keeps_its_order_and_its_length(client):
    texts = [*TEXTS, "", *reversed(TEXTS)]
    assert translate(client, q=texts)["translatedText"] == predicted(client, texts)
    assert translate(client, q=["a b"])["translatedText"] == ["b a"]
    form = "&".join(["q=a+b", "q=c+d", "source=pt", "target=en"])
    answer = client.post("/translate", content=form, headers=FORM)
    assert answer.json() == {"translatedText": ["b a", "d c"]}


def test_answers_are_the_same_whatever_runs_beside(server, client):
    draw = random.Random(1)
    words = ["sol", "mar", "lua", "é", "a"]
    texts = [" ".join(draw.choices(words, k=draw.randrange(1, 12))) for _ in range(80)]
    expected = [text for part in (texts[:40], texts[40:]) for text in predicted(client, part)]

    async def ask(client, number):
        content = PAIR | {"q": texts[number], "format": ("text", "html")[number % 2]}
        for _ in range(100):
            answer = await client.post(f"{server.url}/translate", json=content)
            if answer.status_code != 503:
                return answer.json()["translatedText"]
            await asyncio.sleep(0.05)

    asynchronous = httpx.AsyncClient(timeout=30)
    assert gather([ask(asynchronous, n) for n in range(80)], most=20) == expected


@pytest.mark.parametrize("count", [0, 1, 3])
def test_alternatives_differ_from_the_translation_which_they_leave_as_it_is(client, count):
    for given in (count, str(count)):
        answer = translate(client, q=["a b", "c"], alternatives=given)
        assert answer["translatedText"] == predicted(client, ["a b", "c"])
        if count:
            assert [len(beam) for beam in answer["alternatives"]] == [count, count]
            for beam, text in zip(answer["alternatives"], answer["translatedText"], strict=True):
                assert len({*beam, text}) == count + 1
        else:
            assert "alternatives" not in answer
    assert translate(client, q="a b", alternatives=-5) == {"translatedText": "b a"}
    if count:
        one = translate(client, q="a b", alternatives=count)
        assert one["alternatives"] == answer["alternatives"][0]
        page = translate(client, q="a b", alternatives=count, format="html")
        assert page == {"translatedText": "b a", "alternatives": []}


PAGES = [
    "um <b>dois</b> três",
    '<p class="x">Um gato. Outro <i>gato preto</i> dorme!</p><hr><p>Fim</p>',
    '<div><a href="/a?b=1&amp;c" title="um título">um link</a> &lt;aqui&gt; &amp; ali<br>x y</div>',
    "<script>var a = 'um dois';</script><!-- um dois --><pre>um dois</pre> três quatro",
    '<p translate="no">um dois</p>\r\n<ul><li>a b<li>c d</ul>',
    "texto sem marcas",
    "<p>nunca fechado <b>um dois",
    "   <p> </p>\n",
]


def tags(page):
    """The tags and comments of a page, without the values of attributes that are texts."""
    found = [page[token.begin : token.stop] for token in tokens_of(page) if token.kind != "text"]
    return sorted(re.sub(r'title="[^"]*"', "title", tag) for tag in found)


@pytest.mark.parametrize("page", PAGES)
def test_html_keeps_its_tags_and_is_what_documents_are_translated_to(client, page):
    found = translate(client, q=page, format="html")["translatedText"]
    assert tags(found) == tags(page)
    assert found == translate_document(Backwards(), page, "html")


GLOSSARY = {"gato preto": "black cat", "dois": "two"}


def test_a_glossary_is_followed(client):
    """It is turned round as all else, by this model."""
    lines = "".join(f"{term}\t{other}\n" for term, other in GLOSSARY.items())
    for glossary in (
        GLOSSARY,
        list(map(list, GLOSSARY.items())),
        lines,
        lines.replace("\n", "\r\n"),
    ):
        answer = translate(client, q=["um Gato preto dorme", "um"], glossary=glossary)
        assert answer["translatedText"] == ["dorme cat black um", "um"]
    form = client.post("/translate", data=PAIR | {"q": "dois x", "glossary": lines})
    assert form.json()["translatedText"] == "x two"
    page = translate(client, q="<p>um dois</p>", format="html", glossary=GLOSSARY)
    assert page["translatedText"] == "<p>two um</p>"
    files = {"file": ("a.txt", b"um dois\n")}
    file = client.post("/translate_file", data=PAIR | {"glossary": lines}, files=files).json()
    assert client.get(file["translatedFileUrl"]).text == "two um\n"
    nothing = translate(client, q="um dois", glossary="")
    assert nothing == translate(client, q="um dois")


def test_pages_of_a_list_are_translated_each_for_itself(client):
    found = translate(client, q=PAGES, format="html")["translatedText"]
    assert found == [translate_document(Backwards(), page, "html") for page in PAGES]


DOCUMENTS = {
    "a.txt": "Um gato. Dois cães!\r\n\r\n  - três quatro\nfim",
    "b.html": "<p>Um <b>gato</b> preto.</p>",
    "c.HTM": "<p>a b</p>",
    "d.srt": "1\n00:00:01,000 --> 00:00:02,500\nUm gato\n\n2\n00:00:03,000 --> 00:00:04,000\na\n\n",
    "e.po": 'msgid ""\nmsgstr "Project-Id-Version: a\\n"\n\nmsgid "um dois"\nmsgstr ""\n',
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_are_translated_in_their_shape(client, name):
    format = {"txt": "text", "htm": "html"}.get(ending := name.lower()[2:], ending)
    found = translated_file(client, name, DOCUMENTS[name].encode())
    assert found.status_code == 200
    assert found.content.decode() == translate_document(Backwards(), DOCUMENTS[name], format)
    assert found.headers["content-disposition"] == (
        f'attachment; filename="{name[0]}_en{name[1:].lower()}"'
    )
    assert found.headers["content-type"] == "application/octet-stream"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["content-security-policy"].startswith("sandbox")
    assert int(found.headers["content-length"]) == len(found.content)


def test_a_file_of_more_texts_than_a_request_may_have_is_translated_whole(client):
    lines = [f"a{number} b" if number % 3 else "" for number in range(400)]
    found = translated_file(client, "a.txt", "\n".join(lines).encode())
    assert found.text == "\n".join(" ".join(reversed(line.split())) for line in lines)


def test_a_file_keeps_its_encoding_and_its_mark(client):
    page = '<meta charset="cp1252"><p>três é</p>'.encode("cp1252")
    assert translated_file(client, "a.html", page).content == page.replace(
        "três é".encode("cp1252"), "é três".encode("cp1252")
    )
    found = translated_file(client, "a.txt", "\ufeffa b".encode())
    assert found.content == "\ufeffb a".encode()
    assert translated_file(client, "a.txt", b"").content == b""


def test_names_of_files_cannot_be_guessed_nor_lead_elsewhere(client, server):
    answer = client.post(
        "/translate_file", data=PAIR, files={"file": ('../..\\é "x"; y.txt', b"a b")}
    )
    url = answer.json()["translatedFileUrl"]
    assert url.startswith(f"{server.url}/download_file/")
    token, _, name = url.rpartition("/")[2].partition(".")
    assert len(token) >= 32
    assert re.fullmatch(r"[\w.-]+_en\.txt", name, re.ASCII)
    assert client.get(url).text == "b a"
    assert client.head(url).status_code == 200
    for other in (
        url[:-1],
        f"{server.url}/download_file/{'x' * 32}.{name}",
        f"{server.url}/download_file/..%2f..%2fetc%2fpasswd",
        f"{server.url}/download_file/{token}",
        f"{server.url}/download_file/",
        f"{server.url}/download_file/%00",
    ):
        assert client.get(other).status_code == 404, other
    assert token not in server.log.read_text()


def test_languages_are_those_of_what_is_served(client):
    expected = [
        {"code": "pt", "name": "Portuguese", "targets": ["en"]},
        {"code": "en", "name": "English", "targets": []},
    ]
    assert client.get("/languages").json() == expected
    assert client.post("/languages").json() == expected
    assert client.post("/languages", data={"api_key": ""}).json() == expected


def test_settings_say_what_pages_want_to_know(client):
    found = client.get("/frontend/settings").json()
    assert found["charLimit"] == 200
    assert (found["apiKeys"], found["keyRequired"], found["suggestions"]) == (False, False, False)
    assert {".txt", ".html", ".srt", ".po"} <= set(found["supportedFilesFormat"])
    assert found["language"] == {
        "source": {"code": "pt", "name": "Portuguese"},
        "target": {"code": "en", "name": "English"},
    }


def test_health_is_in_its_own_words(client):
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert client.get("/health", headers={"Host": "evil.example.com"}).status_code == 200


@pytest.mark.parametrize("source", ["pt", "PT", "pt-BR", "pt_PT", "pb"])
def test_a_region_that_the_model_does_not_have_is_left_aside(client, source):
    assert translate(client, q="a b", source=source)["translatedText"] == "b a"


def test_auto_takes_the_language_that_is_served(client):
    answer = translate(client, q="o gato preto dorme na cama", source="auto")
    assert answer["detectedLanguage"]["language"] == "pt"
    assert 0 < answer["detectedLanguage"]["confidence"] <= 100
    many = translate(client, q=["a b", "c"], source="auto")
    assert [found["language"] for found in many["detectedLanguage"]] == ["pt", "pt"]
    assert many["translatedText"] == ["b a", "c"]
    assert translated_file(client, "a.txt", b"um dois", source="auto").text == "dois um"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Este é um problema que temos que resolver amanhã.", "pt"),
        ("This is a problem that we have to solve tomorrow.", "en"),
        ("Das ist ein Problem, das wir morgen lösen müssen.", "de"),
        ("Это проблема, которую нам нужно решить завтра.", "ru"),
    ],
)
def test_languages_are_detected_the_likeliest_first(client, text, language):
    found = client.post("/detect", json={"q": text}).json()
    assert found[0]["language"] == language
    confidences = [one["confidence"] for one in found]
    assert confidences == sorted(confidences, reverse=True)
    assert all(0 <= confidence <= 100 for confidence in confidences)
    assert client.post("/detect", data={"q": text}).json() == found
    assert client.post("/detect", json={"q": [text]}).json() == found


# Errors.


def error_of(answer):
    """Status and message of an error in LibreTranslate's form."""
    assert set(answer.json()) == {"error"}, answer.text
    assert answer.json()["error"].isprintable()
    return answer.status_code, answer.json()["error"]


WRONG = {
    "no fields": {},
    "no q": PAIR,
    "no source": {"q": "a", "target": "en"},
    "no target": {"q": "a", "source": "pt"},
    "null": {"q": None, "source": "pt", "target": "en"},
    "empty": PAIR | {"q": ""},
    "no texts": PAIR | {"q": []},
    "a number": PAIR | {"q": 5},
    "an object": PAIR | {"q": {"a": "b"}},
    "a list in a list": PAIR | {"q": [["a"]]},
    "null in a list": PAIR | {"q": ["a", None]},
    "a zero": PAIR | {"q": "a\0b"},
    "half a character": PAIR | {"q": "\ud800"},
    "half a character in a list": PAIR | {"q": ["a", "\udfff b"]},
    "too many texts": PAIR | {"q": ["a"] * 51},
    "far too many texts": PAIR | {"q": [0] * 6000},
    "too many characters": PAIR | {"q": "a" * 201},
    "too many characters in a list": PAIR | {"q": ["a", "a" * 201]},
    "too many characters of a page": PAIR | {"q": "<b>a</b>" * 26, "format": "html"},
    "a source that is no text": {"q": "a", "source": ["pt"], "target": "en"},
    "a source that is not served": {"q": "a", "source": "xx", "target": "en"},
    "a target that is not served": {"q": "a", "source": "pt", "target": "\0"},
    "a pair that is not served": {"q": "a", "source": "en", "target": "pt"},
    "half a character in a code": {"q": "a", "source": "\ud800", "target": "en"},
    "another format": PAIR | {"q": "a", "format": "xml"},
    "a format that is no text": PAIR | {"q": "a", "format": 1},
    "alternatives in words": PAIR | {"q": "a", "alternatives": "two"},
    "alternatives of a digit that is none": PAIR | {"q": "a", "alternatives": "²"},
    "alternatives that are true": PAIR | {"q": "a", "alternatives": True},
    "a list of alternatives": PAIR | {"q": "a", "alternatives": [1]},
    "too many alternatives": PAIR | {"q": "a", "alternatives": 16},
    "far too many alternatives": PAIR | {"q": "a", "alternatives": 10**30},
    "a glossary of one column": PAIR | {"q": "a", "glossary": "gato"},
    "a number for a glossary": PAIR | {"q": "a", "glossary": 5},
    "a list of texts for a glossary": PAIR | {"q": "a", "glossary": ["gato"]},
    "a glossary in conflict": PAIR | {"q": "a", "glossary": [["a", "b"], ["A", "c"]]},
    "half a character in a glossary": PAIR | {"q": "a", "glossary": {"a": "\ud800"}},
    "too much of a glossary": PAIR | {"q": "a", "glossary": {f"a{i}": "b" for i in range(99)}},
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_fields_are_the_clients_fault(client, name):
    json_type = {"content-type": "application/json"}
    answer = client.post("/translate", content=json.dumps(WRONG[name]), headers=json_type)
    assert error_of(answer)[0] == 400
    if all(isinstance(value, str) and value.isascii() for value in WRONG[name].values()):
        assert error_of(client.post("/translate", data=WRONG[name]))[0] == 400


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b'"q"', "application/json"),
        (b"{", "application/json"),
        (b'{"q": "\xff"}', "application/json"),
        (b"[" * 9000, "application/json"),
        (b"q=%ff&source=pt&target=en", FORM["content-type"]),
        (b"q=\xff&source=pt&target=en", FORM["content-type"]),
        (b"&a=b" * 4000, FORM["content-type"]),
        (b"a", "multipart/form-data"),
        (b"a", "multipart/form-data; boundary=b"),
        (b"--b\r\n\r\nx\r\n--b--", "multipart/form-data; boundary=b"),
        (b"--b\r\n" * 3000, "multipart/form-data; boundary=b"),
        (b"{}", ""),
    ],
)
def test_wrong_bodies_are_the_clients_fault(client, content, content_type):
    for path in ("/translate", "/detect", "/translate_file"):
        answer = client.post(path, content=content, headers={"content-type": content_type})
        assert error_of(answer)[0] == 400


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.exe", b"a"),
        ("a", b"a"),
        (".txt", b"a"),
        ("a.txt", b"\xff\xfe"),
        ("a.txt", b"a\0b"),
        ("a.txt", b"a " * 201),
        ("a.srt", b"no subtitle"),
        ("a.po", b"no catalogue"),
    ],
)
def test_wrong_files_are_the_clients_fault(client, name, content):
    answer = client.post("/translate_file", data=PAIR, files={"file": (name, content)})
    assert error_of(answer)[0] == 400


def test_a_file_needs_its_fields(client):
    assert error_of(client.post("/translate_file", data=PAIR))[0] == 400
    file = {"file": ("a.txt", b"a")}
    for fields in ({}, {"source": "pt"}, {"target": "en"}, {"source": "en", "target": "pt"}):
        assert error_of(client.post("/translate_file", data=fields, files=file))[0] == 400
    assert error_of(client.post("/translate_file", json=PAIR | {"file": "a"}))[0] == 400


def test_limits_and_rules_are_those_of_the_other_routes(client):
    large = client.post("/translate", json=PAIR | {"q": "a" * 20_000})
    assert error_of(large)[0] == 413
    assert large.headers["connection"] == "close"
    assert (
        error_of(client.post("/translate", content=b"a", headers={"Content-Encoding": "gzip"}))[0]
        == 415
    )
    plain = {"content-type": "text/plain"}
    assert error_of(client.post("/translate", content=b"{}", headers=plain))[0] == 415
    for headers, status in (({"Host": "evil.example.com"}, 421), ({"Origin": "http://a.b"}, 403)):
        for path in ("/translate", "/translate_file", "/languages", "/detect"):
            form = client.post(path, data=PAIR, files={"file": ("a.txt", b"a")}, headers=headers)
            assert error_of(form)[0] == status
    for method, path in (
        ("GET", "/translate"),
        ("PUT", "/translate"),
        ("POST", "/download_file/a"),
    ):
        answer = client.request(method, path)
        assert error_of(answer)[0] == 405
        assert answer.headers["allow"]


def test_the_deadline_ends_all_of_it(tiny_export):
    with (
        running_server(tiny_export, deadline=1.0, max_texts=2) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        text = "wait wait\n" * 20
        begun = time.monotonic()
        answer = client.post("/translate_file", data=PAIR, files={"file": ("a.txt", text)})
        assert error_of(answer)[0] == 504
        assert time.monotonic() - begun < 10
        assert translate(client, q="a b")["translatedText"] == "b a"


# Several pairs, and no detector.


WITHOUT_DETECTOR = f"import sys; sys.modules['py3langid'] = None\n{tiny_server.SERVE}"


@pytest.fixture(scope="module")
def versatile(tiny_export, tmp_path_factory):
    """A server of versions of several languages, where the extra ``detect`` is missing."""
    folder = tmp_path_factory.mktemp("versatile") / "tiny"
    pairs = [("en", "pt-BR"), ("pt_BR", "en"), ("de", "en")]
    for number, (source, target) in enumerate(pairs, 1):
        shutil.copytree(tiny_export / "1", folder / str(number))
        about = folder / str(number) / "assets.extra" / "keras_transformer.json"
        about.write_text(json.dumps({"source_language": source, "target_language": target}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_server, "SERVE", WITHOUT_DETECTOR)
        with running_server(folder, labels={"back": 1, "there": 2}) as running:
            yield running


def versions_that_answered(server):
    events = [event for event in server.events() if event.get("url") == "/translate"]
    return [event["version"] for event in events if event["status"] == 200]


def test_the_pair_of_languages_chooses_the_version(versatile):
    with httpx.Client(base_url=versatile.url, timeout=30) as client:
        languages = client.get("/languages").json()
        assert sorted(languages, key=lambda language: language["code"]) == [
            {"code": "de", "name": "German", "targets": ["en"]},
            {"code": "en", "name": "English", "targets": ["pt-BR"]},
            {"code": "pt-BR", "name": "Portuguese (BR)", "targets": ["en"]},
        ]
        for source, target in (("de", "en"), ("pt", "en"), ("en", "pt-br")):
            answer = translate(client, q="a b", source=source, target=target)
            assert answer["translatedText"] == "b a"
        give_up = time.monotonic() + 10  # a thread writes the log
        while len(found := versions_that_answered(versatile)) < 3 and time.monotonic() < give_up:
            time.sleep(0.05)
        assert found == [3, 2, 1]
        fields = {"q": "a", "source": "de", "target": "pt"}
        status, message = error_of(client.post("/translate", json=fields))
        assert status == 400
        assert "German (de)" in message
        assert client.get("/frontend/settings").json()["language"]["source"]["code"] == "auto"


def test_without_a_detector_its_absence_is_said(versatile):
    with httpx.Client(base_url=versatile.url, timeout=30) as client:
        status, message = error_of(client.post("/detect", json={"q": "o gato"}))
        assert (status, "detect" in message) == (403, True)
        auto = {"q": "o gato", "source": "auto", "target": "en"}
        status, message = error_of(client.post("/translate", json=auto))
        assert (status, "auto" in message) == (400, True)


def test_auto_needs_no_detector_for_one_source_language(tiny_export, monkeypatch):
    monkeypatch.setattr(tiny_server, "SERVE", WITHOUT_DETECTOR)
    with (
        running_server(tiny_export) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        assert translate(client, q="o gato", source="auto") == {
            "detectedLanguage": {"confidence": 0.0, "language": "pt"},
            "translatedText": "gato o",
        }
