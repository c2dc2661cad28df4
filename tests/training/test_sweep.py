"""Sweeps: laws of successive halving, going on after interruptions, and what is refused."""

import dataclasses
import json
import sys

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from dying import DiesAt, Killed

import keras_transformer as kt
from keras_transformer.cli.command import main
from keras_transformer.config import Config
from keras_transformer.errors import InputError
from keras_transformer.models.runs import load_run
from keras_transformer.training.run import train
from keras_transformer.training.sweep import Trial, _Watch, sweep

optuna = pytest.importorskip("optuna")
pytestmark = pytest.mark.usefixtures("unwatched")

STEPS = 18
BAD = 1e-7
"""A learning rate with which nothing is learned."""


@pytest.fixture(scope="module")
def config(tiny_config) -> Config:
    training = {"max_steps": STEPS, "warmup_steps": 2, "learning_rate_scale": 1.0}
    return tiny_config.replace({"model": {"num_layers": 1}, "training": training})


@pytest.fixture(scope="module")
def corpus(tiny_corpus):
    """A few batches an epoch."""
    return dataclasses.replace(tiny_corpus, train=tiny_corpus.train.take(100))


def weights(run):
    return [weight.numpy() for weight in load_run(run).model.weights]


def by_values(found):
    """What each trial came to, by its values."""
    return {
        tuple(trial.values.values()): (trial.state, trial.steps, trial.score)
        for trial in found.trials
    }


SPACE = {"training": {"learning_rate": [0.003, BAD, 2 * BAD]}}


@pytest.fixture(scope="module")
def found(unwatched, corpus, config, tmp_path_factory):
    """A whole sweep, the configuration's own learning rate among its values."""
    own = config.replace({"training": {"learning_rate": 0.003}})
    return sweep(corpus, tmp_path_factory.mktemp("sweep") / "sweep", SPACE, own)


# Laws


