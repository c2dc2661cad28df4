"""Writes the files that tests/test_version_0_1.py reads, with the code of version 0.1.

    git worktree add ../version_0_1 db3c683
    PYTHONPATH=../version_0_1 python tests/version_0_1/make.py

It leaves ``files.tar.xz`` and ``answers.json`` beside itself: run folders, exports and ``.keras``
files of very small models, and what version 0.1 answers to `questions`.
"""

import importlib.util
import json
import os
import shutil
import signal
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_XLA_FLAGS"] = ""

import keras  # noqa: E402
import questions  # noqa: E402

import keras_transformer as kt  # noqa: E402
from keras_transformer.cli import main as command_line  # noqa: E402

TRANSFORMER = {"num_layers": 1, "d_model": 16, "num_heads": 2, "dff": 16, "max_length": 60}
RECIPE = {
    "epochs": 15,
    "batch_tokens": 256,
    "max_tokens": 60,
    "learning_rate": 0.01,
    "warmup_steps": 20,
    "bleu_sentences": 2,
}
RUNS = {
    "transformer": {
        "model": TRANSFORMER,
        "tokenizer": {"kind": "sentencepiece", "vocab_size": 400},
        "training": {**RECIPE, "average_decay": 0.9, "label_smoothing": 0.1},
    },
    "gru": {
        "model": {"family": "gru", "units": 16, "embedding_size": 16, "dropout_rate": 0.0},
        "tokenizer": {"vocab_size": 200, "shared": True},
        "training": {**RECIPE, "learning_rate": 0.005},
    },
    "gpt": {
        "model": {**TRANSFORMER, "family": "gpt"},
        "tokenizer": {"vocab_size": 200},
        "training": RECIPE,
    },
    "bert": {
        "model": {**TRANSFORMER, "family": "bert"},
        "tokenizer": {"vocab_size": 200},
        "training": RECIPE,
    },
}
"""What each run changes of the preset ``quick``."""


def run_command(*arguments) -> None:
    command_line([str(argument) for argument in arguments], standalone_mode=False)


def write_pairs(number=300) -> None:
    pairs = kt.load_corpus("sample").train.take(number).as_numpy_iterator()
    columns = zip(*pairs, strict=True)
    for path, column in zip(questions.PAIRS.split(","), columns, strict=True):
        Path(path).write_bytes(b"\n".join(column) + b"\n")


def train_runs() -> None:
    for name, changes in RUNS.items():
        Path("changes.json").write_text(json.dumps(changes))
        corpus, family = f"pairs:{questions.PAIRS}", changes["model"].get("family", "transformer")
        options = ["--attention", "luong"] if family == "gru" else []
        options += ["--model", family, "--config", "changes.json", "--preset", "quick"]
        run_command("train", "--dataset", corpus, "--output", f"runs/{name}", *options)
    Path("changes.json").unlink()


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C in the second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if logs["step"] == 20:
            signal.raise_signal(signal.SIGINT)


def leave_unfinished(folder) -> None:
    """A run that was interrupted in the middle of its second epoch."""
    config = kt.preset("quick").replace(RUNS["transformer"])
    changes = {"training": {"epochs": 2, "accumulate": 2, "bleu_sentences": 0}}
    config = config.replace({**changes, "tokenizer": {"kind": "wordpiece", "vocab_size": 200}})
    corpus = kt.load_corpus(f"pairs:{questions.PAIRS}")
    try:
        kt.train(corpus, folder, config, callbacks=[Interrupt()])
    except KeyboardInterrupt:
        return
    raise AssertionError("the run was over before it was interrupted")


def resumed(folder, **limits) -> dict:
    """The metrics with which version 0.1 itself finishes a copy of a run."""
    with tempfile.TemporaryDirectory() as other:
        shutil.copytree(folder, Path(other) / "run")
        return questions.resume(Path(other) / "run", **limits)


