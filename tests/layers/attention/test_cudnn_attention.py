"""Custom calls for cuDNN: what JAX emits for the same attention, looked at without a GPU."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer.layers.attention import cudnn
from keras_transformer.layers.attention.dot_product import dot_product_attention

BATCH, HEADS, DEPTH = 2, 4, 64
QUERIES, KEYS = 128, 192
SCALE = 0.125

CASES = {
    "plain": {},
    "causal": {"causal": True},
    "padding": {"key_lengths": True},
    "padding-causal": {"key_lengths": True, "causal": True},
    "dropout": {"dropout_rate": 0.1},
    "mask": {"mask": True},
    "mask-dropout-padding": {"mask": True, "dropout_rate": 0.1, "key_lengths": True},
}
DTYPES = pytest.mark.parametrize("dtype", ["bfloat16", "float16"])


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def specs(dtype="bfloat16", depth=DEPTH, queries=QUERIES, keys=KEYS):
    lengths = queries, keys, keys, queries
    return [tf.TensorSpec((BATCH, length, HEADS, depth), dtype) for length in lengths]


def lowered(case, dtype) -> str:
    """The module of output and gradients, for NVIDIA GPUs."""
    extra = {
        "key_lengths": tf.TensorSpec((BATCH,), tf.int32),
        "mask": tf.TensorSpec((BATCH, 1, QUERIES, KEYS), tf.bool),
    }
    names = [name for name in extra if name in case]
    known = {name: value for name, value in case.items() if name not in names}
    if "dropout_rate" in case:
        known["seed"] = (0, 42)

    @tf.function(jit_compile=True)
    def call(query, key, value, output_gradient, *tensors):
        with tf.GradientTape() as tape:
            tape.watch((query, key, value))
            output = dot_product_attention(
                query,
                key,
                value,
                implementation="cudnn",
                **known,
                **dict(zip(names, tensors, strict=True)),
            )
        return output, *tape.gradient(output, (query, key, value), output_gradient)

    arguments = [*specs(dtype), *(extra[name] for name in names)]
    generate = call.experimental_get_compiler_ir(*arguments)
    return generate(stage="stablehlo", platform_name="GPU")


def custom_calls(module) -> dict[str, tuple[dict, list[str]]]:
    """Configuration and types of the custom calls in a module's text, by their targets.

    The types are those of operands and results in turn.
    """
    calls = {}
    for line in module.splitlines():
        if found := re.search(r"stablehlo\.custom_call @\"?(__cudnn[\w$]+)", line):
            (text,) = re.findall(r'backend_config = "((?:[^"\\]|\\.)*)"', line)
            text = re.sub(r"\\([0-9A-F]{2})", lambda code: chr(int(code[1], 16)), text)
            calls[found[1]] = (
                json.loads(text),
                re.findall("tensor<[^>]*>", line.rsplit(" : ", 1)[1]),
            )
    return calls


def lowered_by_jax(case, dtype, monkeypatch) -> str:
    jax = pytest.importorskip("jax")
    fused = pytest.importorskip("jax._src.cudnn.fused_attention_stablehlo")
    monkeypatch.setattr(fused, "check_cudnn_version", lambda: 91000)
    monkeypatch.setattr(fused, "check_compute_capability", lambda _: True)
    monkeypatch.setattr(fused, "is_cuda_compute_capability_equal", lambda _: False)
    kinds = {(0, 0): "NO_MASK", (1, 0): "PADDING", (0, 1): "CAUSAL", (1, 1): "PADDING_CAUSAL"}
    kind = kinds["key_lengths" in case, "causal" in case]

    def call(query, key, value, output_gradient):
        options = {}
        if "key_lengths" in case:
            options["q_seqlen"] = options["kv_seqlen"] = jax.numpy.ones(BATCH, "int32")
        if "mask" in case:
            options["bias"] = jax.numpy.ones((BATCH, 1, QUERIES, KEYS), dtype)

        def attend(*inputs):
            return fused.dot_product_attention(
                *inputs,
                **options,
                scale=SCALE,
                mask_type=fused.MaskType[kind],
                dropout_rate=case.get("dropout_rate", 0.0),
                seed=42 if "dropout_rate" in case else 0,
                qkv_layout="BNTH",
            )

        output, gradients = jax.vjp(attend, query, key, value)
        return output, gradients(output_gradient)

    shapes = [
        jax.ShapeDtypeStruct((BATCH, HEADS, length, DEPTH), dtype)
        for length in (QUERIES, KEYS, KEYS, QUERIES)
    ]
    export = pytest.importorskip("jax.export")
    return export.export(
        jax.jit(call),
        platforms=["cuda"],
        disabled_checks=[
            export.DisabledSafetyCheck.custom_call(f"__cudnn$fmha{bias}Softmax{dropout}{suffix}")
            for bias in ("", "ScaleBias")
            for dropout in ("", "Dropout")
            for suffix in ("", "Backward")
        ],
    )(*shapes).mlir_module()


@DTYPES
def test_the_calls_are_those_that_jax_emits(case, dtype, monkeypatch):
    ours = custom_calls(lowered(case, dtype))
    theirs = custom_calls(lowered_by_jax(case, dtype, monkeypatch))
    assert len(ours) == 2
    assert ours.keys() == theirs.keys()
    for target, (configuration, types) in ours.items():
        assert configuration == theirs[target][0]
        assert types == theirs[target][1]


def test_targets_and_masks_are_named_after_the_case(case):
    calls = custom_calls(lowered(case, "bfloat16"))
    name = "__cudnn$fmha{}Softmax{}".format(
        "ScaleBias" if "mask" in case else "", "Dropout" if "dropout_rate" in case else ""
    )
    assert list(calls) == [name, f"{name}Backward"]
    parts = [
        part for part, key in (("PADDING", "key_lengths"), ("CAUSAL", "causal")) if key in case
    ]
    for configuration, _ in calls.values():
        attention = configuration["cudnn_fmha_backend_config"]
        assert attention["mask_type"] == ("_".join(parts) or "NO_MASK")
        assert attention["fmha_scale"] == SCALE


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"dtype": "float32"}, {}, "the dtype is float32"),
        ({"depth": 60}, {}, "the head size, 60, is not a multiple of 8 up to 128"),
        ({"depth": 256}, {}, "the head size, 256"),
        ({"queries": None}, {}, "shapes are not known"),
        ({"keys": 0}, {}, "empty"),
        ({}, {"causal": True, "query_offset": 1}, "query_offset is not 0"),
        ({"keys": 191}, {"mask": np.ones((1, 191), bool)}, "even lengths, not 128 and 191"),
    ],
)
def test_what_cudnn_cannot_do_is_refused_by_name(changes, options, message):
    call = tf.function(
        lambda q, k, v: dot_product_attention(q, k, v, implementation="cudnn", **options),
        jit_compile=True,
    )
    with pytest.raises(ValueError, match=message):
        call.get_concrete_function(*specs(**changes)[:3])


def test_seeds_must_be_known_when_tracing():
    call = tf.function(
        lambda seed, q, k, v: dot_product_attention(
            q, k, v, implementation="cudnn", dropout_rate=0.1, seed=seed
        ),
        jit_compile=True,
    )
    with pytest.raises(ValueError, match="the seed of dropout is not known"):
        call.get_concrete_function(tf.TensorSpec((2,), tf.int64), *specs()[:3])


def test_it_exists_in_compiled_programs_only():
    inputs = [tf.zeros(spec.shape, spec.dtype) for spec in specs()[:3]]
    with pytest.raises(ValueError, match=r"tf\.function\(jit_compile=True\)"):
        dot_product_attention(*inputs, implementation="cudnn")


@pytest.mark.parametrize(
    ("capability", "obstacle"),
    [(None, "no CUDA device"), ((7, 5), r"\(7, 5\)"), ((8, 0), None), ((9, 0), None)],
)
def test_auto_takes_it_under_xla_on_recent_devices(capability, obstacle, monkeypatch):
    monkeypatch.setattr(cudnn, "compute_capability", lambda: capability)

    def check():
        found = cudnn.missing_device()
        assert (found is None) if obstacle is None else re.search(obstacle, found)
        return tf.constant(0)

    tf.function(check, jit_compile=True)()
    assert "XLA does not" in cudnn.missing_device()


def test_auto_emits_the_call_where_it_may(monkeypatch):
    """And heads of 256 once the device is recent enough."""
    monkeypatch.setattr(cudnn, "compute_capability", lambda: (9, 0))
    traced = []

    @tf.function(jit_compile=True)
    def call(query, key, value):
        dot_product_attention(query, key, value)
        traced.extend(op.type for op in tf.compat.v1.get_default_graph().get_operations())
        return query

    call(*(tf.zeros(spec.shape, spec.dtype) for spec in specs(depth=256)[:3]))
    assert "XlaCustomCallV2" in traced
