"""A trained model behind the server answers as its export does."""

import httpx
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401
from tiny_server import gather, running_server

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
