"""Attention, model and loss equal PyTorch's with the same weights.

The default tests read the answers in ``torch_answers.npz``, which ``record_torch_answers.py`` made.
The slow ones ask the installed PyTorch for new answers to other numbers.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.layers.cache import grow

HERE = Path(__file__).parent
COMMITTED = HERE / "torch_answers.npz"
SEED = 2017  # of the committed answers


def record(output: Path, seed: int) -> Path:
    pytest.importorskip("torch")
    script = HERE / "record_torch_answers.py"
    subprocess.run(
        [sys.executable, "-W", "ignore", script, "--output", output, "--seed", str(seed)],
        check=True,
    )
    return output


@pytest.fixture(scope="module", params=["recorded", pytest.param("live", marks=pytest.mark.slow)])
def answers(request, tmp_path_factory):
    """All answers by name."""
    if request.param == "recorded":
        path = COMMITTED
    else:
        path = record(tmp_path_factory.mktemp("torch") / "live.npz", seed=SEED + 100)
    with np.load(path) as archive:
        return dict(archive)


def part(answers, prefix):
    """The answers whose names begin with ``prefix/``, without it."""
    prefix += "/"
    return {name[len(prefix) :]: x for name, x in answers.items() if name.startswith(prefix)}


# PyTorch's weights in our layers. PyTorch stores (out, in) and all heads in one axis.


def copy_attention(mha, weights):
    """Copies `nn.MultiheadAttention`, whose one matrix holds queries, keys and values."""
    heads, key_dim = mha.query_dense.kernel.shape[1:]
    kernels = np.split(weights["in_proj_weight"], 3)
    biases = np.split(weights["in_proj_bias"], 3)
    layers = (mha.query_dense, mha.key_dense, mha.value_dense)
    for layer, kernel, bias in zip(layers, kernels, biases, strict=True):
        layer.kernel.assign(kernel.T.reshape(-1, heads, key_dim))
        layer.bias.assign(bias.reshape(heads, key_dim))
    mha.output_dense.kernel.assign(weights["out_proj.weight"].T.reshape(heads, key_dim, -1))
    mha.output_dense.bias.assign(weights["out_proj.bias"])


def copy_norm(layer, weights, name):
    layer.gamma.assign(weights[f"{name}.weight"])
    layer.beta.assign(weights[f"{name}.bias"])


def copy_dense(layer, weights, name):
    layer.kernel.assign(weights[f"{name}.weight"].T)
    layer.bias.assign(weights[f"{name}.bias"])


def copy_layer(attentions, feed_forward, weights):
    """Copies an encoder or decoder layer; `attentions` are ours by PyTorch's names."""
    for number, (name, attention) in enumerate(attentions.items(), 1):
        copy_attention(
            attention.mha,
            {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(name)},
        )
        copy_norm(attention.layernorm, weights, f"norm{number}")
    copy_dense(feed_forward.seq.layers[0], weights, "linear1")
    copy_dense(feed_forward.seq.layers[1], weights, "linear2")
    copy_norm(feed_forward.layer_norm, weights, f"norm{len(attentions) + 1}")


def copy_model(model, weights):
    """Copies `nn.Transformer` with embeddings and generator; every weight must find its place."""
    left = set(weights)

    def below(prefix):
        found = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        left.difference_update(prefix + name for name in found)
        return found

    for side, stack in (("source", model.encoder), ("target", model.decoder)):
        table = below(f"{side}_embedding.")["weight"]
        stack.pos_embedding.embedding.embeddings.assign(table)
    for i, layer in enumerate(model.encoder.enc_layers):
        own = below(f"transformer.encoder.layers.{i}.")
        copy_layer({"self_attn": layer.self_attention}, layer.ffn, own)
    for i, layer in enumerate(model.decoder.dec_layers):
        attentions = {
            "self_attn": layer.causal_self_attention,
            "multihead_attn": layer.cross_attention,
        }
        copy_layer(attentions, layer.ffn, below(f"transformer.decoder.layers.{i}."))
    for name, stack in (("encoder", model.encoder), ("decoder", model.decoder)):
        norm = below(f"transformer.{name}.norm.")
        assert bool(norm) == (stack.final_norm is not None)
        if norm:
            copy_norm(stack.final_norm, {f"norm.{k}": v for k, v in norm.items()}, "norm")
    copy_dense(model.final_layer, {f"x.{k}": v for k, v in below("generator.").items()}, "x")
    assert not left


