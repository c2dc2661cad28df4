"""Files of checkpoints: whole, in shards, pickled, of 16 bits; and what is wrong with them."""

import json

import keras
import ml_dtypes
import numpy as np
import pytest

from keras_transformer.errors import InputError
from keras_transformer.interop import checkpoints
from keras_transformer.interop.checkpoints import Checkpoint
from keras_transformer.interop.huggingface import load_huggingface, save_huggingface
from keras_transformer.interop.tokenizer_files import load_huggingface_tokenizer
from keras_transformer.models.bert import Bert

pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def bert():
    keras.utils.set_random_seed(1)
    sizes = {"num_layers": 1, "d_model": 8, "num_heads": 2, "dff": 12, "max_length": 6}
    return Bert(vocab_size=11, **sizes)


@pytest.fixture
def folder(bert, tmp_path):
    save_huggingface(bert, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def tensors_of(folder):
    checkpoint = Checkpoint(folder)
    assert len(checkpoint) == len(list(checkpoint))
    return dict(checkpoint)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)


def write_shards(folder, name, tensors, write):
    """Two files and their index."""
    names = sorted(tensors)
    weight_map = {}
    for shard, part in enumerate((names[::2], names[1::2])):
        file = f"{shard}-{name}"
        write({key: tensors[key] for key in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / f"{name}.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_shards_are_one_checkpoint(folder):
    from safetensors.numpy import save_file

    whole = tensors_of(folder)
    (folder / checkpoints.TENSORS).unlink()
    write_shards(folder, checkpoints.TENSORS, whole, save_file)
    assert_same(tensors_of(folder), whole)
    (folder / f"1-{checkpoints.TENSORS}").unlink()
    with pytest.raises(InputError, match=r"1-model\.safetensors: cannot be read"):
        Checkpoint(folder)


@pytest.mark.parametrize("in_shards", [False, True])
def test_what_torch_pickled(folder, in_shards):
    torch = pytest.importorskip("torch")
    whole = tensors_of(folder)
    (folder / checkpoints.TENSORS).unlink()
    tensors = {name: torch.tensor(tensor) for name, tensor in whole.items()}
    if in_shards:
        write_shards(folder, checkpoints.PICKLE, tensors, torch.save)
    else:
        torch.save(tensors, folder / checkpoints.PICKLE)
    assert_same(tensors_of(folder), whole)


def test_torch_of_16_bits(tmp_path):
    torch = pytest.importorskip("torch")
    values = [[1.5, -2.0]]
    tensors = {"a": torch.tensor(values).bfloat16(), "b": torch.tensor(values).half()}
    torch.save(tensors, tmp_path / checkpoints.PICKLE)
    found = tensors_of(tmp_path)
    assert_same(
        found, {"a": np.array(values, ml_dtypes.bfloat16), "b": np.array(values, np.float16)}
    )


def test_a_pickle_runs_no_code(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": print}, tmp_path / checkpoints.PICKLE)
    with pytest.raises(InputError, match=r"pytorch_model\.bin: cannot be read"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bits_become_32_and_go_back(bert, tmp_path, dtype):
    first, second = tmp_path / "first", tmp_path / "second"
    save_huggingface(bert, first, dtype=dtype)
    stored = tensors_of(first)
    assert {tensor.dtype for tensor in stored.values()} == {checkpoints.DTYPES[dtype]}
    assert json.loads((first / "config.json").read_text())["dtype"] == dtype
    loaded = load_huggingface(first)
    assert {weight.dtype for weight in loaded.weights} == {"float32"}
    save_huggingface(loaded, second)
    assert_same(tensors_of(second), stored)
    assert (second / "config.json").read_text() == (first / "config.json").read_text()
    save_huggingface(loaded, second, dtype="float32")
    assert {tensor.dtype for tensor in tensors_of(second).values()} == {np.dtype(np.float32)}


def test_arguments_win_over_the_configuration(folder):
    model = load_huggingface(folder, dropout_rate=0.3, dtype="mixed_bfloat16")
    assert model.encoder.dropout_rate == 0.3
    assert model(np.array([[1, 2, 0]])).sequence.dtype == "bfloat16"


def test_what_is_there_comes_whole_or_not(folder, bert, monkeypatch):
    before = tensors_of(folder)

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    with pytest.raises(InputError, match="No space left"):
        save_huggingface(bert, folder)
    assert_same(tensors_of(folder), before)


def test_missing_libraries_are_named_with_the_remedy(folder, monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(checkpoints.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r'pip install "keras_transformer\[huggingface\]"'):
        load_huggingface(folder)
    (folder / checkpoints.TENSORS).rename(folder / checkpoints.PICKLE)
    with pytest.raises(InputError, match=r"pip install torch, or save .* model\.safetensors"):
        load_huggingface(folder)


def test_what_is_wrong_is_said_with_its_file(folder, tmp_path):
    def refused(message, where=folder):
        with pytest.raises(InputError, match=message) as error:
            load_huggingface(where)
        assert str(where) in str(error.value)
        assert "\n" not in str(error.value)

    refused("config.json: cannot be read", tmp_path / "nowhere")
    tensors, config = folder / checkpoints.TENSORS, folder / checkpoints.CONFIG
    content = tensors.read_bytes()
    tensors.write_bytes(content[:100])
    refused(r"model\.safetensors: cannot be read")
    tensors.unlink()
    refused("holds no weights")
    (folder / "model.safetensors.index.json").write_text("{}")
    refused("lists no shards")
    tensors.write_bytes(content)
    values = json.loads(config.read_text())
    del values["hidden_size"]
    config.write_text(json.dumps(values))
    refused("lacks hidden_size")
    config.write_text("[]")
    refused("no JSON object")
    config.write_text("{")
    refused("is no JSON")
    with pytest.raises(InputError, match="is no folder"):
        Checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_size", None),
        ("vocab_size", "11"),
        ("num_hidden_layers", 0),
        ("intermediate_size", 2**31),
        ("hidden_dropout_prob", 1.5),
        ("layer_norm_eps", []),
        ("hidden_act", ["gelu"]),
        ("model_type", ["bert"]),
        ("architectures", "BertModel"),
        ("id2label", [1]),
    ],
)
def test_a_wrong_value_in_the_configuration_is_named(folder, name, value):
    path = folder / checkpoints.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(InputError, match=rf"config\.json: {name} "):
        load_huggingface(folder)


def test_what_is_no_json_object_is_refused(folder):
    for name in (checkpoints.CONFIG, "tokenizer_config.json"):
        (folder / name).write_text("null")
        with pytest.raises(InputError, match=f"{name}: is damaged"):
            load_huggingface_tokenizer(folder)
        (folder / name).unlink()
