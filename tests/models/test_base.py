"""What models of tokens share."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transformer as kt
from keras_transformer.errors import InputError

SIZES = {"num_layers": 1, "d_model": 8, "num_heads": 2, "dff": 16}
SIZES |= {"input_vocab_size": 9, "target_vocab_size": 9}
IDS = np.array([[2, 5, 6, 3], [2, 7, 3, 0]], np.int32)
INPUTS, LABELS = (IDS, IDS[:, :-1]), IDS[:, 1:]
DATA = {
    "arrays": (INPUTS, LABELS),
    "tensors": (tuple(map(tf.constant, INPUTS)), tf.constant(LABELS)),
    "data set": (tf.data.Dataset.from_tensors((INPUTS, LABELS)),),
}


class Traced(kt.Transformer):
    """Counts how often its training step is traced, or run eagerly."""

    traces = 0

    def train_step(self, data):
        self.traces += 1
        return super().train_step(data)


def fitted(data, optimizer, built=False, **options):
    """A model after `fit`, and the history."""
    keras.utils.set_random_seed(1)
    model = Traced(**SIZES)
    if built:
        model(INPUTS)
    model.compile(optimizer, kt.masked_loss, metrics=[kt.masked_accuracy], **options)
    return model, model.fit(*data, epochs=3, shuffle=False, verbose=0).history


@pytest.mark.parametrize("call", ["call", "function", "predict", "fit"])
def test_an_error_of_a_layer_is_its_one_line(call):
    model = kt.Transformer(**SIZES, max_length=3)
    model.compile("adam", kt.masked_loss)
    calls = {
        "call": model,
        "function": tf.function(model),
        "predict": lambda inputs: model.predict(inputs, verbose=0),
        "fit": lambda inputs: model.fit(inputs, LABELS, verbose=0),
    }
    with pytest.raises(InputError, match="4 tokens is longer than the 3 positions") as raised:
        calls[call](INPUTS)
    assert len(str(raised.value).splitlines()) == 1
    assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize("inputs", [IDS, (IDS,), (IDS, IDS, IDS)], ids=["one", "few", "many"])
@pytest.mark.parametrize("family", [kt.Transformer, kt.RecurrentSeq2Seq])
def test_a_model_that_translates_wants_a_pair(family, inputs):
    sizes = SIZES if family is kt.Transformer else {"units": 8, **dict(list(SIZES.items())[-2:])}
    with pytest.raises(InputError, match="pair \\(source, target\\)") as raised:
        family(**sizes)(inputs)
    assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_fit_traces_its_step_once(data, built):
    model, history = fitted(data, kt.Adam(0.01), built)
    assert model.traces == 1
    assert history["loss"][-1] < history["loss"][0]
    model.fit(*data, epochs=2, shuffle=False, verbose=0)
    assert model.traces == 1


def test_what_is_made_before_the_step_changes_nothing():
    expected, history = fitted(DATA["arrays"], keras.optimizers.Adam(0.01), run_eagerly=True)
    assert expected.traces == 3  # a step is run in Python, and Keras alone has made everything
    found, same = fitted(DATA["arrays"], keras.optimizers.Adam(0.01))
    assert same.keys() == history.keys()
    np.testing.assert_allclose(same["loss"], history["loss"], rtol=1e-4)
    for one, other in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_data_that_does_not_say_what_its_batches_are_is_left_to_keras():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, _):
            return INPUTS, LABELS

    _, history = fitted((Batches(),), kt.Adam(0.01))
    assert history["loss"][-1] < history["loss"][0]


def test_wrong_use_of_fit_is_told():
    model = Traced(**SIZES)
    with pytest.raises(ValueError, match="compile"):
        model.fit(INPUTS, LABELS)
    model.compile("adam", kt.masked_loss)
    with pytest.raises(InputError, match="pair"):
        model.fit(IDS, LABELS, verbose=0)  # a source without a target
