"""StableHLO programs compute what the Keras model does, in a process without TensorFlow."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from keras_transformer.data.tokenizers.pair import Tokenizers
from keras_transformer.data.tokenizers.sentencepiece import SentencePieceTokenizer
from keras_transformer.data.tokenizers.wordpiece import WordPieceTokenizer
from keras_transformer.decoding.search import Search
from keras_transformer.errors import InputError
from keras_transformer.exporting.stablehlo import export_stablehlo
from keras_transformer.layers.cache import grow
from keras_transformer.models.transformer import Transformer
from keras_transformer.special_tokens import END, PAD, RESERVED_TOKENS, START
from keras_transformer.translating.translator import Translator

jax = pytest.importorskip("jax")
pytest.importorskip("jax.export")

SIZE = 37
ROOM = {"source_lengths": [12], "target_length": 14}

VARIANTS = {
    "post-norm, learned positions": {"positions": "learned", "norm_first": False},
    "tied, rotary, wide heads": {
        "tie_output": True,
        "share_embeddings": True,
        "positions": "rotary",
        "key_dim": 12,
    },
    "no positions": {"positions": "none", "activation": "gelu"},
    "bfloat16": {"dtype": "mixed_bfloat16"},
    "float16": {"dtype": "mixed_float16"},
    "depths apart": {"num_encoder_layers": 2},
}

STRANGER = """
import json, re, sys
from pathlib import Path
import jax, jax.export
import numpy as np

def load(name):
    exported = jax.export.deserialize(bytearray(Path("programs", f"{name}.jax").read_bytes()))
    return jax.jit(exported.call)

def greedy(source, room):
    shape = f"{len(source)}x{source.shape[1]}x{room}x1"
    decode_step = load(f"decode_step-{shape}")
    context, steps = load(f"encode-{shape}")(weights, source)
    tokens, found, scores = np.full((len(source), 1), 2, np.int32), [], []
    for position in range(room):
        logits, steps = decode_step(weights, tokens, np.int32(position), context, steps)
        tokens = np.array(logits)[..., 1:].argmax(-1).astype(np.int32) + 1  # padding is no token
        scores.append(logits[:, 0])
        found.append(tokens[:, 0])
    return np.stack(found, 1), np.stack(scores, 1)

asked = json.load(sys.stdin)
weights = jax.device_put(dict(np.load("weights.npz")))
answers = {}
for name, source in asked["sources"].items():
    answers[f"{name}_tokens"], answers[f"{name}_logits"] = greedy(
        np.array(source, np.int32), asked["room"]
    )
