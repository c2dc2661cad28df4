"""LibreTranslate's interface: any fields, forms and files get a translation or one clear error."""

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import error_of, examples, json_values, texts

from keras_transformer.documents.html_tokens import tokens_of

pytestmark = pytest.mark.slow

PAIR = {"source": "pt", "target": "en"}
codes = st.sampled_from(["pt", "en", "auto", "pt-BR", "xx", ""]) | texts
fields = st.fixed_dictionaries(
    {},
    optional={
        "q": texts | st.lists(texts, max_size=4) | st.lists(json_values, max_size=3) | json_values,
        "source": codes | json_values,
        "target": codes | json_values,
        "format": st.sampled_from(["text", "html", "", "xml"]) | json_values,
        "alternatives": st.integers(-3, 20) | texts | json_values,
        "api_key": texts | json_values,
        "other": json_values,
    },
)
pages = st.lists(
    st.sampled_from(
        [
            *(
                "<p>",
                "</p>",
                "<b>",
                "</b>",
                "<br>",
                "<!--",
                "-->",
                "<",
                ">",
                "&",
                "&amp;",
                "<a href=",
            ),
            *(
                "'",
                '"',
                "<script>",
                "</script>",
                "<pre>",
                "</pre>",
                "\n",
                " ",
                "um gato",
                "dois. três!",
            ),
            *("<html lang=pt>", "&#0;", "&#xd800;", "</", "<?xml?>", "<![CDATA[", "]]>", "title=x"),
        ]
    )
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
    max_size=20,
).map("".join)
names = st.sampled_from(["a.txt", "a.html", "a.srt", "a.po", "a.HTM", ".po", "a", "a.exe"]) | texts
documents = (
    st.binary(max_size=200)
    | pages.map(lambda page: page.encode("utf-8", "replace"))
    | st.lists(
        st.sampled_from(
            [
                *("1\n", "00:00:01,000 --> 00:00:02,000\n", "um gato\n", "\n", "\ufeff", "\r\n"),
                *(
                    'msgid ""\n',
                    'msgstr ""\n',
                    'msgid "a"\n',
                    'msgstr "b"\n',
                    "#, fuzzy\n",
                    '"c"\n',
                ),
            ]
        ),
        max_size=12,
    ).map(lambda parts: "".join(parts).encode())
)


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def check(answer):
    """The content of a right answer; ``None`` for a clear error of the client's."""
    assert answer.headers["content-type"] == "application/json", answer.text
    content = answer.json()
    if answer.status_code == 200:
        return content
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text)
    assert content.keys() == {"error"}
    error_of(content["error"])
    return None


def check_right_answer(client):
    answer = client.post("/translate", json=PAIR | {"q": "sol mar lua"})
    assert answer.json() == {"translatedText": "lua mar sol"}


@examples(300)
@given(content=fields | json_values, path=st.sampled_from(["/translate", "/detect"]))
def test_any_fields_in_json_are_answered(client, content, path):
    headers = {"Content-Type": "application/json"}
    found = check(client.post(path, content=json.dumps(content), headers=headers))
    if found is not None and path == "/translate" and isinstance(content["q"], list):
        assert len(found["translatedText"]) == len(content["q"])
    check_right_answer(client)


@examples(150)
@given(
    body=st.binary(max_size=80)
    | st.lists(st.sampled_from(list("q=%&;+pt\n")), max_size=40).map(
        lambda letters: "".join(letters).encode()
    ),
    kind=st.sampled_from(
        [
            *("application/x-www-form-urlencoded", "application/json", "application/x+json"),
            *(
                "multipart/form-data; boundary=b",
                "multipart/form-data",
                "",
                "text/html",
                "text/plain",
            ),
        ]
    ),
    query=st.binary(max_size=20).map(lambda part: "".join(f"%{byte:02x}" for byte in part)),
    path=st.sampled_from(["/translate", "/translate_file", "/detect", "/languages"]),
)
def test_any_bytes_are_answered(client, body, kind, query, path):
    check(client.post(f"{path}?q={query}", content=body, headers={"Content-Type": kind}))
    check_right_answer(client)


@examples(200)
@given(page=pages)
def test_any_page_keeps_its_tags(client, page):
    found = check(client.post("/translate", json=PAIR | {"q": page, "format": "html"}))
    if found is not None:
        kinds = [
            sorted(token.name for token in tokens_of(text) if token.kind in ("start", "end"))
            for text in (page, found["translatedText"])
        ]
        assert kinds[0] == kinds[1]


@examples(200)
@given(name=names, content=documents, source=st.sampled_from(["pt", "auto", "en"]))
def test_any_file_is_answered(client, name, content, source):
    file = {"file": (name.encode("utf-8", "replace").decode(), content)}
    fields = {"source": source, "target": "en"}
    found = check(client.post("/translate_file", data=fields, files=file))
    if found is not None:
        assert client.get(found["translatedFileUrl"]).status_code == 200
    check_right_answer(client)


@examples(60)
@given(name=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
def test_no_name_that_was_not_given_is_a_file(client, name):
    answer = client.get("/download_file/" + name.replace("#", "").replace("?", ""))
    assert answer.status_code in (400, 404), answer.text
