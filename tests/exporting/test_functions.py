"""Signatures from the file itself answer as those that TensorFlow loads."""

import gc
import time

import numpy as np
import pytest
import tensorflow as tf

from keras_transformer import internals
from keras_transformer.exporting.functions import ExportedFunctions


class Small(tf.Module):
    """Signatures with variables, constants, loops, conditions, and programs of XLA."""

    def __init__(self, factor):
        super().__init__()
        self.weights = [tf.Variable(tf.fill([3], factor)), tf.Variable(2, dtype=tf.int32)]
        self.half = tf.Variable(tf.constant([0.5, 0.25, 0.125], tf.float16))
        self.words = tf.constant(["a", "b", "c"])

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.float32, "x"), tf.TensorSpec([], tf.int32, "n")]
    )
    def powers(self, x, n):
        _, y = tf.while_loop(
            lambda i, y: i < n,
            lambda i, y: (i + 1, self.scaled(y)),
            (0, x),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
        )
        return {"z": y, "a": tf.cond(n > 2, lambda: self.words[:1], lambda: self.words[1:])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def scaled(self, x):
        return x * self.weights[0] * tf.cast(self.weights[1], tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")], jit_compile=True)
    def compiled(self, x):
        return {"z": self.scaled(x) + tf.cast(self.half, tf.float32)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    paths = []
    for factor in (1.5, 3.0):
        module = Small(factor)
        paths.append(folder / str(factor))
        signatures = {"powers": module.powers, "compiled": module.compiled}
        tf.saved_model.save(module, str(paths[-1]), signatures=signatures)
    return paths


X = tf.constant([1.0, 2.0, 3.0])


def check(functions, folder):
    loaded = tf.saved_model.load(str(folder))
    assert set(functions) == set(loaded.signatures)
    for name, inputs in (
        ("powers", {"x": X, "n": tf.constant(3)}),
        ("powers", {"n": tf.constant(0), "x": X}),
        ("compiled", {"x": X}),
    ):
        found, expected = functions[name](**inputs), loaded.signatures[name](**inputs)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key].numpy(), value.numpy())


def test_signatures_answer_as_tensorflow_has_them(saved):
    for folder in saved:
        check(ExportedFunctions(folder), folder)
        functions = ExportedFunctions(folder, patience=0.0)  # optimised after their first calls
        for _ in range(3):
            check(functions, folder)
            time.sleep(0.2)


def test_two_models_do_not_disturb_one_another(saved):
    first, again, other = (ExportedFunctions(folder) for folder in (saved[0], saved[0], saved[1]))
    check(other, saved[1])
    check(again, saved[0])
    del again
    gc.collect()
    check(first, saved[0])


def test_the_runtime_forgets_a_model_that_nobody_has(saved):
    before = internals.functions_of_runtime()
    functions = ExportedFunctions(saved[0])
    functions["compiled"](x=X)
    own = {
        name for name in internals.functions_of_runtime() - before if name.startswith("exported_")
    }
    assert len(own) >= 3
    function = functions["compiled"]
    del functions
    gc.collect()
    np.testing.assert_allclose(function(x=X)["z"], [3.5, 6.25, 9.125])
    del function
    gc.collect()
    assert not own & internals.functions_of_runtime()


def test_a_model_with_a_table_is_loaded_by_tensorflow(tmp_path):
    class WithTable(tf.Module):
        def __init__(self):
            super().__init__()
            values = tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2])
            self.table = tf.lookup.StaticHashTable(values, -1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
        def find(self, text):
            return {"number": self.table.lookup(text)}

    module = WithTable()
    tf.saved_model.save(module, str(tmp_path), signatures={"find": module.find})
    functions = ExportedFunctions(tmp_path)
    found = functions["find"](text=tf.constant(["b", "x"]))["number"]
    assert found.numpy().tolist() == [2, -1]


def test_wrong_arguments_and_files(saved, tmp_path):
    powers = ExportedFunctions(saved[0])["powers"]
    with pytest.raises(TypeError, match="The signature takes n, x; got x"):
        powers(x=X)
    with pytest.raises((TypeError, ValueError)):
        powers(x=tf.constant(["a"]), n=1)
    with pytest.raises(KeyError):
        ExportedFunctions(saved[0])["other"]
    with pytest.raises(OSError):
        ExportedFunctions(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff")
    with pytest.raises(ValueError, match="is no SavedModel"):
        ExportedFunctions(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ValueError, match="no graph tagged 'serve'"):
        ExportedFunctions(tmp_path)
