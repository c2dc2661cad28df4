"""A trained model behind the server answers as its export does."""

import httpx
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401
from tiny_server import gather, running_server

import keras_transformer as kt
from keras_transformer.exporting import export


@pytest.mark.slow
def test_a_trained_models_answers_are_those_of_its_export(tiny_run, tiny_corpus, tmp_path):
    exported = export(tiny_run.translator, tmp_path / "tiny", compiled=False)
    lines = [source.decode() for source, _ in tiny_corpus.test.as_numpy_iterator()]
    loaded = tf.saved_model.load(str(exported))
    answer = loaded.signatures["serving_default"](text=tf.constant(lines))
    expected = [text.decode() for text in answer["translation"].numpy()]

    async def ask(client, server, line):
        content = {"signature_name": "attention", "inputs": {"text": [line]}}
        return (await client.post(server.predict, json=content)).json()["outputs"]

    with running_server(tmp_path / "tiny") as server:
        client = httpx.AsyncClient(timeout=60)
        found = gather([ask(client, server, line) for line in lines], most=16)
    assert [outputs["translation"][0] for outputs in found] == expected
    for outputs in found:
        assert len(outputs["attention"][0][0]) == len(outputs["target_tokens"][0]) - 1
        assert len(outputs["attention"][0][0][0]) == len(outputs["source_tokens"][0])
        assert outputs["target_tokens"][0][-1] != ""


@pytest.mark.slow
def test_clients_of_libretranslate_get_what_the_export_gives_in_python(
    tiny_run, tiny_corpus, tmp_path
):
    exported = export(tiny_run.translator, tmp_path / "tiny", compiled=False)
    lines = [source.decode() for source, _ in tiny_corpus.test.take(6).as_numpy_iterator()]
    translator = kt.Translator.load(exported)
    page = "".join(f'<p class="a">{line} <b>{line}</b></p>\n' for line in lines)
    with (
        running_server(tmp_path / "tiny", start_seconds=300) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        fields = {"source": "pt", "target": "en", "alternatives": 2}
        answer = client.post("/translate", json=fields | {"q": lines}).json()
        html = client.post("/translate", json=fields | {"q": page, "format": "html"}).json()
        text = "\n".join(lines).encode()
        file = client.post("/translate_file", data=fields, files={"file": ("a.txt", text)}).json()
        translated_file = client.get(file["translatedFileUrl"]).text
    expected = [result.text for result in translator.translate(lines)]
    assert answer["translatedText"] == expected
    for found, beam in zip(expected, answer["alternatives"], strict=True):
        assert 1 <= len(beam) <= 2
        assert found not in beam
    assert html["translatedText"] == kt.translate_document(translator, page, "html")
    assert translated_file == kt.translate_document(translator, text.decode(), "text")
