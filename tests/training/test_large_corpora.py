"""Training on corpora that stay on the disk: as exact as on those in memory."""

import dataclasses
import shutil

import pytest
from dying import DiesAt, Killed
from kill_and_resume import differences

from keras_transformer.data.batches.token_shards import TokenShards
from keras_transformer.data.corpora.corpus import dataset_of
from keras_transformer.data.corpora.sample import read_sample
from keras_transformer.training.run import train

pytestmark = pytest.mark.usefixtures("unwatched")

PAIRS = 2500
WINDOW = 1024


@pytest.fixture(scope="module", params=[0.0, 0.1], ids=["plain", "subword dropout"])
def config(request, tiny_config):
    training = {
        "window": WINDOW,
        "max_steps": 70,  # of some 50 an epoch
        "checkpoint_minutes": 1e-9,
        "subword_dropout": request.param,
    }
    model = {"num_layers": 1, "d_model": 16, "num_heads": 2, "dff": 16}
    return tiny_config.replace({"training": training, "model": model})


@pytest.fixture(scope="module")
def corpus(tiny_corpus):
    return dataclasses.replace(tiny_corpus, train=dataset_of(read_sample()["train"][:PAIRS]))


@pytest.fixture(scope="module")
def whole(unwatched, corpus, config, tmp_path_factory):
    """A run that nothing interrupted."""
    return train(corpus, tmp_path_factory.mktemp("whole") / "run", config)


def test_a_run_reads_windows_of_the_disk(whole):
    shards = TokenShards(whole.folder / "tokens" / "train")
    assert len(shards) == whole.metrics["train_pairs"] > 2 * WINDOW
    assert not (whole.folder / "tokens" / "train.npz").exists()
    assert (whole.folder / "tokens" / "validation.npz").exists()
    assert whole.translator.translate(["o gato dorme ."], shortlist=10)


@pytest.mark.parametrize("step", [5, 60])
def test_a_killed_run_ends_with_the_same_weights(step, whole, corpus, config, tmp_path):
    with pytest.raises(Killed):
        train(corpus, tmp_path / "run", config, callbacks=[DiesAt(step)])
    train(corpus, tmp_path / "run", config, resume=True)
    weights = (folder / "model.weights.h5" for folder in (whole.folder, tmp_path / "run"))
    assert not differences(*weights)


def test_tokens_are_made_once(whole, corpus, config, tmp_path, monkeypatch):
    shutil.copytree(whole.folder, tmp_path / "run")
    monkeypatch.delattr("keras_transformer.data.batches.token_shards.tokenize_chunk")
    longer = config.replace({"training": {"max_steps": 72}})
    assert train(corpus, tmp_path / "run", longer, resume=True).metrics["steps"] == 72


def test_a_corpus_within_the_window_is_in_memory(corpus, config, tmp_path):
    larger = config.replace({"training": {"window": PAIRS, "max_steps": 1}})
    train(corpus, tmp_path / "run", larger)
    assert (tmp_path / "run" / "tokens" / "train.npz").exists()
    assert not (tmp_path / "run" / "tokens" / "train").exists()


def test_a_run_in_memory_stays_there(corpus, config, tmp_path):
    """As one that an earlier version began: other batches would end with other weights."""
    larger = config.replace({"training": {"window": PAIRS, "max_steps": 1}})
    run = train(corpus, tmp_path / "run", larger)
    path = run.folder / "config.json"
    path.write_text(path.read_text().replace(f'"window": {PAIRS}', f'"window": {WINDOW}'))
    train(corpus, run.folder, resume=True)
    assert not (run.folder / "tokens" / "train").exists()
