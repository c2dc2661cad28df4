"""Models of checkpoints compute what `transformers` does, and go back as they came."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.errors import InputError
from keras_transformer.interop.huggingface import load_huggingface, save_huggingface
from keras_transformer.models.bert import Bert
from keras_transformer.models.bert_pretraining import BertPretraining
from keras_transformer.models.gpt import GPT
from keras_transformer.models.recurrent_seq2seq import RecurrentSeq2Seq
from keras_transformer.models.vit import ViT

VOCABULARY = 40
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
TEXTS = {**SIZES, "vocab_size": VOCABULARY, "max_position_embeddings": 20}
ALBERT = {**TEXTS, "embedding_size": 16}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 24}
VIT = {**SIZES, "image_size": 16, "patch_size": 8}

KINDS = {  # architecture -> configuration
    "BertModel": TEXTS,
    "BertForPreTraining": {**TEXTS, "hidden_act": "relu"},
    "BertForMaskedLM": TEXTS,
    "BertForSequenceClassification": {**TEXTS, "num_labels": 3},
    "BertForTokenClassification": {**TEXTS, "num_labels": 5},
    "BertForQuestionAnswering": TEXTS,
    "AlbertModel": ALBERT,
    "AlbertForPreTraining": ALBERT,
    "AlbertForSequenceClassification": {**ALBERT, "num_labels": 3},
    "GPT2Model": GPT2,
    "GPT2LMHeadModel": {**GPT2, "n_inner": 40},
    "ViTModel": VIT,
    "ViTForImageClassification": {**VIT, "num_labels": 3, "layer_norm_eps": 1e-6},
}


@pytest.fixture(scope="module", params=KINDS)
def pair(request, peers, random_peer, tmp_path_factory):
    """A model of `transformers`, ours, and the folder between them."""
    kind = request.param
    family = next(name for name in ("Bert", "Albert", "GPT2", "ViT") if kind.startswith(name))
    config = getattr(peers, f"{family}Config")(**KINDS[kind])
    theirs = random_peer(kind, config)
    folder = tmp_path_factory.mktemp("checkpoint") / kind
    theirs.save_pretrained(folder)
    return theirs, load_huggingface(folder), folder


def padded_texts():
    """Token ids, segments, and which are real: rows of unequal lengths."""
    generator = np.random.default_rng(3)
    ids = generator.integers(1, VOCABULARY, (3, 9))
    real = np.arange(9) < np.array([[9], [4], [6]])
    segments = np.where(np.arange(9) >= 3, 1, 0) * real
    return ids * real, segments, real


def answers_of(model, inputs):
    """What a model of `transformers` says, as arrays."""
    import torch

    with torch.no_grad():
        result = model(**{name: torch.tensor(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in result.items() if hasattr(value, "numpy")}


def tensors_of(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def assert_close(ours, theirs):
    np.testing.assert_allclose(np.asarray(ours), theirs, atol=1e-4, rtol=0)


def compare(theirs, ours):
    """All that both say of the same inputs, at real positions."""
    if isinstance(ours, ViT):
        images = np.random.default_rng(4).normal(size=(2, 3, 16, 16)).astype(np.float32)
        answer = answers_of(theirs, {"pixel_values": images})
        channels_last = images.transpose(0, 2, 3, 1)
        if "logits" in answer:
            assert_close(ours(channels_last), answer["logits"])
        else:
            assert_close(ours.sequence_output(channels_last), answer["last_hidden_state"])
        return
    ids, segments, real = padded_texts()
    if isinstance(ours, GPT):
        answer = answers_of(theirs, {"input_ids": ids, "attention_mask": real.astype(int)})
        our_ids = (ids + 1) * real
        if "logits" in answer:
            assert_close(ours(our_ids).numpy()[real][:, 1:], answer["logits"][real])
        else:
            found = ours.decoder_output(tf.constant(our_ids)).numpy()
            assert_close(found[real], answer["last_hidden_state"][real])
        return
    inputs = {"input_ids": ids, "token_type_ids": segments, "attention_mask": real.astype(int)}
    answer, found = answers_of(theirs, inputs), ours((ids, segments))
    if isinstance(ours, Bert):
        assert_close(found.sequence.numpy()[real], answer["last_hidden_state"][real])
        assert_close(found.pooled, answer["pooler_output"])
    elif isinstance(found, dict):
        names = {"tokens": "prediction_logits", "next": "seq_relationship_logits"}
        names = {"tokens": "logits"} if "logits" in answer else names
        if "sop_logits" in answer:
            names["next"] = "sop_logits"
        if "start" in found:
            names = {"start": "start_logits", "end": "end_logits"}
        assert found.keys() == names.keys()
        for name, their_name in names.items():
            visible = ... if name == "next" else real
            assert_close(found[name].numpy()[visible], answer[their_name][visible])
    else:
        visible = real if answer["logits"].ndim == 3 else ...
        assert_close(found.numpy()[visible], answer["logits"][visible])


def test_the_same_results(pair):
    theirs, ours, _ = pair
    compare(theirs, ours)


def test_a_round_trip_changes_no_bit(pair, peers, tmp_path):
    theirs, ours, folder = pair
    save_huggingface(ours, tmp_path)
    before, after = tensors_of(folder), tensors_of(tmp_path)
    assert after.keys() == before.keys()
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype
        np.testing.assert_array_equal(after[name], tensor, err_msg=name)
    again, report = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert again.config.to_diff_dict().keys() >= theirs.config.to_diff_dict().keys()


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("BertModel", lambda: Bert(**small_bert(), activation="relu")),
        ("AlbertForPreTraining", lambda: BertPretraining(Bert(**small_bert(), **small_albert()))),
        ("GPT2LMHeadModel", lambda: small_gpt()),
        (
            "ViTForImageClassification",
            lambda: ViT(
                image_size=16,
                patch_size=8,
                num_classes=3,
                num_layers=1,
                d_model=16,
                num_heads=2,
                dff=24,
            ),
        ),
    ],
)
def test_a_model_made_here_is_one_there(peers, tmp_path, kind, make):
    keras.utils.set_random_seed(5)
    ours = make()
    save_huggingface(ours, tmp_path)
    theirs, report = getattr(peers, kind).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    compare(theirs.eval(), ours)


def small_bert():
    sizes = {"num_layers": 1, "d_model": 16, "num_heads": 2, "dff": 24}
    return {"vocab_size": VOCABULARY, "max_length": 12, **sizes}


def small_albert():
    return {"embedding_size": 8, "share_layers": True}


def small_gpt():
    return GPT(
        vocab_size=VOCABULARY + 1, num_layers=1, d_model=16, num_heads=2, dff=24, max_length=12
    )


@pytest.mark.parametrize(
    "pair", ["AlbertForPreTraining", "GPT2LMHeadModel", "ViTForImageClassification"], indirect=True
)
def test_a_head_can_be_left_out(pair):
    theirs, _, folder = pair
    ours = load_huggingface(folder, architecture=type(theirs.base_model).__name__)
    compare(theirs.base_model, ours)


def edited(folder, tmp_path, **changes):
    """A copy of a checkpoint with another configuration."""
    config = json.loads((folder / "config.json").read_text()) | changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    return tmp_path


REFUSED = {
    "BertModel": [
        {"position_embedding_type": "relative_key"},
        {"hidden_act": "quick_gelu"},
        {"is_decoder": True},
        {"pad_token_id": 1},
        {"model_type": "roberta"},
        {"architectures": ["BertForMultipleChoice"]},
    ],
    "AlbertModel": [{"num_hidden_groups": 2}, {"inner_group_num": 2}, {"embedding_size": 32}],
    "GPT2Model": [{"scale_attn_by_inverse_layer_idx": True}, {"add_cross_attention": True}],
    "ViTModel": [
        {"qkv_bias": False},
        {"image_size": "16"},
        {"patch_size": [8, 8, 3]},
        {"patch_size": None},
    ],
}


@pytest.mark.parametrize("pair", REFUSED, indirect=True)
def test_what_is_not_supported_is_refused_by_name(pair, tmp_path):
    theirs, _, folder = pair
    for change in REFUSED[type(theirs).__name__]:
        (name,) = change
        with pytest.raises(InputError, match=name.removesuffix("s")) as error:
            load_huggingface(edited(folder, tmp_path, **change))
        assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("pair", ["ViTModel"], indirect=True)
def test_a_value_that_makes_no_model_is_refused_with_its_file(pair, tmp_path):
    _, _, folder = pair
    changes = ({"num_attention_heads": 5}, {"hidden_size": "32"}, {"image_size": 18})
    for change in changes:
        config = edited(folder, tmp_path, **change)
        with pytest.raises(InputError, match="no ViTModel can be made of its values"):
            load_huggingface(config)


def test_images_and_patches_that_are_not_square(peers, random_peer, tmp_path):
    sizes = {**VIT, "image_size": [16, 24], "patch_size": [4, 8], "num_labels": 3}
    theirs = random_peer("ViTForImageClassification", peers.ViTConfig(**sizes))
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_huggingface(tmp_path / "theirs")
    images = np.random.default_rng(4).normal(size=(2, 3, 16, 24)).astype(np.float32)
    expected = answers_of(theirs, {"pixel_values": images})["logits"]
    assert_close(ours(images.transpose(0, 2, 3, 1)), expected)
    save_huggingface(ours, tmp_path / "ours")
    again = peers.ViTForImageClassification.from_pretrained(tmp_path / "ours")
    assert_close(answers_of(again, {"pixel_values": images})["logits"], expected)


def test_a_square_in_a_list_and_a_mask_token_of_pretraining(peers, random_peer, tmp_path):
    config = peers.ViTConfig(**{**VIT, "image_size": [16, 16], "patch_size": [8, 8]})
    theirs = random_peer("ViTForMaskedImageModeling", config)
    theirs.save_pretrained(tmp_path / "pretrained")
    with pytest.raises(InputError, match="'ViTForMaskedImageModeling' is not supported"):
        load_huggingface(tmp_path / "pretrained")
    ours = load_huggingface(tmp_path / "pretrained", architecture="ViTModel")
    images = np.random.default_rng(4).normal(size=(2, 3, 16, 16)).astype(np.float32)
    expected = answers_of(theirs.vit, {"pixel_values": images})["last_hidden_state"]
    assert_close(ours.sequence_output(images.transpose(0, 2, 3, 1)), expected)
    # The body alone, which keeps the token, as published checkpoints do.
    theirs.vit.save_pretrained(tmp_path / "body")
    assert "embeddings.mask_token" in tensors_of(tmp_path / "body")
    save_huggingface(load_huggingface(tmp_path / "body"), tmp_path / "saved")
    before, after = tensors_of(tmp_path / "body"), tensors_of(tmp_path / "saved")
    assert after.keys() == before.keys()
    np.testing.assert_array_equal(after["embeddings.mask_token"], before["embeddings.mask_token"])


@pytest.mark.parametrize("pair", ["BertForMaskedLM"], indirect=True)
def test_wrong_weights_are_refused_by_name(pair, tmp_path):
    from safetensors.numpy import save_file

    _, _, folder = pair
    tensors = tensors_of(folder)
    config = edited(folder, tmp_path)
    path = config / "model.safetensors"

    def refused(changes, message):
        save_file(changes, path)
        with pytest.raises(InputError, match=message):
            load_huggingface(config)

    name = "bert.embeddings.word_embeddings.weight"
    refused({**tensors, name: tensors[name][:-1]}, rf"{name} has the shape \(39, 32\)")
    refused({key: value for key, value in tensors.items() if key != name}, f"lacks {name}")
    refused({**tensors, "bert.extra": tensors[name]}, "no place for bert.extra")
    other = tensors[name] + np.float32(1)
    refused({**tensors, "cls.predictions.decoder.weight": other}, "tied")


@pytest.mark.parametrize("pair", ["BertForMaskedLM"], indirect=True)
def test_names_of_older_versions(pair, tmp_path):
    from safetensors.numpy import save_file

    theirs, _, folder = pair
    tensors = tensors_of(folder)
    old = {}
    for name, tensor in tensors.items():
        if "LayerNorm" in name:
            name = name.replace(".weight", ".gamma").replace(".bias", ".beta")
        old[name] = tensor
    old["bert.embeddings.position_ids"] = np.arange(20)[np.newaxis]
    old["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    old["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"]
    save_file(old, edited(folder, tmp_path) / "model.safetensors")
    ours = load_huggingface(tmp_path)
    compare(theirs, ours)
    save_huggingface(ours, tmp_path / "saved")
    assert tensors_of(tmp_path / "saved").keys() == tensors.keys()


@pytest.mark.parametrize("pair", ["GPT2LMHeadModel"], indirect=True)
def test_names_without_the_prefix_beside_a_head(pair, tmp_path):
    from safetensors.numpy import save_file

    theirs, _, folder = pair
    tensors = {
        name.removeprefix("transformer."): tensor for name, tensor in tensors_of(folder).items()
    }
    masks = {f"h.{i}.attn.bias": np.tril(np.ones((1, 1, 24, 24), np.float32)) for i in range(2)}
    save_file({**tensors, **masks}, edited(folder, tmp_path) / "model.safetensors")
    ours = load_huggingface(tmp_path)
    compare(theirs, ours)
    save_huggingface(ours, tmp_path / "saved")
    saved = tensors_of(tmp_path / "saved")
    assert saved.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(saved[name], tensor, err_msg=name)


@pytest.mark.parametrize("pair", ["GPT2LMHeadModel", "BertForPreTraining"], indirect=True)
def test_a_loaded_model_is_saved_as_any_other(pair, tmp_path):
    theirs, ours, _ = pair
    ours.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    compare(theirs, again)
    save_huggingface(again, tmp_path)  # which needs not know where it came from
    compare(theirs, load_huggingface(tmp_path))


def test_other_models_have_no_such_form(tmp_path):
    other = RecurrentSeq2Seq(
        units=8, num_layers=1, input_vocab_size=10, target_vocab_size=10, embedding_size=8
    )
    with pytest.raises(InputError, match="RecurrentSeq2Seq has no form"):
        save_huggingface(other, tmp_path)
    wide = Bert(**small_bert(), embedding_size=8)
    with pytest.raises(InputError, match="width of the model"):
        save_huggingface(wide, tmp_path)
    with pytest.raises(InputError, match="dtype is one of"):
        save_huggingface(Bert(**small_bert()), tmp_path, dtype="int8")
