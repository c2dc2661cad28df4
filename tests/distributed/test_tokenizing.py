"""A corpus that Beam tokenises is that of `train`, to the byte."""

import functools

import pytest
from click.testing import CliRunner

from keras_transformer.cli.command import main
from keras_transformer.data.batches import token_shards
from keras_transformer.data.batches.token_shards import Recipe, TokenShards, write_token_shards
from keras_transformer.data.corpora.load import load_corpus
from keras_transformer.data.corpora.sample import read_sample
from keras_transformer.data.tokenizers.masked import PairOptions
from keras_transformer.distributed import tokenizing
from keras_transformer.distributed.tokenizing import tokenize_corpus

pytestmark = pytest.mark.usefixtures("unwatched")

PAIRS = 5000


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    for module in (token_shards, tokenizing):
        monkeypatch.setattr(module, "SHARD", 2048)


@pytest.fixture
def files(tmp_path):
    pairs = read_sample()["train"][:PAIRS]
    for side, language in enumerate(("pt", "en")):
        text = "".join(pair[side] + "\n" for pair in pairs)
        (tmp_path / f"train.{language}").write_text(text)
    return f"pairs:{tmp_path}/train.pt,{tmp_path}/train.en"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def both(files, tiny_run, tmp_path):
    """Functions that tokenise into a folder: this process, and Beam."""
    load = functools.partial(load_corpus, files)
    recipe = Recipe(tiny_run.folder / "tokenizers", 40, PairOptions(shared_words=0.1))

    def here(folder):
        train = load().require("train")
        write_token_shards(folder, "key", train, recipe, lambda line: None, processes=1)

    return here, functools.partial(tokenize_corpus, load, key="key", recipe=recipe)


def test_the_shards_are_those_of_one_process(both, tmp_path):
    here, on_beam = both
    here(tmp_path / "here")
    counts = on_beam(folder=tmp_path / "beam")
    assert counts == {"pairs": 4900, "shards": 3}
    assert contents(tmp_path / "beam") == contents(tmp_path / "here")
    assert on_beam(folder=tmp_path / "beam") == {}  # nothing is left to do


def test_shards_that_are_there_are_not_made_again(both, tmp_path):
    here, on_beam = both
    here(tmp_path / "here")
    wanted = contents(tmp_path / "here")
    folder = tmp_path / "beam"
    on_beam(folder=folder)
    (folder / "00001.json").unlink()
    (folder / "00001.source.npy").write_bytes(b"half")
    token_shards.write_json(folder / "index.json", {"key": "key", "shards": 0, "whole": False})
    assert on_beam(folder=folder)["shards"] == 1
    assert contents(folder) == wanted
    # Those of another corpus are.
    token_shards.write_json(folder / "index.json", {"key": "other", "shards": 3, "whole": True})
    assert on_beam(folder=folder)["shards"] == 3
    assert contents(folder) == wanted


def test_train_goes_on_with_what_the_command_prepared(files, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "model: {num_layers: 1, d_model: 16, num_heads: 2, dff: 16}\n"
        "training: {window: 1024, epochs: null, bleu_sentences: 0, max_steps: 3}\n"
    )
    run = tmp_path / "run"
    options = ["--dataset", files, "--preset", "quick", "--config", str(config)]
    options += ["--output", str(run)]
    done = CliRunner().invoke(main, ["tokenize", "--runner", "DirectRunner", *options])
    assert done.exit_code == 0, done.output
    shards = TokenShards(run / "tokens" / "train")
    assert len(shards) == 4900
    before = contents(run / "tokens" / "train")
    done = CliRunner().invoke(main, ["train", "--resume", *options])
    assert done.exit_code == 0, done.output
    assert contents(run / "tokens" / "train").items() >= before.items()
    assert (run / "model.weights.h5").exists()
