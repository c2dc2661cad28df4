"""Clients of LibreTranslate that others wrote get their answers from this server."""

import asyncio
import io

import httpx
import pytest
from deep_translator import LibreTranslator
from deep_translator.exceptions import ServerException
from libretranslate_aio import AsyncLibreTranslate, LibreTranslate
from libretranslate_aio.exceptions import BadRequestError
from libretranslatepy import LibreTranslateAPI

TEXT = "O gato preto dorme na cama & ronca."
BACKWARDS = "ronca. & cama na dorme preto gato O"


def test_libretranslatepy_translates_detects_and_lists(server):
    client = LibreTranslateAPI(f"{server.url}/")
    assert client.translate(TEXT, "pt", "en") == BACKWARDS
    assert client.translate(TEXT, "auto", "en") == BACKWARDS
    assert client.detect(TEXT)[0]["language"] == "pt"
    assert [one["code"] for one in client.languages()] == ["pt", "en"]


def test_deep_translator_translates_texts_and_files(server, tmp_path):
    client = LibreTranslator(
        source="Portuguese", target="en", api_key="any", custom_url=f"{server.url}/"
    )
    assert client.translate(TEXT) == BACKWARDS
    assert client.translate_batch(["a b", "c d e"]) == ["b a", "e d c"]
    path = tmp_path / "a.txt"
    path.write_text(TEXT, encoding="utf-8")
    assert client.translate_file(str(path)) == BACKWARDS
    wrong = LibreTranslator(source="en", target="pt", api_key="x", custom_url=f"{server.url}/")
    with pytest.raises(ServerException):
        wrong.translate(TEXT)


def test_libretranslate_aio_has_all_that_it_asks_for(server):
    with LibreTranslate(server.url) as client:
        assert client.health()
        assert client.translate(TEXT, "pt", "en").translated_text == BACKWARDS
        page = client.translate("<p>O <b>gato</b></p>", "pt", "en", format="html")
        assert page.translated_text == "<p><b>gato</b> O</p>"
        many = client.translate(["a b", "c d"], "auto", "en", alternatives=2)
        assert many.translated_text == ["b a", "d c"]
        assert [len(beam) for beam in many.alternatives] == [2, 2]
        assert [found.language for found in many.detected_language] == ["pt", "pt"]
        assert client.detect(TEXT)[0].language == "pt"
        assert {one.code: one.targets for one in client.languages()} == {"pt": ["en"], "en": []}
        assert client.frontend_settings().language.target.code == "en"
        with pytest.raises(BadRequestError, match="xx"):
            client.translate("a", "xx", "en")


def test_libretranslate_aio_translates_files(server, tmp_path):
    path = tmp_path / "página.html"
    path.write_text("<p>O gato</p>", encoding="utf-8")
    with LibreTranslate(server.url) as client:
        url = client.translate_file(path, "pt", "en").translated_file_url
        assert httpx.get(url).text == "<p>gato O</p>"
        file = io.BytesIO(b"um dois")
        file.name = "a.txt"
        assert httpx.get(client.translate_file(file, "auto", "en").translated_file_url).text == (
            "dois um"
        )


def test_the_asynchronous_client_asks_at_once(server):
    async def ask():
        async with AsyncLibreTranslate(server.url) as client:
            asked = [client.translate(f"a {number}", "pt", "en") for number in range(20)]
            return [answer.translated_text for answer in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == [f"{number} a" for number in range(20)]
