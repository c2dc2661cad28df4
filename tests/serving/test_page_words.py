"""The route of the page for words: its sentences are the text, and its links those of the model."""

from itertools import chain

import pytest

from keras_transformer.serving.page_words import PATH

TEXTS = [
    "um gato preto",
    "  - Um gato (preto), dorme.  A menina!\n\n1. O homem lê.\n",
    "日本 語 🙂",
    "",
    " \n",
    "- -\n42. 7!",
]


def words(client, **content):
    answer = client.post(PATH, json=content)
    assert answer.status_code == 200, answer.text
    return answer.json()


def joined(found, side):
    """A side of an answer as one text."""
    parts = ((one["gap"], *one[side]) for one in found["sentences"])
    return "".join(chain.from_iterable(parts)) + found["tail"]


@pytest.mark.parametrize("text", TEXTS)
def test_both_sides_are_whole_and_the_translation_is_that_of_the_model(client, text):
    found = words(client, text=text)
    content = {"signature_name": "alignment", "inputs": {"text": [text]}}
    outputs = client.post("/v1/models/tiny:predict", json=content).json()["outputs"]
    assert joined(found, "source") == text
    assert joined(found, "target") == found["translation"] == outputs["translation"][0]
    assert found["score"] == pytest.approx(outputs["score"][0])
    for one in found["sentences"]:
        for source, target in one["links"]:  # this model copies
            assert one["source"][source] == one["target"][target]


def test_words_are_linked_and_signs_are_not(client):
    [one] = words(client, text="Um gato, preto")["sentences"]
    assert one["source"] == ["Um", " ", "gato", ",", " ", "preto"]
    assert one["target"] == ["preto", " ", "gato", ",", " ", "Um"]
    assert sorted(one["links"]) == [[0, 5], [2, 2], [5, 0]]


def test_a_glossary_is_followed_and_its_errors_are_named(client):
    found = words(client, text="um gato dorme", glossary="gato\ttomcat\n\nx\ty")
    assert found["translation"] == "dorme tomcat um"
    assert words(client, text="um gato", glossary="") == words(client, text="um gato")
    answer = client.post(PATH, json={"text": "um gato", "glossary": "gato"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("glossary, line 1: ")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'"a"',
        b'{"text": 5}',
        b'{"text": ["a"]}',
        b'{"text": "a", "glossary": 5}',
        b'{"text": "\\ud800"}',
        b'{"text": "a", "glossary": "\\ud800\\ta"}',
        b'{"text": "' + b"a" * 201 + b'"}',
    ],
)
def test_a_wrong_request_is_one_clear_error(client, content):
    answer = client.post(PATH, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_other_methods_and_other_origins_are_refused(client):
    assert client.get(PATH).status_code == 405
    answer = client.post(PATH, json={"text": "a"}, headers={"Origin": "https://evil.example.com"})
    assert answer.status_code == 403
