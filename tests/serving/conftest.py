"""A tiny export, and one server of it for the tests that do not stop it."""

import httpx
import pytest
import tensorflow as tf
from tiny_server import export_tiny, running_server


@pytest.fixture(scope="session")
def tiny_export(tmp_path_factory):
    """A folder with version 1; tests must not write into it."""
    folder = tmp_path_factory.mktemp("saved_models") / "tiny"
    folder.mkdir()
    export_tiny(folder, twin=True)
    return folder


@pytest.fixture(scope="session")
def direct(tiny_export):
    """Calls a signature of the SavedModel itself: ``direct(name, texts, **scalars)``."""
    loaded = tf.saved_model.load(str(tiny_export / "1"))

    def call(name, texts, **scalars):
        inputs = {"text": tf.constant(texts, tf.string, shape=[len(texts)])} | scalars
        return {key: value.numpy() for key, value in loaded.signatures[name](**inputs).items()}

    return call


@pytest.fixture(scope="session")
def server(tiny_export):
    """One server of the tiny export with small limits, for tests that do not stop it."""
    with running_server(
        tiny_export,
        max_texts=50,
        max_queue=64,
        max_characters=200,
        max_body_bytes=20_000,
        deadline=5.0,
    ) as running:
        yield running


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client
