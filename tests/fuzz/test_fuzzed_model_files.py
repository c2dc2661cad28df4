"""Damaged run folders, checkpoints and exports: a model that answers, or one error of one line."""

import json
import shutil

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import changed_json, damaged, examples, result_or_error

from keras_transformer.interop.huggingface import load_huggingface, save_huggingface
from keras_transformer.interop.tokenizer_files import load_huggingface_tokenizer
from keras_transformer.models.bert import Bert
from keras_transformer.models.gpt import GPT
from keras_transformer.models.transformer import Transformer
from keras_transformer.models.vit import ViT
from keras_transformer.saving import load_model
from keras_transformer.serving.loaded_model import LoadedModel
from keras_transformer.translating.generator import Generator
from keras_transformer.translating.translator import Translator

pytestmark = pytest.mark.slow

LINES = ["sol mar", "", "x"]


def files_of(folder):
    """The content of the files of a folder, by their paths in it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@st.composite
def one_damaged(draw, files, names):
    """Which file to write, and its content: damaged, changed where it is JSON, or ``None``."""
    name = draw(st.sampled_from(names))
    content = files[name]
    if name.endswith(".json") and draw(st.integers(0, 3)):
        return name, json.dumps(draw(changed_json(json.loads(content)))).encode()
    return name, draw(st.one_of(damaged(content), st.just(b""), st.none()))


class Damaged:
    """A copy of a folder with one file damaged at a time."""

    def __init__(self, original, copy, *left_out):
        shutil.copytree(original, copy)
        self.folder = copy
        self.files = files_of(copy)
        self.names = [name for name in self.files if not name.startswith(left_out or ("\0",))]
        self._last = None

    def damage(self, data):
        """Damages one file; the others are whole."""
        name, content = data.draw(one_damaged(self.files, self.names))
        if self._last is not None:
            (self.folder / self._last).write_bytes(self.files[self._last])
        path = self.folder / name
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        self._last = name


NOT_READ = ("logs", "tokens", "checkpoints", "training_log", ".lock")


@pytest.fixture(scope="module")
def damaged_run(copying_run, tmp_path_factory):
    return Damaged(copying_run, tmp_path_factory.mktemp("damaged") / "run", *NOT_READ)


@pytest.fixture(scope="module")
def damaged_gpt(gpt_run, tmp_path_factory):
    return Damaged(gpt_run, tmp_path_factory.mktemp("damaged") / "gpt", *NOT_READ)


@examples(20)
@given(data=st.data())
def test_any_damage_to_a_run_folder(damaged_run, data):
    damaged_run.damage(data)
    translator = result_or_error(Translator.load, damaged_run.folder, jit_compile=False)
    if translator is not None:
        found = result_or_error(translator.translate, LINES)
        assert found is None or [type(one.text) for one in found] == [str] * len(LINES)


@examples(12)
@given(data=st.data())
def test_any_damage_to_a_run_folder_of_a_gpt(damaged_gpt, data):
    damaged_gpt.damage(data)
    generator = result_or_error(Generator.load, damaged_gpt.folder, jit_compile=False)
    if generator is not None:
        found = result_or_error(generator.generate, LINES, max_new_tokens=3)
        assert found is None or [type(one.text) for one in found] == [str] * len(LINES)


SIZES = {"num_layers": 1, "d_model": 8, "num_heads": 2, "dff": 12}


def a_bert():
    return Bert(vocab_size=11, max_length=6, **SIZES)


def a_gpt():
    return GPT(vocab_size=11, max_length=6, **SIZES)


def a_vit():
    return ViT(image_size=8, patch_size=4, num_classes=3, **SIZES)


def a_marian():
    return Transformer(
        **SIZES,
        input_vocab_size=11,
        target_vocab_size=11,
        max_length=16,
        share_embeddings=True,
        tie_output=True,
        output_bias=True,
        layer_norm_epsilon=1e-5,
    )


@pytest.fixture(scope="module", params=[a_bert, a_gpt, a_vit, a_marian])
def damaged_checkpoint(request, tmp_path_factory):
    pytest.importorskip("safetensors")
    keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("checkpoint")
    save_huggingface(request.param(), folder / "whole")
    return Damaged(folder / "whole", folder / "damaged")


@examples(25)
@given(data=st.data())
def test_any_damage_to_a_checkpoint(damaged_checkpoint, data):
    damaged_checkpoint.damage(data)
    model = result_or_error(load_huggingface, damaged_checkpoint.folder)
    if model is None:
        return
    assert all(np.shape(weight) == weight.shape for weight in model.weights)
    if isinstance(model, GPT | Bert):
        outputs = model(np.array([[1, 2, 3]]))
        assert np.shape(outputs[0] if isinstance(outputs, tuple) else outputs)[0] == 1


def library_files(folder):
    """The older files of a tokenizer of a BERT."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "sol", "mar", *"abc", "##a", "##b"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )


@pytest.fixture(scope="module", params=["older files", "one file"])
def damaged_tokenizer(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "older").mkdir()
    library_files(folder / "older")
    whole = folder / "older"
    if request.param == "one file":
        whole = folder / "one"
        load_huggingface_tokenizer(folder / "older").save(whole)
    return Damaged(whole, folder / "damaged")


@examples(40)
@given(data=st.data())
def test_any_damage_to_the_tokenizer_of_a_checkpoint(damaged_tokenizer, data):
    damaged_tokenizer.damage(data)
    tokenizer = result_or_error(load_huggingface_tokenizer, damaged_tokenizer.folder)
    if tokenizer is not None:
        ids = tokenizer.tokenize(LINES)
        assert np.all((ids.flat_values >= 0) & (ids.flat_values < tokenizer.vocab_size))
        assert len(tokenizer.detokenize(ids).numpy()) == len(LINES)


@pytest.fixture(scope="module")
def damaged_export(export, tmp_path_factory):
    left_out = ("README", "assets.extra/tf_serving_warmup_requests", "fingerprint")
    return Damaged(export / "1", tmp_path_factory.mktemp("damaged") / "1", *left_out)


@examples(6)
@given(data=st.data())
def test_any_damage_to_an_export(damaged_export, data):
    damaged_export.damage(data)
    translator = result_or_error(Translator.load, damaged_export.folder)
    if translator is not None:
        found = result_or_error(translator.translate, LINES)
        assert found is None or [type(one.text) for one in found] == [str] * len(LINES)
    model = result_or_error(LoadedModel, damaged_export.folder)
    assert model is None or model.version == 1


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "gpt.keras"
    model = a_gpt()
    model(np.array([[1, 2, 3]]))
    model.save(path)
    return path, path.read_bytes()


@examples(15)
@given(data=st.data())
def test_any_damage_to_a_file_of_keras(keras_file, data):
    path, content = keras_file
    path.write_bytes(data.draw(damaged(content)))
    result_or_error(load_model, path)
