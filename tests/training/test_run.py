"""A run: what it leaves behind, what stops it, what it refuses."""

import contextlib
import csv
import io
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.data.batches.pairs import Batches
from keras_transformer.data.batches.token_store import tokenize_pairs
from keras_transformer.data.corpora.corpus import Corpus
from keras_transformer.data.corpora.examples import choose_examples
from keras_transformer.data.tokenizers.pair import Tokenizers, train_tokenizers
from keras_transformer.errors import InputError
from keras_transformer.training.run import _train_batches, make_model, train
from keras_transformer.training.run_folder import RunFolder
from keras_transformer.training.tasks import task_of
from keras_transformer.translating.evaluation import evaluate
from keras_transformer.translating.translator import Translator


def test_the_run_folder_holds_everything(short_runs):
    files = {path.name for path in short_runs[0].folder.iterdir()}
    assert files == {
        ".lock",
        "alignment.json",
        "checkpoints",
        "config.json",
        "logs",
        "metrics.json",
        "model.weights.h5",
        "shortlist.npz",
        "tokenizers",
        "tokens",
        "training_log.csv",
    }


@pytest.mark.usefixtures("unwatched")
def test_a_run_that_translates_with_a_shortlist_learns_one(tiny_corpus, tiny_config, tmp_path):
    training = {"max_steps": 20, "bleu_sentences": 2}
    config = tiny_config.replace({"training": training, "decoding": {"shortlist": 5}})
    run = train(tiny_corpus, tmp_path / "run", config)
    loaded = Translator.load(tmp_path / "run")
    assert loaded.decoding.shortlist == 5
    lines = ["o gato dorme .", "a menina canta ."]
    texts = [[one.text for one in some.translate(lines)] for some in (run.translator, loaded)]
    assert texts[0] == texts[1]
    rows = loaded.shortlist.allowed(tf.zeros((1, 1), tf.int32), 5, 1)
    assert 0 < int(tf.math.count_nonzero(rows)) < loaded.transformer.target_vocab_size


def test_training_lowers_the_loss(tiny_run):
    with (tiny_run.folder / "training_log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"]) - 0.5
    assert min(float(row["val_loss"]) for row in rows) == pytest.approx(
        tiny_run.metrics["validation_loss"]
    )


def test_the_step_limit_counts_steps_over_epochs(tiny_run, tiny_config):
    assert tiny_run.metrics["steps"] == tiny_config.training.max_steps
    assert json.loads((tiny_run.folder / "metrics.json").read_text()) == tiny_run.metrics


def test_a_run_keeps_examples_of_its_validation_texts(tiny_run, tiny_corpus, short_runs):
    examples = choose_examples(tiny_corpus)
    description = json.loads((tiny_run.folder / "config.json").read_text())
    assert description["examples"] == tiny_run.translator.examples == examples
    assert [run.translator.examples for run in short_runs[:2]] == [examples] * 2


@pytest.mark.parametrize("content", [None, 5, "Um gato.", [5, None, "a" * 10_000, "\ud83d", ""]])
def test_a_run_without_usable_examples_has_none(tiny_run, content, tmp_path):
    description = json.loads((tiny_run.folder / "config.json").read_text())
    description["examples"] = content
    if content is None:  # version 0.1
        del description["examples"]
    (tmp_path / "config.json").write_text(json.dumps(description))
    for name in ("tokenizers", "model.weights.h5"):
        (tmp_path / name).symlink_to(tiny_run.folder / name)
    assert Translator.load(tmp_path).examples == []


@pytest.fixture(scope="module")
def short_runs(tiny_corpus, tiny_config, tmp_path_factory):
    """Two runs of the same configuration and what the first wrote to standard error."""
    config = tiny_config.replace({"model": {"num_layers": 1}, "training": {"max_steps": 3}})
    folder, log = tmp_path_factory.mktemp("runs"), io.StringIO()
    with contextlib.redirect_stderr(log):
        first = train(tiny_corpus, folder / "a", config)
    with pytest.MonkeyPatch.context() as patched:  # what is shown of a run changes nothing in it
        patched.setattr("keras_transformer.training.run._callbacks", lambda *_: [])
        second = train(tiny_corpus, folder / "b", config)
    return first, second, log.getvalue()


def test_a_run_loads_as_the_translator_that_was_trained(short_runs, tiny_corpus):
    trained = short_runs[0].translator
    loaded = Translator.load(short_runs[0].folder)
    lines = [source.decode() for source, _ in tiny_corpus.test.take(10).as_numpy_iterator()]
    for live, again in zip(
        trained.translate(lines, max_length=8), loaded.translate(lines, max_length=8), strict=True
    ):
        assert live.text == again.text
        assert live.score == pytest.approx(again.score, abs=1e-4)
    assert loaded.decoding == trained.decoding


