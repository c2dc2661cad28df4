"""Private API of TensorFlow and Keras is used in one module only."""

import re
from pathlib import Path

import pytest
import tensorflow as tf

import keras_transformer
from keras_transformer import internals

PACKAGE = Path(keras_transformer.__file__).parent

PRIVATE = re.compile(
    # Modules behind the public API; those of tensorflow.core are messages of public formats.
    r"(tensorflow|tensorflow_text)\.(python|compiler)\b"
    r"|\bkeras\.src\b|\b(tf|keras)\.__internal__"
    # Attributes with an underscore that are not of the class itself, save documented ones.
    r"|(?<!\bself)(?<!\bcls)(?<=[\w\])])\._(?!asdict|replace|exit\b)[a-z]\w*"
    # Those of Keras' classes that a subclass inherits.
    r"|\bself\._(keras_mask|symbolic_build|initial_epoch|get_variable_index|momentums|velocities)"
    r"|[\"']_keras_mask"
)


@pytest.mark.parametrize(
    "path",
    sorted(PACKAGE.rglob("*.py")),
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_no_other_module_uses_private_api(path):
    if path.name == "internals.py":
        pytest.skip("it is the one that may")
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [
        f"{number}: {line.strip()}"
        for number, line in enumerate(lines, 1)
        if PRIVATE.search(line) and not line.lstrip().startswith(("import _", "from ._"))
    ]
    assert not found, found


def test_the_pattern_finds_what_the_module_holds():
    assert len(PRIVATE.findall(Path(internals.__file__).read_text(encoding="utf-8"))) >= 12


def test_it_tells_functions_that_xla_compiles():
    def question(x):
        return x + float(internals.compiled_by_xla())

    assert question(1.0) == 1
    assert tf.function(question)(tf.constant(1.0)) == 1
    assert tf.function(question, jit_compile=True)(tf.constant(1.0)) == 2


def test_tensors_of_a_function_are_reachable_in_it_and_in_functions_inside_it():
    seen = []

    @tf.function(autograph=False)
    def outer(x):
        seen.append(x + 1)

        @tf.function(autograph=False)
        def inner(y):
            assert internals.is_reachable(seen[0])
            return y

        assert internals.is_reachable(seen[0])
        return inner(x)

    outer(tf.constant(1.0))
    assert not internals.is_reachable(seen[0])
    assert internals.is_reachable(tf.constant(1.0))
    assert tf.function(lambda x: x if internals.is_reachable(tf.constant(1)) else -x)(2) == 2