def models() -> dict[str, keras.Model]:
    """A compiled model for each of the ``.keras`` files; dropout would make answers random."""
    keras.utils.set_random_seed(1)
    sizes = {"num_layers": 1, "d_model": 8, "num_heads": 2, "dff": 8, "dropout_rate": 0.0}
    vocabularies = {"input_vocab_size": 14, "target_vocab_size": 14}
    classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    transformer = kt.Transformer(**sizes, **vocabularies)
    transformer.compile(
        kt.Adam(kt.CustomSchedule(8, warmup_steps=10), beta_2=0.98, epsilon=1e-9),
        loss=kt.masked_loss,
        metrics=[kt.masked_accuracy],
    )
    objects = kt.Transformer(
        **sizes,
        **vocabularies,
        norm_first=True,
        positions="rotary",
        activation="gelu",
        share_embeddings=True,
        tie_output=True,
        output_bias=True,
        right_padded=True,
    )
    objects.compile(
        kt.Adam(0.01, weight_decay=0.01, clipnorm=1.0),
        loss=kt.MaskedLoss(0.1),
        metrics=[kt.MaskedAccuracy(), kt.MaskedCrossentropy()],
    )
    edition_2019 = kt.edition_2019.Transformer(1, 8, 2, 8, 14, 14, pe_input=20, pe_target=20)
    recurrent = kt.RecurrentSeq2Seq(
        units=6, kind="lstm", attention="general", dropout_rate=0.0, **vocabularies
    )
    recurrent.compile("adam", loss=kt.masked_loss, metrics=[kt.masked_accuracy])

    def gpt():
        return kt.GPT(vocab_size=14, max_length=12, **sizes)

    def bert(**changes):
        options = {"attention_dropout_rate": 0.0, "max_length": 12, **changes}
        return kt.Bert(vocab_size=14, **sizes, **options)

    language_model = gpt()
    language_model.compile(kt.Adam(0.01), loss=kt.masked_loss, metrics=[kt.masked_accuracy])
    last_token = kt.SequenceClassifier(kt.LastTokenReader(gpt()), num_classes=3, dropout_rate=0.0)
    last_token.compile(kt.Adam(0.01), loss=classes)
    pretraining = kt.BertPretraining(
        bert(embedding_size=6, share_layers=True, activation="gelu_tanh")
    )
    pretraining.compile(kt.Adam(0.01))
    classifier = kt.SequenceClassifier(bert(), num_classes=3, dropout_rate=0.0)
    classifier.compile(keras.optimizers.AdamW(0.01), loss=classes, metrics=["accuracy"])
    tagger = kt.TokenClassifier(bert(pooler=False), num_classes=9, dropout_rate=0.0)
    tagger.compile("adam", loss=kt.masked_loss, metrics=[kt.MaskedAccuracy()])
    spans = kt.SpanPredictor(bert(), dropout_rate=0.0)
    spans.compile(kt.Adam(0.01), loss={"start": classes, "end": classes})
    elmo = kt.ELMo(vocab_size=14, units=6, num_layers=1, dropout_rate=0.0, tie_output=True)
    elmo.compile(kt.Adam(0.01), loss=kt.masked_loss)
    elmo_classifier = kt.ElmoClassifier(
        elmo=kt.ELMo(vocab_size=14, units=6, dropout_rate=0.0),
        num_classes=3,
        layer_norm=True,
        dropout_rate=0.0,
    )
    elmo_classifier.compile(kt.Adam(0.01), loss=classes)
    vit = kt.ViT(image_size=8, patch_size=4, num_classes=3, **sizes)
    vit.compile(kt.Adam(0.01), loss=classes, metrics=["accuracy"])
    return {
        "transformer": transformer,
        "transformer_objects": objects,
        "edition_2019": edition_2019,
        "recurrent_seq2seq": recurrent,
        "gpt": language_model,
        "last_token_classifier": last_token,
        "bert_pretraining": pretraining,
        "sequence_classifier": classifier,
        "token_classifier": tagger,
        "span_predictor": spans,
        "elmo": elmo,
        "elmo_classifier": elmo_classifier,
        "vit": vit,
    }


def save_models(folder) -> dict:
    """Trains each model a little, saves it, and gives its answers."""
    folder.mkdir()
    answers = {}
    for name, model in models().items():
        if model.compiled:
            inputs, labels = questions.BATCHES[name]
            model.fit(inputs, labels, epochs=5, verbose=0)
        model.save(folder / f"{name}.keras")
        answers[name] = questions.ask_model(model, name)
    return answers


def registered_names() -> list[str]:
    """What version 0.1 calls its classes and functions in files of Keras."""
    from keras_transformer import saving  # noqa: F401  registers all of them but `Adam`
    from keras_transformer.training import optimizers  # noqa: F401

    names = keras.saving.get_custom_objects()
    return sorted(name for name in names if name.startswith("keras_transformer"))


def make() -> dict:
    """Writes everything into the working directory; gives the answers."""
    write_pairs()
    train_runs()
    leave_unfinished(Path("runs/unfinished"))
    run = Path("runs/transformer")
    run_command("export", "--model", run, "--output", "saved_model", "--no-xla")
    run_command("export", "--model", run, "--output", "ctranslate2", "--format", "ctranslate2")
    scores = {}
    for name in ("gpt", "bert"):
        options = ["--dataset", f"pairs:{questions.PAIRS}", "--split", "validation"]
        run_command("evaluate", "--model", f"runs/{name}", *options, "--json", "scores.json")
        scores[name] = json.loads(Path("scores.json").read_text())
    Path("scores.json").unlink()
    return {
        "translators": {
            path: questions.ask_translator(path)
            for path in ("runs/transformer", "runs/gru", "saved_model", "ctranslate2")
        },
        "generator": questions.ask_generator("runs/gpt"),
        "tokenizers": {
            name: questions.ask_tokenizers(f"runs/{name}/tokenizers")
            for name in ("transformer", "gru")
        },
        "language_models": scores,
        "resumed": {
            "unfinished": resumed("runs/unfinished"),
            "gpt": resumed("runs/gpt", epochs=16),
        },
        "models": save_models(Path("models")),
        "registered": registered_names(),
    }


def leave_out() -> None:
    """Deletes what names this machine, and checkpoints that are like others."""
    for lock in Path("runs").glob("*/.lock"):
        lock.unlink()
    for logs in Path("runs").glob("*/logs"):
        shutil.rmtree(logs)
    for name in ("transformer", "gru", "bert"):
        shutil.rmtree(f"runs/{name}/checkpoints")


def rounded(value):
    """Numbers of seven digits, which is what float32 has."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


def main() -> None:
    if importlib.util.find_spec("keras_transformer.generation") is None:
        sys.exit("This is not the code of version 0.1: set PYTHONPATH to a worktree of db3c683.")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        answers = make()
        leave_out()
        with tarfile.open(HERE / "files.tar.xz", "w:xz") as archive:
            for path in sorted(Path().rglob("*")):
                if path.is_file():
                    member = tarfile.TarInfo(path.as_posix())
                    member.size = path.stat().st_size
                    with path.open("rb") as file:
                        archive.addfile(member, file)
                    print(f"{member.size:9,} {path}")
        os.chdir(HERE)
    (HERE / "answers.json").write_text(json.dumps(rounded(answers), ensure_ascii=False) + "\n")
    for name in ("files.tar.xz", "answers.json"):
        print(f"{(HERE / name).stat().st_size:9,} {name}")


if __name__ == "__main__":
    main()
