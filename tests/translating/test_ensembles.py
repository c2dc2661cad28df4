"""Runs that translate together: all that a translator does, its export, and the command line."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from keras_transformer.cli.command import main
from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.errors import InputError
from keras_transformer.exporting import export
from keras_transformer.files import read_json, write_json
from keras_transformer.models.families import make_model
from keras_transformer.models.runs import WEIGHTS_FILE, load_run, save_weights
from keras_transformer.plotting.scores import sentence_attention
from keras_transformer.translating.translator import Translator

LINES = ["o gato dorme .", "", "a menina lê o livro com {name} ."]
RECURRENT = {"family": "gru", "units": 16, "embedding_size": 8, "max_length": 64}

STRANGER = """
import json, sys
import tensorflow as tf, tensorflow_text
signatures = tf.saved_model.load(sys.argv[1]).signatures
texts = tf.constant(json.load(sys.stdin))
found = signatures["serving_default"](text=texts)["translation"].numpy()
assert not any(name.startswith("keras_transformer") for name in sys.modules)
print(json.dumps([text.decode() for text in found]))
"""


@pytest.fixture(scope="module")
def recurrent_run(tiny_run, tmp_path_factory):
    """The folder of an untrained recurrent model that has a word in what the tiny run says."""
    folder = tmp_path_factory.mktemp("runs") / "recurrent"
    run = load_run(tiny_run.folder)
    config = run.config.replace({"model": RECURRENT})
    keras.utils.set_random_seed(3)
    sizes = {"input_vocab_size": run.model.input_vocab_size}
    model = make_model(config.model, target_vocab_size=run.model.target_vocab_size, **sizes)
    rng = np.random.default_rng(3)
    for weight in model.trainable_variables:
        weight.assign(weight + rng.normal(scale=1.5, size=weight.shape))
    run.tokenizers.save(folder / "tokenizers")
    save_weights(model, folder / WEIGHTS_FILE)
    description = read_json(tiny_run.folder / "config.json")
    write_json(folder / "config.json", {**description, "config": config.to_dict()})
    return folder


@pytest.fixture(scope="module")
def folders(tiny_run, recurrent_run):
    return [tiny_run.folder, recurrent_run]


@pytest.fixture(scope="module")
def together(folders):
    return Translator.load(folders)


def texts(translator, lines=LINES, **options):
    return [found.text for found in translator.translate(lines, **options)]


@pytest.mark.parametrize("options", [{}, {"beam_size": 3}], ids=["greedy", "beam"])
def test_of_equal_runs_one_translates(options, tiny_run):
    alone = texts(tiny_run.translator, **options)
    assert texts(Translator.load([tiny_run.folder]), **options) == alone
    assert texts(Translator.load([tiny_run.folder] * 2), **options) == alone


def test_order_does_not_matter(folders, together, tiny_run):
    turned = Translator.load(folders[::-1])
    assert texts(turned) == texts(together) != texts(tiny_run.translator)
    assert turned.max_target_length(turned.decoding) == 64  # that of the model with fewer positions


def test_it_does_what_a_translator_does(together):
    """Placeholders, a prefix, terms, samples, a shortlist, alignments and attention."""
    assert "{name}" in texts(together)[2]
    assert texts(together, target_prefix=["The cat", "", ""])[0].startswith("The cat")
    glossary = {"gato": "dog"}
    assert "dog" in texts(together, glossary=glossary, glossary_mode="constrain")[0]
    samples = {"sampling": True, "seed": 7, "temperature": 2.0}
    assert texts(together, **samples) == texts(together, **samples) != texts(together)
    found = together.translate(LINES, alignment=True, attention=True, shortlist=64)
    assert found[0].alignment
    assert found[0].attention.shape[0] == 4  # the heads of the first


def test_attention_is_that_of_the_first(together):
    names = sentence_attention(together, LINES[0]).scores
    assert {"encoder_layer1", "decoder_layer2_block2"} <= names.keys()


@pytest.mark.slow
def test_an_export_translates_alike_in_a_strangers_process(together, tmp_path):
    folder = export(together, tmp_path / "ensemble", compiled=False)
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(folder)],
        input=json.dumps(LINES),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == texts(together)
    card = (folder / "README.md").read_text()
    assert "An ensemble of 2 models" in card
    assert "## Training of model 2" in card


def command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command_line_takes_several_models(folders, together, tmp_path):
    both = ("--model", folders[0], "--model", folders[1])
    found = command("translate", *both, *LINES)
    assert found.output.splitlines() == texts(together)
    (tmp_path / "pairs.tsv").write_text("o gato dorme .\tthe cat sleeps .\n")
    found = command(
        *("evaluate", *both, "--compare", folders[0], "--pairs", tmp_path / "pairs.tsv"),
        *("--output", tmp_path / "out.txt"),
    )
    assert (tmp_path / "out.txt").read_text().strip() == texts(together, style="corpus")[0]


@pytest.mark.parametrize("form", ["ctranslate2", "stablehlo"])
def test_other_forms_are_of_one_model(form, folders, tmp_path):
    both = ("--model", folders[0], "--model", folders[1])
    result = command("export", *both, "--output", tmp_path / "other", "--format", form)
    assert result.exit_code == 1
    assert "a ModelEnsemble has no" in result.stderr


def test_what_is_no_ensemble_is_refused(folders, tiny_run, tmp_path):
    def refused(paths, message):
        with pytest.raises(InputError, match=message) as error:
            Translator.load(paths)
        assert "\n" not in str(error.value)

    refused([], "No model was given")
    refused([folders[0], tmp_path], "is no run folder, of which alone ensembles are made")
    tokenizers = Tokenizers.load(folders[0] / "tokenizers")
    other = tmp_path / "other"
    Tokenizers(tokenizers.source, tokenizers.target, "pt", "es").save(other / "tokenizers")
    for name in ("config.json", WEIGHTS_FILE):
        (other / name).write_bytes((folders[0] / name).read_bytes())
    refused([folders[0], other], "has other vocabularies than")
