"""Interrupted runs: they end with the weights of uninterrupted ones, or refuse with a reason."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from dying import DiesAt, Killed
from kill_and_resume import differences

from keras_transformer.config import Config
from keras_transformer.data.corpora.corpus import Corpus
from keras_transformer.errors import InputError
from keras_transformer.training.lock import FolderLock
from keras_transformer.training.run import train
from keras_transformer.translating.translator import Translator

pytestmark = pytest.mark.usefixtures("unwatched")

STEPS = 30  # of 17 an epoch


@pytest.fixture(scope="module")
def config(tiny_config) -> Config:
    return tiny_config.replace(
        {
            "model": {"num_layers": 1, "dropout_rate": 0.1},
            "training": {
                "max_steps": STEPS,
                "label_smoothing": 0.1,
                "average_decay": 0.9,
                "bleu_sentences": 0,
                "checkpoint_minutes": 1e-9,  # after every step
            },
        }
    )


@pytest.fixture(scope="module")
def whole(unwatched, tiny_corpus, config, tmp_path_factory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(tiny_corpus, folder, config)
    return folder


def _same_weights(one: Path, other: Path) -> bool:
    return not differences(one / "model.weights.h5", other / "model.weights.h5")


def _log(folder: Path) -> list[dict]:
    with (folder / "training_log.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k != "tokens_per_second"} for row in rows]


@pytest.mark.parametrize(
    ("deaths", "minutes"), [([5, 17], 1e-9), pytest.param([25], 60.0, marks=pytest.mark.slow)]
)
def test_a_run_that_dies_and_is_resumed_ends_with_the_same_weights(
    deaths, minutes, tiny_corpus, config, whole, tmp_path
):
    config = config.replace({"training": {"checkpoint_minutes": minutes}})
    for step in deaths:
        with pytest.raises(Killed):
            train(tiny_corpus, tmp_path, config, resume=True, callbacks=[DiesAt(step)])
    train(tiny_corpus, tmp_path, config, resume=True)
    assert _same_weights(whole, tmp_path)
    assert _log(whole) == _log(tmp_path)


@pytest.mark.parametrize(
    "kind", ["wordpiece", pytest.param("sentencepiece", marks=pytest.mark.slow)]
)
def test_epochs_that_are_divided_anew_are_divided_alike_when_resumed(
    kind, tiny_corpus, config, whole, tmp_path
):
    changes = {"tokenizer": {"kind": kind}, "training": {"subword_dropout": 0.2}}
    config, folders = config.replace(changes), (tmp_path / "whole", tmp_path / "killed")
    train(tiny_corpus, folders[0], config)
    with pytest.raises(Killed):
        train(tiny_corpus, folders[1], config, callbacks=[DiesAt(22)])
    train(tiny_corpus, folders[1], config, resume=True)
    assert _same_weights(*folders)
    assert _log(folders[0]) == _log(folders[1])
    assert not _same_weights(whole, folders[0])
    tokens = [folder / "tokens" / "validation.npz" for folder in folders]
    assert tokens[0].read_bytes() == tokens[1].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["muon", "adafactor"])
def test_the_state_of_every_optimizer_is_resumed(optimizer, tiny_corpus, config, tmp_path):
    config = config.replace({"training": {"optimizer": optimizer}})
    train(tiny_corpus, tmp_path / "whole", config)
    with pytest.raises(Killed):
        train(tiny_corpus, tmp_path / "run", config, callbacks=[DiesAt(12)])
    train(tiny_corpus, tmp_path / "run", config, resume=True)
    assert _same_weights(tmp_path / "whole", tmp_path / "run")


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(
    tiny_corpus, config, whole, tmp_path, capsys
):
    with pytest.raises(Killed):
        train(tiny_corpus, tmp_path, config, callbacks=[DiesAt(9)])
    older, newest = sorted((tmp_path / "checkpoints").glob("*.npz"))
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    train(tiny_corpus, tmp_path, config, resume=True)
    said = capsys.readouterr().err
    assert newest.name in said
    assert f"using {older.name} instead" in said
    assert _same_weights(whole, tmp_path)


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_loses_nothing(
    tiny_corpus, config, whole, tmp_path, monkeypatch
):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    class FillsTheDisk(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if logs["step"] == 9:
                monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(InputError, match=r"No space left on device.*free some space"):
        train(tiny_corpus, tmp_path, config, callbacks=[FillsTheDisk()])
    monkeypatch.undo()
    train(tiny_corpus, tmp_path, config, resume=True)
    assert _same_weights(whole, tmp_path)


@pytest.mark.slow
def test_ctrl_c_finishes_the_step_saves_and_says_how_to_go_on(
    tiny_corpus, config, whole, tmp_path, capsys
):
    class PressesCtrlC(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 6:
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    config = config.replace({"training": {"checkpoint_minutes": 60.0}})
    with pytest.raises(KeyboardInterrupt):
        train(tiny_corpus, tmp_path, config, callbacks=[PressesCtrlC()])
    assert signal.getsignal(signal.SIGINT) is before
    step = re.search(r"stopped after step (\d+); everything is saved.*--resume", _err(capsys))
    assert (tmp_path / "checkpoints" / f"checkpoint-{int(step[1]):08}.npz").exists()
    train(tiny_corpus, tmp_path, config, resume=True)
    assert _same_weights(whole, tmp_path)


def _err(capsys) -> str:
    return capsys.readouterr().err.replace("\n", " ")


def test_a_second_process_in_the_folder_is_refused(tiny_corpus, config, tmp_path):
    with FolderLock(tmp_path), pytest.raises(InputError, match="another process"):
        train(tiny_corpus, tmp_path, config)
    assert not (tmp_path / "config.json").exists()


def test_another_recipe_is_refused_by_name(tiny_corpus, config, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    other = config.replace({"training": {"batch_tokens": 512}})
    with pytest.raises(InputError, match=r"training\.batch_tokens = 1024, not 512"):
        train(tiny_corpus, tmp_path / "run", other, resume=True)


def test_another_corpus_is_refused(tiny_corpus, config, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    corpus = Corpus(
        name="other", train=tiny_corpus.train.take(900), validation=tiny_corpus.validation
    )
    with pytest.raises(InputError, match="corpus is not the one"):
        train(corpus, tmp_path / "run", config, resume=True)


@pytest.mark.slow
def test_a_finished_run_can_be_given_more_steps(tiny_corpus, config, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    more = config.replace({"training": {"max_steps": STEPS + 10}})
    run = train(tiny_corpus, tmp_path / "run", more, resume=True)
    at_once = train(tiny_corpus, tmp_path / "at_once", more)
    assert run.metrics["steps"] == at_once.metrics["steps"] == STEPS + 10
    assert run.metrics["best_epoch"] == at_once.metrics["best_epoch"] == 3
    assert _same_weights(run.folder, at_once.folder)


def test_resuming_a_finished_run_changes_nothing(tiny_corpus, config, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    train(tiny_corpus, tmp_path / "run", config, resume=True)
    assert _same_weights(whole, tmp_path / "run")
    assert _log(whole) == _log(tmp_path / "run")


def test_resuming_adds_a_shortlist_to_an_older_run(tiny_corpus, config, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "shortlist.npz").unlink()
    with pytest.raises(InputError, match=r"has no shortlist, .*train --resume"):
        Translator.load(tmp_path / "run").translate(["bom dia ."], shortlist=10)
    run = train(tiny_corpus, tmp_path / "run", config, resume=True)
    assert run.translator.translate(["bom dia ."], shortlist=10)
    arrays = [dict(np.load(folder / "shortlist.npz")) for folder in (whole, tmp_path / "run")]
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])


def test_tokens_are_read_from_the_cache(tiny_corpus, config, whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "run")
    monkeypatch.setattr(
        "keras_transformer.data.batches.token_store.tokenize_pairs",
        lambda *_: pytest.fail("tokenised"),
    )
    train(tiny_corpus, tmp_path / "run", config, resume=True)
    (tmp_path / "run" / "tokens" / "train.npz").write_bytes(b"damaged")
    with pytest.raises(pytest.fail.Exception, match="tokenised"):
        train(tiny_corpus, tmp_path / "run", config, resume=True)


@pytest.mark.slow
def test_killed_twenty_times():
    script = Path(__file__).with_name("kill_and_resume.py")
    subprocess.run([sys.executable, script, "--kills", "20"], check=True)
