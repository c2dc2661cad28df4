"""What the stored files are asked: by `make.py` with version 0.1, by the tests with this one.

Public names alone, so that it runs with any version:

    python tests/version_0_1/questions.py FOLDER

loads every ``.keras`` file of a folder and prints the answers as JSON.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_transformer as kt

PAIRS = "pairs.pt,pairs.en"
"""The corpus of the runs, beside them."""

SOURCES = [
    "o rapaz viu a mãe .",
    "a professora não comprou o livro ?",
    "eu quero ir à escola amanhã , porque hoje está a chover .",
    "",
]
PROMPTS = ["the boy", "i want to", ""]

IDS = np.array([[2, 5, 7, 9, 3], [2, 8, 3, 0, 0], [2, 6, 6, 3, 0]], np.int32)
SEGMENTS = np.array([[0, 0, 0, 1, 1], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0]], np.int32)
TARGET = np.array([[2, 4, 6, 11], [2, 9, 0, 0], [2, 7, 5, 0]], np.int32)
LABELS = np.array([[4, 6, 11, 3], [9, 3, 0, 0], [7, 5, 3, 0]], np.int32)
HIDDEN = np.array([[0, 4, 0, 8, 0], [0, 6, 0, 0, 0], [0, 0, 5, 0, 0]], np.int32)
CLASSES = np.array([0, 2, 1], np.int32)
IMAGES = np.sin(np.arange(3 * 8 * 8 * 3, dtype=np.float32)).reshape(3, 8, 8, 3)

BATCHES = {
    "transformer": ((IDS, TARGET), LABELS),
    "transformer_objects": ((IDS, TARGET), LABELS),
    "edition_2019": ((IDS, TARGET), None),
    "recurrent_seq2seq": ((IDS, TARGET), LABELS),
    "gpt": (TARGET, LABELS),
    "last_token_classifier": (IDS, CLASSES),
    "bert_pretraining": ((IDS, SEGMENTS), {"tokens": HIDDEN, "next": CLASSES % 2}),
    "sequence_classifier": ((IDS, SEGMENTS), CLASSES),
    "token_classifier": (IDS, HIDDEN),
    "span_predictor": ((IDS, SEGMENTS), {"start": CLASSES, "end": CLASSES}),
    "elmo": (IDS, None),
    "elmo_classifier": (IDS, CLASSES),
    "vit": (IMAGES, CLASSES),
}
"""Inputs and labels of the model in each ``.keras`` file, by the file's name."""


def ask_translator(path) -> dict:
    """Greedy translations, those of a beam and scores, of a run folder or an export."""
    translator = kt.Translator.load(path)
    scores = kt.evaluate(translator, kt.load_corpus(f"pairs:{PAIRS}").validation)
    return {
        "scores": {name: scores[name]["score"] for name in ("bleu", "bleu_none", "chrf")},
        "greedy": [_scored(found) for found in translator.translate(SOURCES)],
        "beam": [
            [_scored(other) for other in found.alternatives]
            for found in translator.translate(SOURCES, beam_size=3, n_best=3)
        ],
    }


def ask_generator(path) -> dict:
    """Continuations, found greedily and drawn."""
    generator = kt.Generator.load(path)
    greedy = generator.generate(PROMPTS, max_new_tokens=12)
    drawn = generator.generate(PROMPTS, max_new_tokens=12, sampling=True, top_k=5, seed=3)
    return {
        "greedy": [_scored(found) for found in greedy],
        "sampling": [_scored(found) for found in drawn],
    }


def resume(folder, **limits) -> dict:
    """The metrics of a run once it has been resumed, with other limits where some are given."""
    config = None
    if limits:
        begun = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))["config"]
        config = kt.Config().replace(begun).replace({"training": limits})
    return kt.train(kt.load_corpus(f"pairs:{PAIRS}"), folder, config, resume=True).metrics


def ask_tokenizers(folder) -> list:
    """Tokens and ids of both sides of a run's tokenizers, and the text that the ids give back."""
    tokenizers = kt.Tokenizers.load(folder)
    answers = []
    for tokenizer in (tokenizers.source, tokenizers.target):
        ids = tokenizer.tokenize(tf.constant([*SOURCES, *PROMPTS]))
        texts = tokenizer.detokenize(ids, "human").numpy()
        tokens = tokenizer.lookup(ids).to_list()
        answers.append(
            {
                "ids": ids.to_list(),
                "tokens": [[token.decode() for token in row] for row in tokens],
                "texts": [text.decode() for text in texts],
            }
        )
    return answers


def ask_model(model, name) -> dict:
    """Outputs and scores of a model, and the scores after it has been trained a little more."""
    inputs, labels = BATCHES[name]
    outputs = tf.nest.flatten(model(tf.nest.map_structure(tf.constant, inputs), training=False))
    answer = {"outputs": [output.numpy().tolist() for output in outputs]}
    if model.compiled:
        model.run_eagerly = True  # tracing would take longer
        answer["learning_rate"] = float(model.optimizer.learning_rate)
        answer["scores"] = model.evaluate(inputs, labels, verbose=0, return_dict=True)
        model.fit(inputs, labels, epochs=2, verbose=0)
        answer["trained"] = model.evaluate(inputs, labels, verbose=0, return_dict=True)
        answer["steps"] = int(model.optimizer.iterations)
    return answer


def _scored(found) -> dict:
    score = found.score if found.normalized_score is None else found.normalized_score
    return {"text": found.text, "score": score}


def main(folder) -> None:
    keras.utils.set_random_seed(1)
    files = sorted(Path(folder).glob("*.keras"))
    print(json.dumps({path.stem: ask_model(kt.load_model(path), path.stem) for path in files}))


if __name__ == "__main__":
    main(sys.argv[1])