@pytest.mark.parametrize(
    ("case", "padding", "causal"),
    [
        ("cross", None, False),
        ("cross_padded", "memory_padding", False),
        ("self", None, False),
        ("self_padded", "query_padding", False),
        ("self_causal", None, True),
        ("self_padded_causal", "query_padding", True),
    ],
)
def test_multi_head_attention(case, padding, causal, answers):
    answers = part(answers, "attention")
    query = answers["query"]
    width = query.shape[-1]
    layer = kt.MultiHeadAttention(width, answers["self/attention"].shape[1])
    layer.build(query.shape)
    copy_attention(layer, part(answers, "weights"))
    keys = answers["memory"] if case.startswith("cross") else query
    mask = None if padding is None else answers[padding].astype("float32")[:, None, None, :]
    output, weights = layer(v=keys, k=keys, q=query, mask=mask, causal=causal)
    np.testing.assert_allclose(output, answers[f"{case}/output"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(weights, answers[f"{case}/attention"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", ["post_norm", "pre_norm"])
def test_transformer(case, answers):
    answers = part(answers, case)
    weights = part(answers, "weights")
    vocabulary, width = weights["source_embedding.weight"].shape
    model = kt.Transformer(
        num_layers=2,
        d_model=width,
        num_heads=2,
        dff=weights["transformer.encoder.layers.0.linear1.bias"].size,
        input_vocab_size=vocabulary,
        target_vocab_size=vocabulary,
        dropout_rate=0.0,
        activation="relu" if case == "post_norm" else "gelu",
        norm_first=case == "pre_norm",
        layer_norm_epsilon=1e-5,
        positions="interleaved",
        max_length=16,
    )
    copy_model(model, weights)
    assert model.count_params() == sum(x.size for x in weights.values())

    source, target, label = answers["source"], answers["target"], answers["label"]
    with tf.GradientTape() as tape:
        logits = model((source, target))
        loss = kt.masked_loss(label, logits)
    real = target != 0
    np.testing.assert_allclose(logits.numpy()[real], answers["logits"][real], rtol=0, atol=1e-5)
    assert float(loss) == pytest.approx(float(answers["loss"]), abs=1e-5)

    tables = [
        model.encoder.pos_embedding.embedding.embeddings,
        model.decoder.pos_embedding.embedding.embeddings,
        model.final_layer.kernel,
    ]
    names = ("source_embedding", "target_embedding", "generator")
    for name, gradient in zip(names, tape.gradient(loss, tables), strict=True):
        expected = answers[f"gradients/{name}.weight"]
        expected = expected.T if name == "generator" else expected
        real_rows = slice(None) if name == "generator" else slice(1, None)
        np.testing.assert_allclose(
            tf.convert_to_tensor(gradient)[real_rows], expected[real_rows], rtol=0, atol=1e-5
        )

    cache = model.initial_cache(model.encode(tf.constant(source)))
    cache = grow(cache, target.shape[1])
    for position in range(target.shape[1]):
        step, cache = model.decode_step(
            tf.constant(target[:, position : position + 1]), tf.constant(position), cache
        )
        rows = real[:, position]
        np.testing.assert_allclose(
            step.numpy()[rows, 0], answers["logits"][rows, position], rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_cross_entropy(smoothing, answers):
    answers = part(answers, "cross_entropy")
    label, logits = answers["label"], tf.Variable(answers["logits"])
    with tf.GradientTape() as tape:
        loss = kt.MaskedLoss(label_smoothing=smoothing)(label, logits)
    assert float(loss) == pytest.approx(float(answers[f"loss/{smoothing}"]), abs=1e-5)
    np.testing.assert_allclose(
        tape.gradient(loss, logits), answers[f"gradient/{smoothing}"], rtol=0, atol=1e-6
    )
    if not smoothing:
        assert float(kt.masked_loss(label, logits)) == pytest.approx(float(loss), abs=1e-6)


def test_the_committed_answers_are_small():
    assert COMMITTED.stat().st_size < 100_000


@pytest.mark.slow
def test_the_committed_answers_are_those_of_the_script(tmp_path):
    with np.load(COMMITTED) as committed, np.load(record(tmp_path / "new.npz", SEED)) as new:
        assert set(committed) == set(new)
        for name in committed:
            np.testing.assert_allclose(new[name], committed[name], rtol=0, atol=1e-5, err_msg=name)
