"""Small models that answer at once: they copy the words that they know."""

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from strategies import known_lines
from tiny_server import export_tiny, running_server

settings.register_profile(
    "fuzz",
    deadline=None,
    derandomize=True,  # a failure is the same for everyone
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("fuzz")

SHAPE = {"num_layers": 1, "d_model": 32, "num_heads": 2, "dff": 32, "max_length": 32}
TRAINING = {
    "epochs": None,
    "batch_tokens": 512,
    "warmup_steps": 50,
    "learning_rate": 0.01,
    "max_tokens": 32,
    "bleu_sentences": 0,
}


@pytest.fixture(scope="session")
def copying_run(tmp_path_factory):
    """A run folder whose model copies known words; tests must not write into it."""
    from keras_transformer.config import Config
    from keras_transformer.data.corpora.corpus import Corpus, dataset_of
    from keras_transformer.training.run import train

    lines = known_lines(1040)
    train_pairs, validation, test = (
        dataset_of([(line, line) for line in part])
        for part in (lines[:1000], lines[1000:1020], lines[1020:])
    )
    corpus = Corpus(
        name="copies",
        source_language="pt",
        target_language="en",
        train=train_pairs,
        validation=validation,
        test=test,
    )
    config = Config().replace(
        {
            "model": {**SHAPE, "dropout_rate": 0.0, "norm_first": True},
            "tokenizer": {"vocab_size": 60},
            "training": {**TRAINING, "max_steps": 400},
        }
    )
    folder = tmp_path_factory.mktemp("copies") / "run"
    train(corpus, folder, config)
    return folder


@pytest.fixture(scope="session")
def gpt_run(tmp_path_factory):
    """A run folder of a GPT that knows lines of the known words."""
    from keras_transformer.config import Config
    from keras_transformer.data.corpora.load import load_corpus
    from keras_transformer.training.run import train

    folder = tmp_path_factory.mktemp("gpt")
    lines = known_lines(120)
    (folder / "train.txt").write_text("\n".join(lines[:100]))
    (folder / "valid.txt").write_text("\n".join(lines[100:]))
    config = Config().replace(
        {
            "model": {"family": "gpt", **SHAPE},
            "tokenizer": {"vocab_size": 60, "shared": True},
            "training": {**TRAINING, "max_steps": 20},
        }
    )
    corpus = load_corpus(f"text:{folder / 'train.txt'},{folder / 'valid.txt'}")
    train(corpus, folder / "run", config)
    return folder / "run"


@pytest.fixture(scope="session")
def translator(copying_run):
    from keras_transformer.translating.translator import Translator

    return Translator.load(copying_run, jit_compile=False)


@pytest.fixture(scope="session")
def generator(gpt_run):
    from keras_transformer.translating.generator import Generator

    return Generator.load(gpt_run, jit_compile=False)


@pytest.fixture(scope="session")
def export(tmp_path_factory, translator):
    """The copying model as an exported folder of versions; tests must not write into it."""
    from keras_transformer.exporting import export as export_saved_model

    folder = tmp_path_factory.mktemp("saved_models") / "copies"
    export_saved_model(translator, folder, compiled=False)
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server with small limits of a model that writes the words of a text backwards."""
    folder = tmp_path_factory.mktemp("served") / "tiny"
    folder.mkdir()
    export_tiny(folder)
    limits = {"max_texts": 50, "max_queue": 64, "max_characters": 200, "max_body_bytes": 20_000}
    with running_server(folder, deadline=5.0, **limits) as running:
        yield running
        assert running.process.poll() is None
        assert not [event for event in running.events() if event["event"] == "request failed"]


@pytest.fixture(scope="session")
def folders(copying_run, gpt_run):
    """Run folders by what is in them: a model that translates, and a GPT."""
    return SimpleNamespace(run=copying_run, gpt=gpt_run)