def test_all_combinations_are_tried_and_the_worse_are_cut_short(found):
    assert {trial.values["training.learning_rate"] for trial in found.trials} == {
        0.003,
        BAD,
        2 * BAD,
    }
    assert found.waiting == 0
    first, *others = found.trials
    assert (first.number, first.state, first.steps) == (0, "finished", STEPS)
    assert {(trial.state, trial.steps) for trial in others} == {("stopped", STEPS // 9)}
    assert all(trial.score > first.score for trial in others)
    assert found.best is first


def test_a_trial_is_what_train_makes(found, corpus, config, tmp_path):
    training = {"learning_rate": 0.003}
    run = train(corpus, tmp_path / "run", config.replace({"training": training}))
    for ours, plain in zip(weights(found.run(found.best)), weights(run.folder), strict=True):
        np.testing.assert_array_equal(ours, plain)
    assert run.metrics["validation_loss"] == found.best.score


def test_the_best_configuration_is_one_that_train_takes(found, corpus, config):
    changes = yaml.safe_load((found.folder / "best.yaml").read_text())
    assert kt.Config().replace(changes) == config.replace({"training": {"learning_rate": 0.003}})


def test_a_trial_that_was_stopped_goes_on_as_a_run(found, corpus):
    stopped = found.trials[-1]
    run = train(corpus, found.run(stopped), resume=True)
    assert run.metrics["steps"] == STEPS


def test_all_trials_have_the_same_tokenizers(found):
    one, *others = (kt.Tokenizers.load(found.run(trial) / "tokenizers") for trial in found.trials)
    assert all(one.equals(other) for other in others)


@pytest.mark.parametrize("stop", ["killed", "out of time"])
def test_an_interrupted_sweep_ends_as_one_that_was_not(
    stop, found, corpus, config, tmp_path, monkeypatch
):
    training = {"learning_rate": 0.003, "checkpoint_minutes": 1e-9}
    own = config.replace({"training": training})
    folder = tmp_path / "sweep"
    with monkeypatch.context() as patch:
        if stop == "killed":
            dying = DiesAt(7)
            patch.setattr(
                _Watch,
                "on_train_batch_end",
                lambda self, batch, logs: dying.on_train_batch_end(batch, logs),
            )
            with pytest.raises(Killed):
                sweep(corpus, folder, SPACE, own)
        else:
            times = iter([*[0.0] * 12, *[100.0] * 1000])  # of the clock, which goes on by a jump
            patch.setattr("keras_transformer.training.sweep._now", lambda: next(times))
            (trial,) = sweep(corpus, folder, SPACE, own, minutes=1).trials
            assert (trial.state, trial.steps) == ("unfinished", STEPS // 3)
    again = sweep(corpus, folder, SPACE, own)
    assert by_values(again) == by_values(found)
    ours, plain = (weights(each.run(each.best)) for each in (again, found))
    for one, other in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_finished_sweep_does_nothing_more(found, corpus, config, monkeypatch):
    monkeypatch.delattr("keras_transformer.training.sweep.train")
    own = config.replace({"training": {"learning_rate": 0.003}})
    assert sweep(corpus, found.folder, SPACE, own) == found


# Examples


def test_ranges_are_drawn_anew_in_each_trial_and_process(corpus, config, tmp_path):
    space = {
        "training": {"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}},
        "model": {"num_heads": [2, 4], "dff": {"low": 16, "high": 64}},
    }
    short = config.replace({"training": {"max_steps": 2}})
    first = sweep(corpus, tmp_path, space, short, trials=2, rungs=0)
    assert {trial.state for trial in first.trials} == {"finished"}
    more = sweep(corpus, tmp_path, space, short, trials=3, rungs=0)
    assert len(more.trials) == 3
    rates = {trial.values["training.learning_rate"] for trial in more.trials}
    assert len(rates) == 3
    for trial in more.trials:
        made = kt.config.config_from_json(more.run(trial) / "config.json")
        assert 1e-3 <= made.training.learning_rate <= 1e-2
        assert made.model.dff == trial.values["model.dff"]
        assert isinstance(made.model.dff, int)


def test_bleu_compares_where_it_chooses_weights(corpus, config, tmp_path):
    training = {"select_by": "bleu", "bleu_sentences": 2, "max_steps": 4, "learning_rate": 1e-9}
    space = {"tokenizer": {"vocab_size": [200, 300]}}
    found = sweep(corpus, tmp_path, space, config.replace({"training": training}), rungs=1)
    assert found.table().splitlines()[0].split()[4:6] == ["validation", "BLEU"]
    sizes = {
        kt.Tokenizers.load(found.run(trial) / "tokenizers").source.get_vocab_size().numpy()
        for trial in found.trials
    }
    assert len(sizes) == 2


def test_what_fails_is_said_and_the_others_go_on(corpus, config, tmp_path):
    space = {
        "training": {"r_drop": [1.0, 0.0], "learning_rate": [0.003, 1e30]},
        "model": {"dropout_rate": [0.0, 0.1]},
    }
    short = config.replace({"training": {"max_steps": 3}})
    found = sweep(corpus, tmp_path, space, short, rungs=0)
    trials = {tuple(trial.values.values()): trial for trial in found.trials}
    assert len(trials) == 8
    assert {trials[one].state for one in ((1.0, 0.003, 0.1), (0.0, 0.003, 0.0))} == {"finished"}
    assert trials[1.0, 0.003, 0.0].state == trials[0.0, 1e30, 0.1].state == "failed"
    assert "r_drop" in trials[1.0, 0.003, 0.0].reason
    assert "no longer a number" in trials[0.0, 1e30, 0.1].reason
    assert [trial.state for trial in found.trials] == ["finished"] * 3 + ["failed"] * 5


def test_the_command_writes_one_table(corpus, tmp_path, pair_files):
    values = tmp_path / "values.yaml"
    values.write_text("training: {learning_rate: [0.003, 1.0e-7]}")
    changes = {"model": {"num_layers": 1, "d_model": 16, "num_heads": 2, "dff": 16}}
    changes |= {"training": {"batch_tokens": 512, "bleu_sentences": 0}}
    (tmp_path / "config.json").write_text(json.dumps(changes))
    arguments = ["sweep", "--dataset", pair_files, "--validation-pairs", pair_files[6:]]
    arguments += [
        "--values",
        values,
        "--config",
        tmp_path / "config.json",
        "--max-steps",
        9,
        "--rungs",
        0,
    ]
    arguments += ["--output", tmp_path / "sweep", "--preset", "quick"]
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    head, *rows = done.stdout.splitlines()
    assert head.split() == [
        *("trial", "state", "steps", "seconds", "validation", "loss", "training.learning_rate")
    ]
    assert [row.split()[1:3] for row in rows] == [["finished", "9"]] * 2
    assert [row.split()[5] for row in rows] == ["0.003", "1e-07"]
    written = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert [Trial(**trial).state for trial in written["trials"]] == ["finished"] * 2


@pytest.fixture
def pair_files(corpus, tmp_path):
    """The corpus as a table, as --dataset takes it."""
    table = tmp_path / "pairs.pt-en.tsv"
    pairs = corpus.train.as_numpy_iterator()
    lines = (b"\t".join(pair).decode() + "\n" for pair in pairs)
    table.write_text("".join(lines))
    return f"pairs:{table}"


# What is refused


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "in sections"),
        ([], "in sections"),
        ({"training": 3}, "training: holds no fields"),
        ({"training": {"learning_rate": 3}}, "neither a list of values nor a range"),
        ({"training": {"learning_rate": []}}, "neither a list of values nor a range"),
        ({"training": {"learning_rate": "0.1"}}, "neither a list of values nor a range"),
        ({"training": {"learning_rate": [[0.1]]}}, "no single value"),
        ({"training": {"learning_rate": [-1]}}, "learning_rate"),
        ({"training": {"learning_rte": [1]}}, "learning_rte"),
        ({"trainin": {"learning_rate": [1]}}, "trainin"),
        ({"training": {"learning_rate": {"low": 1}}}, "is no range"),
        ({"training": {"learning_rate": {"low": True, "high": 3}}}, "is no range"),
        ({"training": {"learning_rate": {"low": 1, "high": 3, "step": 1}}}, "is no range"),
        ({"training": {"learning_rate": {"low": 3, "high": 1}}}, "must be below"),
        ({"training": {"learning_rate": {"low": 0, "high": 1, "log": True}}}, "must be above 0"),
        ({"training": {"max_steps": [1, 2]}}, "the same in all trials"),
        ({"tokenizer": {"vocab_size": [200, 300]}}, "cannot be compared"),
        ({"training": {"learning_rate": {"low": 1e-3, "high": 1}}}, "no end"),
    ],
)
def test_wrong_values_are_refused_before_there_is_a_folder(
    space, message, corpus, config, tmp_path
):
    with pytest.raises(InputError, match=message):
        sweep(corpus, tmp_path / "sweep", space, config)
    assert not (tmp_path / "sweep").exists()


def test_no_steps_are_refused(corpus, config, tmp_path):
    endless = config.replace({"training": {"max_steps": None, "epochs": 1}})
    with pytest.raises(InputError, match="--max-steps"):
        sweep(corpus, tmp_path / "sweep", SPACE, endless)
    with pytest.raises(InputError, match="fewer rungs"):
        sweep(corpus, tmp_path / "sweep", SPACE, config, rungs=5)


def test_another_sweep_in_the_folder_is_refused(found, corpus, config):
    own = config.replace({"training": {"learning_rate": 0.003}})
    before = (found.folder / "sweep.json").read_bytes()
    with pytest.raises(InputError, match="another space"):
        sweep(corpus, found.folder, {"training": {"seed": [1]}}, own)
    with pytest.raises(InputError, match="another rungs"):
        sweep(corpus, found.folder, SPACE, own, rungs=1)
    with pytest.raises(InputError, match="another config"):
        sweep(corpus, found.folder, SPACE, config)
    fewer = dataclasses.replace(corpus, train=corpus.train.take(50))
    with pytest.raises(InputError, match="another corpus"):
        sweep(fewer, found.folder, SPACE, own)
    assert (found.folder / "sweep.json").read_bytes() == before


def test_a_missing_optuna_is_named(corpus, config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r'pip install "keras_transformer\[sweep\]"'):
        sweep(corpus, tmp_path / "sweep", SPACE, config)