np.savez(asked["file"], **answers)
exec(re.search("```python\\n(.*?)```", Path("README.md").read_text(), re.DOTALL)[1])
assert not any(name.startswith(("tensorflow", "keras")) for name in sys.modules)
"""


def word_tokenizer(letter):
    words = [f"{letter}{i}" for i in range(len(RESERVED_TOKENS), SIZE)]
    return WordPieceTokenizer([*RESERVED_TOKENS, *words], normalization="none")


def random_model(**changes):
    """A model of random weights, all of which matter."""
    arguments = {
        "num_layers": 2,
        "d_model": 16,
        "num_heads": 2,
        "dff": 32,
        "input_vocab_size": SIZE,
        "target_vocab_size": SIZE,
        "norm_first": True,
        "max_length": 24,
        **changes,
    }
    model = Transformer(**arguments)
    generator = np.random.default_rng(2)
    for weight in model.trainable_variables:
        weight.assign(generator.normal(weight.name == "gamma", 0.35, weight.shape))
    return model


def random_translator(tokenizers=None, **changes):
    tokenizers = tokenizers or Tokenizers(word_tokenizer("a"), word_tokenizer("b"))
    return Translator(tokenizers, random_model(**changes), jit_compile=False)


def sources(*lengths):
    """Padded rows with so many tokens between start and end."""
    generator = np.random.default_rng(3)
    rows = np.full((len(lengths), ROOM["source_lengths"][0]), PAD, np.int32)
    for row, length in zip(rows, lengths, strict=True):
        ids = generator.integers(len(RESERVED_TOKENS), SIZE, length)
        row[: length + 2] = [START, *ids, END]
    return rows


def after_start(tokens):
    """What the model sees when it gives these tokens, ``(batch, length)``."""
    return np.pad(tokens, [[0, 0], [1, 0]], constant_values=START)[:, :-1]


def whole_logits(model, source, tokens):
    """Logits of the whole model for each of these tokens, ``(batch, length, vocab)``."""
    logits = model((source, after_start(tokens)), training=False)
    return tf.cast(logits, tf.float32).numpy()


def load(folder, name, **options):
    exported = jax.export.deserialize(bytearray((folder / "programs" / name).read_bytes()))
    return jax.jit(exported.call, **options)


@pytest.fixture(scope="module")
def translator():
    return random_translator()


@pytest.fixture(scope="module")
def search(translator):
    return Search(translator.transformer, start_id=START, end_id=END, jit_compile=False)


@pytest.fixture(scope="module")
def exported(translator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stablehlo") / "tiny"
    return export_stablehlo(translator, folder, batch_sizes=(1, 4), **ROOM)


@pytest.fixture(scope="module")
def manifest(exported):
    return json.loads((exported / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    return {
        "sources": {
            "one": sources(7).tolist(),
            "four": sources(10, 1, 4, 0).tolist(),
        },
        "room": ROOM["target_length"],
        "file": str(tmp_path_factory.mktemp("answers") / "answers.npz"),
    }


@pytest.fixture(scope="module")
def answers(exported, asked):
    """What a process that has only JAX makes of the folder, and what README.md's code printed."""
    done = subprocess.run(
        [sys.executable, "-c", STRANGER],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=exported,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {**np.load(asked["file"]), "printed": json.loads(done.stdout)}


@pytest.mark.parametrize("name", ["one", "four"])
def test_a_process_without_tensorflow_finds_the_live_searchs_tokens(name, answers, asked, search):
    source = np.array(asked["sources"][name])
    live = search(source, np.full(len(source), ROOM["target_length"])).tokens[:, 0].numpy()
    assert (live != PAD).sum() > 2 * len(source)
    for found, expected in zip(answers[f"{name}_tokens"], live, strict=True):
        count = np.count_nonzero(expected)  # the search pads what comes after the end
        np.testing.assert_array_equal(found[:count], expected[:count])


def test_its_logits_are_those_of_the_live_decode_step(answers, asked, translator):
    model, source = translator.transformer, tf.constant(asked["sources"]["four"])
    cache = model.initial_cache(model.encode(source))
    cache = grow(cache, ROOM["target_length"])
    tokens = after_start(answers["four_tokens"])
    for position, logits in enumerate(answers["four_logits"].swapaxes(0, 1)):
        live, cache = model.decode_step(tokens[:, position, np.newaxis], position, cache)
        np.testing.assert_allclose(logits, live[:, 0], atol=1e-4)


def test_beams_continue_their_parents(translator, tmp_path):
    """Every beam's logits are those of its own history in the whole model."""
    folder = export_stablehlo(translator, tmp_path, batch_sizes=[2], beam_sizes=[3], **ROOM)
    weights = dict(np.load(folder / "weights.npz"))
    decode_step = load(folder, "decode_step-2x12x14x3.jax")
    select_beams = load(folder, "select_beams-2x12x14x3.jax", donate_argnums=2)
    source, generator = sources(10, 2), np.random.default_rng(4)
    context, steps = load(folder, "encode-2x12x14x3.jax")(weights, source)
    histories = np.full((2, 3, 1), START, np.int32)
    for position in range(8):
        tokens = histories[:, :, -1]
        logits, steps = decode_step(weights, tokens, position, context, steps)
        for beam in range(3) if position in (0, 1, 7) else ():
            given = np.pad(histories[:, beam, 1:], [[0, 0], [0, 1]])  # the last is not looked at
            whole = whole_logits(translator.transformer, source, given)
            np.testing.assert_allclose(logits[:, beam], whole[:, -1], atol=1e-4)
        parents = generator.integers(0, 3, (2, 3), np.int32)
        steps = select_beams(weights, parents, steps)
        new = generator.integers(len(RESERVED_TOKENS), SIZE, (2, 3, 1), np.int32)
        histories = np.take_along_axis(histories, parents[..., np.newaxis], 1)
        histories = np.append(histories, new, -1)


def test_the_code_in_its_readme_translates(answers, search):
    source = np.full((1, ROOM["source_lengths"][0]), PAD)
    source[0, :3] = START, 4, END
    limits = [min(2 * 3 + 16, ROOM["target_length"])]
    live = search(source, limits).tokens[0, 0].numpy()
    assert answers["printed"] == [token for token in live.tolist() if token not in (PAD, END)]


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_every_kind_of_model_computes_the_same(changes, tmp_path):
    translator = random_translator(num_layers=1, **changes)
    folder = export_stablehlo(translator, tmp_path, batch_sizes=[2], **ROOM)
    weights = dict(np.load(folder / "weights.npz"))
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    source = sources(9, 3)
    tokens = np.random.default_rng(5).integers(4, SIZE, (2, ROOM["target_length"]))
    context, steps = load(folder, "encode-2x12x14x1.jax")(weights, source)
    decode_step = load(folder, "decode_step-2x12x14x1.jax", donate_argnums=4)
    previous, logits = np.full((2, 1), START, np.int32), []
    for position, column in enumerate(tokens.T):
        step, steps = decode_step(weights, previous, position, context, steps)
        logits.append(np.array(step[:, 0]))
        previous = column[:, np.newaxis].astype(np.int32)
    whole = whole_logits(translator.transformer, source, tokens)
    atol = {"mixed_bfloat16": 0.2, "mixed_float16": 0.02}.get(changes.get("dtype"), 1e-4)
    np.testing.assert_allclose(np.stack(logits, 1), whole, atol=atol)


def test_the_artifacts_are_old_portable_and_of_stablehlo_alone(exported, manifest):
    from jax.extend.mlir import ir
    from jax.extend.mlir.dialects import stablehlo
    from jax.interpreters import mlir

    assert manifest["stablehlo_version"] == "1.0.0" != stablehlo.get_current_version()
    go_on = ir.WalkResult.ADVANCE
    for program in manifest["programs"]:
        artifact = (exported / program["files"]["stablehlo"]).read_bytes()
        assert b"StableHLO_v1.0.0" in artifact[:32]
        with mlir.make_ir_context() as context:
            module = stablehlo.deserialize_portable_artifact(context, artifact)
            found = []
            module.operation.walk(lambda each, found=found: found.append(each) or go_on)
            names, text = {operation.name for operation in found}, str(module)
        assert {name.split(".")[0] for name in names} == {"builtin", "func", "stablehlo"}
        assert "stablehlo.custom_call" not in names
        assert "mhlo" not in text
        assert "tf." not in text


def test_another_consumer_runs_the_artifact_by_the_manifest(exported, manifest, asked, answers):
    """TensorFlow's own loader, with arguments and results as flat as the manifest has them."""
    arrays = {f"weights/{name}": array for name, array in np.load(exported / "weights.npz").items()}
    given = {**arrays, "source": np.array(asked["sources"]["four"], np.int32)}

    def run(name):
        program = next(
            program
            for program in manifest["programs"]
            if (program["name"], program["batch_size"]) == (name, 4)
        )
        results = xla.call_module(
            [given[argument["name"]] for argument in program["arguments"]],
            version=9,
            module=(exported / program["files"]["stablehlo"]).read_bytes(),
            Sout=[result["shape"] for result in program["results"]],
            Tout=[tf.as_dtype(result["dtype"]) for result in program["results"]],
            platforms=["CPU"],
        )
        for result, described in zip(results, program["results"], strict=True):
            given[described["name"]] = result.numpy()

    run("encode")
    given |= {"tokens": np.full((4, 1), START, np.int32), "position": np.int32(0)}
    run("decode_step")
    np.testing.assert_allclose(given["logits"], answers["four_logits"][:, :1], atol=1e-4)


def test_the_manifest_is_complete(exported, manifest, translator):
    names = [(each["name"], each["batch_size"]) for each in manifest["programs"]]
    assert names == [(name, rows) for rows in (1, 4) for name in ("encode", "decode_step")]
    weights = np.load(exported / "weights.npz")
    described = {each["name"]: each for each in manifest["weights"]["arrays"]}
    assert described.keys() == set(weights)
    for name, array in weights.items():
        assert (described[name]["shape"], described[name]["dtype"]) == (
            list(array.shape),
            array.dtype.name,
        )
    for program in manifest["programs"]:
        loaded = jax.export.deserialize(
            bytearray((exported / program["files"]["jax"]).read_bytes())
        )
        kept = [loaded.in_avals[i] for i in loaded.module_kept_var_idx]
        for avals, entries in ((kept, "arguments"), (loaded.out_avals, "results")):
            assert [(list(aval.shape), aval.dtype.name) for aval in avals] == [
                (each["shape"], each["dtype"]) for each in program[entries]
            ]
    ids = {"padding": PAD, "unknown": 1, "start": START, "end": END}
    assert (manifest["format_version"], manifest["special_ids"]) == (1, ids)
    assert manifest["limits"] == {
        "max_source_length": 24,
        "length_ratio": 2.0,
        "length_offset": 16,
        "max_length": 14,
    }
    again = Transformer.from_config(manifest["model"]["config"])
    assert again.count_params() == translator.transformer.count_params()


def test_weights_are_stored_once_under_names_that_do_not_drift(exported, translator, tmp_path):
    """Keras numbers layers through the whole process, and other tests have made some."""
    names = set(np.load(exported / "weights.npz"))
    assert len(names) == len(translator.transformer.trainable_weights) + 1
    assert "constants/0" in names  # the sinusoids
    assert "transformer/decoder/decoder_layer_1/cross_attention/layer_normalization/beta" in names
    folder = export_stablehlo(random_translator(), tmp_path, batch_sizes=[1], **ROOM)
    assert set(np.load(folder / "weights.npz")) == names


@pytest.mark.parametrize("kind", ["wordpiece", "sentencepiece"])
def test_the_tokenizers_lie_beside_it_and_the_readme_uses_them(kind, tmp_path, monkeypatch):
    lines = [f"o gato {verb} na casa ." for verb in ("dorme", "corre", "come", "canta")] * 5
    if kind == "sentencepiece":
        tokenizer = SentencePieceTokenizer.train(lines, vocab_size=290, normalization="none")
    else:
        tokenizer = WordPieceTokenizer.train(lines, vocab_size=SIZE, normalization="none")
    size = int(tokenizer.get_vocab_size())
    tokenizers = Tokenizers(tokenizer, tokenizer)
    translator = random_translator(tokenizers, input_vocab_size=size, target_vocab_size=size)
    folder = export_stablehlo(translator, tmp_path / "model", batch_sizes=[1], **ROOM)

    loaded = Tokenizers.load(folder / "tokenizers")
    ids = tokenizer.tokenize([lines[0]])[0].numpy().tolist()
    assert loaded.source.tokenize([lines[0]])[0].numpy().tolist() == ids
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for side in manifest["tokenizers"].values():
        assert (side["kind"], side["tokens"]) == (kind, size)
        assert (folder / side["file"]).is_file()

    monkeypatch.chdir(folder)
    code = re.findall("```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)
    names = {"text": lines[0], "found": ids[1:-1], "Path": type(folder)}
    exec(code[1], names)
    assert (names["source_ids"], names["translation"]) == (ids, lines[0])


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"batch_sizes": []}, "batch_sizes: give one or more"),
        ({"batch_sizes": [0]}, "batch_sizes: 0 is not a whole number above 0"),
        ({"beam_sizes": [2.5]}, "beam_sizes: 2.5 is not"),
        ({"source_lengths": [25]}, "source_lengths: 25 is more than the model's 24 positions"),
        ({"target_length": 0}, "target_length: 0 is not"),
        ({"target_length": 99}, "target_length: 99 is more than"),
    ],
)
def test_wrong_sizes_are_named(sizes, message, translator, tmp_path):
    with pytest.raises(InputError, match=message):
        export_stablehlo(translator, tmp_path / "model", **sizes)
    assert not (tmp_path / "model").exists()


def test_what_has_no_such_form_is_refused(tmp_path):
    with pytest.raises(InputError, match="a str has no StableHLO form"):
        export_stablehlo("model", tmp_path)
    with pytest.raises(InputError, match=r"computes mhlo\.erf, which is not in StableHLO"):
        export_stablehlo(random_translator(activation=tf.math.erf), tmp_path, batch_sizes=[1])
    with pytest.raises(InputError, match=r"cannot hold bfloat16: .* policy mixed_bfloat16"):
        export_stablehlo(random_translator(dtype="bfloat16"), tmp_path, batch_sizes=[1])
    assert not list(tmp_path.iterdir())


def test_without_jax_it_says_what_to_install(translator, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(InputError, match=r"pip install .keras_transformer\[stablehlo\]"):
        export_stablehlo(translator, tmp_path)


def test_versions_are_kept_and_folders_that_cannot_be_written_named(exported, translator, tmp_path):
    assert exported.name == "1"
    with pytest.raises(InputError, match="exists already"):
        export_stablehlo(translator, exported.parent, version=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        export_stablehlo(translator, tmp_path / "file" / "model")