def test_the_same_seed_gives_the_same_weights(short_runs):
    first, second = (run.translator.transformer.get_weights() for run in short_runs[:2])
    for one, two in zip(first, second, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_the_log_is_readable_where_no_terminal_is(short_runs):
    log = short_runs[2]
    assert re.search(r"1,000 train pairs \([\d,]+ target tokens\), 0 longer than 64", log)
    assert re.search(r"epoch 1: loss \d+\.\d+, accuracy 0\.\d+, .* [\d,]+ tokens/s", log)
    assert "reference" in log
    assert "\r" not in log


def test_a_run_is_never_overwritten(tiny_run, tiny_corpus, tiny_config):
    before = (tiny_run.folder / "model.weights.h5").read_bytes()
    with pytest.raises(InputError, match="holds a run already"):
        train(tiny_corpus, tiny_run.folder, tiny_config)
    assert (tiny_run.folder / "model.weights.h5").read_bytes() == before


def test_a_corpus_without_a_part_is_refused_before_anything_is_written(tiny_corpus, tmp_path):
    corpus = Corpus(name="half", train=tiny_corpus.train)
    with pytest.raises(InputError, match="no validation pairs"):
        train(corpus, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_tokenizer_of_bleu_that_is_missing_is_named_before_anything_is_written(
    tiny_corpus, tiny_config, tmp_path, monkeypatch
):
    def fail(name):
        raise RuntimeError("not installed")

    wanted = {"bleu_tokenize": "ja-mecab", "bleu_sentences": 2}
    config = tiny_config.replace({"training": wanted})
    with monkeypatch.context() as patched:
        patched.setattr("sacrebleu.metrics.bleu._get_tokenizer", fail)
        with pytest.raises(InputError, match=r"no tokenizer 'ja-mecab' here.*\[japanese\]"):
            train(tiny_corpus, tmp_path / "run", config)
        assert not (tmp_path / "run").exists()
        # A run that began elsewhere: its own configuration counts.
        RunFolder(tmp_path / "run").begin(tiny_corpus, config, resume=False)
        with pytest.raises(InputError, match="no tokenizer 'ja-mecab' here"):
            train(tiny_corpus, tmp_path / "run", resume=True)
        assert not (tmp_path / "run" / "tokens").exists()
        # Nobody asks for it where there is no BLEU.
        silent = config.replace({"training": {"bleu_sentences": 0}})
        task_of(tiny_corpus, silent).check()


def test_a_folder_that_cannot_be_made_is_named(tiny_corpus, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        train(tiny_corpus, tmp_path / "file" / "run")


def test_a_loss_that_is_no_number_stops_with_advice(tiny_corpus, tiny_config, tmp_path):
    config = tiny_config.replace(
        {"model": {"num_layers": 1}, "training": {"learning_rate_scale": 1e30, "max_steps": 10}}
    )
    with pytest.raises(InputError, match="learning_rate_scale"):
        train(tiny_corpus, tmp_path / "run", config)
    assert not (tmp_path / "run" / "model.weights.h5").exists()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_trains(dtype, tiny_corpus, tiny_config, tmp_path):
    config = tiny_config.replace({"training": {"dtype": dtype, "max_steps": 4}})
    run = train(tiny_corpus, tmp_path / "run", config)
    assert np.isfinite(run.metrics["validation_loss"])
    assert Translator.load(run.folder).translate(["o gato dorme ."])[0].text


def test_the_options_of_a_recipe_reach_the_model(tiny_config, tiny_run):
    config = tiny_config.replace(
        {"training": {"label_smoothing": 0.2, "beta_2": 0.9, "jit_compile": True}}
    )
    model = make_model(config, tiny_run.translator.tokenizers)
    assert model.loss.label_smoothing == 0.2
    assert model.optimizer.beta_2 == 0.9
    assert model.jit_compile
    assert make_model(tiny_config, tiny_run.translator.tokenizers).jit_compile == bool(
        tf.config.list_logical_devices("GPU")
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", kt.Adam), ("muon", kt.Muon), ("adafactor", keras.optimizers.Adafactor)],
)
def test_the_optimizer_is_the_configured_one(name, kind, tiny_corpus, tiny_config, tmp_path):
    recipe = {"optimizer": name, "weight_decay": 0.5, "max_steps": 2, "bleu_sentences": 0}
    run = train(tiny_corpus, tmp_path / "run", tiny_config.replace({"training": recipe}))
    assert type(run.model.optimizer) is kind
    assert run.model.optimizer.weight_decay == 0.5
    assert np.isfinite(run.metrics["validation_loss"])


def test_weight_decay_leaves_biases_and_gains(tiny_config, tiny_run):
    config = tiny_config.replace({"training": {"weight_decay": 0.5}})
    model = make_model(config, tiny_run.translator.tokenizers)
    weights = model.trainable_variables
    before = [weight.numpy() for weight in weights]
    model.optimizer.learning_rate.assign(0.1)
    model.optimizer.apply([tf.zeros(weight.shape) for weight in weights], weights)
    for weight, old in zip(weights, before, strict=True):
        kept = weight.name in ("bias", "gamma", "beta")
        np.testing.assert_allclose(weight.numpy(), old if kept else 0.95 * old, rtol=1e-5)


@pytest.mark.slow
def test_a_run_begins_from_anothers_weights(tiny_corpus, tiny_config, tiny_run, tmp_path):
    config = tiny_config.replace(
        {"training": {"max_steps": 1, "learning_rate": 1e-9, "bleu_sentences": 40}}
    )
    run = train(tiny_corpus, tmp_path / "run", config, init_from=tiny_run.folder)
    assert run.metrics["validation_loss"] == pytest.approx(
        tiny_run.metrics["validation_loss"], abs=1e-3
    )
    bleu = evaluate(tiny_run.translator, tiny_corpus.validation)["bleu"]["score"]
    assert run.metrics["validation_bleu"] == pytest.approx(bleu, abs=1e-3)


def test_weights_of_another_shape_are_refused(tiny_corpus, tiny_config, tiny_run, tmp_path):
    config = tiny_config.replace({"model": {"dff": 48}})
    with pytest.raises(InputError, match="does not fit"):
        train(tiny_corpus, tmp_path / "run", config, init_from=tiny_run.folder)


def test_a_run_has_the_vectors_of_the_one_it_starts_from(
    tiny_corpus, tiny_config, tiny_run, tmp_path
):
    config = tiny_config.replace({"word_vectors": {"source": "pt.vec"}})
    with pytest.raises(InputError, match="word_vectors: a run keeps"):
        train(tiny_corpus, tmp_path / "run", config, init_from=tiny_run.folder)


def test_a_run_goes_on_with_its_own_tokenizers(tiny_corpus, tiny_config, tiny_run, tmp_path):
    config = tiny_config.replace({"training": {"max_steps": 1, "bleu_sentences": 0}})
    tokenizers = tiny_run.translator.tokenizers
    folder = RunFolder(tmp_path / "run")
    folder.begin(tiny_corpus, config, resume=False)
    folder.tokenizers(tiny_corpus, config, tokenizers)
    assert folder.tokenizers(tiny_corpus, config, tokenizers).target.vocab_size
    others = Tokenizers(tokenizers.target, tokenizers.source)
    with pytest.raises(InputError, match="began with other tokenizers"):
        folder.tokenizers(tiny_corpus, config, others)


def test_sides_that_the_model_has_no_positions_for_are_refused(tiny_corpus, tiny_config, tmp_path):
    config = tiny_config.replace({"model": {"max_length": 8}})
    with pytest.raises(InputError, match=r"lets in a side of .* lower it to 8"):
        train(tiny_corpus, tmp_path / "run", config)


def test_cudnn_is_refused_where_xla_compiles_nothing(tiny_corpus, tiny_config, tmp_path):
    config = tiny_config.replace({"model": {"attention_implementation": "cudnn"}})
    with pytest.raises(InputError, match="needs a step that XLA compiles"):
        train(tiny_corpus, tmp_path / "run", config)


def test_training_pairs_are_divided_anew_where_that_is_asked_for(tiny_corpus, tiny_config):
    def epoch_of(config, number):
        batches = _train_batches(task_of(tiny_corpus, config), pairs, tokenizers, replicas=1)
        return [
            [ids.tolist() for ids in (*inputs, labels)] for inputs, labels in batches.epoch(number)
        ]

    tokenizers = train_tokenizers(tiny_corpus, vocab_size=700)
    pairs = tokenize_pairs(tiny_corpus.train, tokenizers, 40)
    usual = Batches(pairs, 1024, seed=1)
    for number in (0, 1):
        wanted = [
            [ids.tolist() for ids in (*inputs, labels)] for inputs, labels in usual.epoch(number)
        ]
        assert epoch_of(tiny_config, number) == wanted
    changes = {"model": {"max_length": 40}, "training": {"subword_dropout": 0.7}}
    divided = epoch_of(tiny_config.replace(changes), 0)
    lengths = [len(row) for batch in divided for side in batch for row in side]
    assert max(lengths) == 40  # the positions of the model
    assert sum(len(source) for source, *_ in divided) == len(pairs)
