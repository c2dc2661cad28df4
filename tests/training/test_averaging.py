"""Averages of weights: laws of a mean, a literal example, and what is refused."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from dying import DiesAt, Killed
from kill_and_resume import differences

import keras_transformer as kt
from keras_transformer.cli.command import main
from keras_transformer.config import Config, config_from_json
from keras_transformer.errors import InputError
from keras_transformer.models.runs import load_run, save_weights
from keras_transformer.training.averaging import average_weights
from keras_transformer.training.checkpoints import Checkpoints, read_checkpoint
from keras_transformer.training.run import train
from keras_transformer.translating.translator import Translator

pytestmark = pytest.mark.usefixtures("unwatched")

WEIGHTS = "model.weights.h5"
STEPS = 9


@pytest.fixture(scope="module")
def config(tiny_config) -> Config:
    training = {"max_steps": STEPS, "checkpoint_minutes": 1e-9, "keep_checkpoints": 4}
    return tiny_config.replace({"model": {"num_layers": 1}, "training": training})


@pytest.fixture(scope="module")
def corpus(tiny_corpus):
    """A few batches an epoch."""
    return dataclasses.replace(tiny_corpus, train=tiny_corpus.train.take(200))


@pytest.fixture(scope="module")
def run(unwatched, corpus, config, tmp_path_factory):
    """The folder of a short run that keeps four checkpoints."""
    folder = tmp_path_factory.mktemp("run") / "run"
    train(corpus, folder, config)
    return folder


def checkpoints(run):
    return Checkpoints(run / "checkpoints").paths()


def weights(run):
    return [weight.numpy() for weight in load_run(run).model.weights]


def trained(path, count):
    """The first arrays of a checkpoint, which are the trainable weights in their order."""
    arrays = read_checkpoint(path).arrays
    return [arrays[str(place)] for place in range(count)]


def copy_with(run, folder, values=None, **model):
    """A copy of a run with other weights or another model in its configuration."""
    shutil.copytree(run, folder)
    if values is not None:
        saved = load_run(run).model
        for weight, value in zip(saved.weights, values, strict=True):
            weight.assign(value)
        save_weights(saved, folder / WEIGHTS)
    description = json.loads((run / "config.json").read_text())
    description["config"]["model"] |= model
    (folder / "config.json").write_text(json.dumps(description))
    return folder


def test_the_newest_checkpoints_are_kept(run):
    steps = [int(path.stem.removeprefix("checkpoint-")) for path in checkpoints(run)]
    assert steps == [STEPS, STEPS - 1, STEPS - 2, STEPS - 3]


def test_the_average_is_the_mean_of_the_weights(run, tmp_path):
    found = weights(average_weights([run], tmp_path / "mean", last=3))
    of_each = [trained(path, len(found)) for path in checkpoints(run)[:3]]
    for mean, *values in zip(found, *of_each, strict=True):
        assert not np.array_equal(values[0], values[1])
        np.testing.assert_array_equal(mean, np.mean(np.float64(values), axis=0).astype("float32"))


def test_the_average_of_one_checkpoint_is_that_checkpoint(run, tmp_path):
    newest = checkpoints(run)[0]
    found = weights(average_weights([newest], tmp_path / "named"))
    for value, expected in zip(found, trained(newest, len(found)), strict=True):
        np.testing.assert_array_equal(value, expected)
    average_weights([run], tmp_path / "last", last=1)
    assert not differences(tmp_path / "named" / WEIGHTS, tmp_path / "last" / WEIGHTS)


def test_order_does_not_matter(run, tmp_path):
    paths = checkpoints(run)
    average_weights(paths, tmp_path / "one")
    average_weights([paths[2], paths[0], paths[3], paths[1]], tmp_path / "other")
    assert not differences(tmp_path / "one" / WEIGHTS, tmp_path / "other" / WEIGHTS)


def test_the_average_of_equal_runs_equals_them(run, tmp_path):
    copies = [copy_with(run, tmp_path / name) for name in "ab"]
    average_weights([run, *copies], tmp_path / "mean")
    assert not differences(run / WEIGHTS, tmp_path / "mean" / WEIGHTS)


def test_a_literal_average_of_two_runs(run, tmp_path):
    shapes = [value.shape for value in weights(run)]
    ones, fours = (
        copy_with(run, tmp_path / str(fill), [np.full(shape, fill, "float32") for shape in shapes])
        for fill in (1.0, 4.0)
    )
    for value in weights(average_weights([ones, fours, fours], tmp_path / "mean")):
        np.testing.assert_array_equal(value, 3.0)


def test_a_moving_average_of_the_run_is_what_counts(corpus, config, tmp_path):
    """As validation sees it, and so `model.weights.h5` has it: epochs end with a checkpoint."""
    recipe = {"max_steps": None, "epochs": 1, "average_decay": 0.9}
    train(corpus, tmp_path / "run", config.replace({"training": recipe}))
    average_weights([tmp_path / "run"], tmp_path / "mean", last=1)
    assert not differences(tmp_path / "run" / WEIGHTS, tmp_path / "mean" / WEIGHTS)


def test_a_stochastic_average_is_the_mean_from_its_step_on(corpus, config, run, tmp_path):
    averaged = config.replace({"training": {"average_from": STEPS - 2}})
    with pytest.raises(Killed):
        train(corpus, tmp_path / "run", averaged, callbacks=[DiesAt(STEPS - 1)])
    train(corpus, tmp_path / "run", averaged, resume=True)
    # Averages change no step: the run without them has the same checkpoints.
    average_weights([run], tmp_path / "mean", last=3)
    average_weights([tmp_path / "run"], tmp_path / "stochastic", last=1)
    for value, expected in zip(
        weights(tmp_path / "stochastic"), weights(tmp_path / "mean"), strict=True
    ):
        np.testing.assert_allclose(value, expected, atol=1e-6)


def test_an_average_translates_and_others_start_from_it(corpus, config, run, tmp_path):
    mean = tmp_path / "mean"
    options = ("average", "--last", "2", "--output", str(mean))
    assert CliRunner().invoke(main, [*options, str(run)]).output.splitlines()[-1] == str(mean)
    assert Translator.load(mean).shortlist is not None
    assert json.loads((mean / "config.json").read_text())["average_of"] == [
        str(path) for path in checkpoints(run)[:2]
    ]
    short = config.replace({"training": {"max_steps": 1}})
    assert train(corpus, tmp_path / "next", short, init_from=mean).metrics["steps"] == 1
    with pytest.raises(InputError, match="holds an average of weights, which does not go on"):
        train(corpus, mean, resume=True)


def refused(message, sources, output, **options):
    with pytest.raises(InputError, match=message) as error:
        average_weights(sources, output, **options)
    assert "\n" not in str(error.value)
    assert not (output / "config.json").exists()


def test_what_cannot_be_averaged_is_refused(run, tmp_path):
    mean = tmp_path / "mean"
    refused("are no average", [run], mean)
    refused("has 4 checkpoints, not 5", [run], mean, last=5)
    refused("neither a run folder nor a checkpoint", [run, tmp_path / "none"], mean)
    refused("neither a run folder nor a checkpoint", [tmp_path], mean, last=2)
    wider = copy_with(run, tmp_path / "wider", dff=128)
    refused("model.dff = 128, and .* 64: average", [run, wider], mean)
    refused("does not fit", checkpoints(wider)[:1], mean)
    with pytest.raises(InputError, match="holds a run already"):
        average_weights([run], run, last=2)


def test_runs_of_other_vocabularies_are_refused(run, tmp_path):
    other = copy_with(run, tmp_path / "other")
    tokenizers = kt.Tokenizers.load(other / "tokenizers")
    kt.Tokenizers(tokenizers.source, tokenizers.target, "pt", "es").save(other / "tokenizers")
    refused("has other vocabularies than", [run, other], tmp_path / "mean")


def test_a_damaged_checkpoint_is_named(run, tmp_path):
    other = copy_with(run, tmp_path / "other")
    newest = checkpoints(other)[0]
    newest.write_bytes(newest.read_bytes()[:-100])
    refused(f"{newest.name}: cannot be read", [other], tmp_path / "mean", last=2)


def test_two_averages_at_once_are_refused():
    with pytest.raises(InputError, match="two averages of the weights"):
        Config().replace({"training": {"average_decay": 0.9, "average_from": 10}})


def test_runs_of_before_keep_two_checkpoints(run, tmp_path):
    description = json.loads((run / "config.json").read_text())
    for name in ("keep_checkpoints", "average_from"):
        del description["config"]["training"][name]
    (tmp_path / "config.json").write_text(json.dumps(description))
    assert config_from_json(tmp_path / "config.json").training.keep_checkpoints == 2
