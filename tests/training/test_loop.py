"""The loop: what ends it, what it keeps, what it hands to callbacks. The step is a stand-in."""

import contextlib
import json
import threading

import keras
import pytest

from keras_transformer.config import TrainingConfig
from keras_transformer.errors import InputError
from keras_transformer.training.loop import Progress, TrainingLoop, prefetched
from keras_transformer.training.step import StepResult


class FakeBatches:
    """Five batches an epoch, told apart by epoch and number."""

    def __len__(self):
        return 5

    def epoch(self, number, start=0):
        yield from ((number, batch) for batch in range(start, 5))


class FakeStep:
    """Remembers what it was called with; every batch has 10 tokens and a loss of 2 each."""

    def __init__(self, losses=(), requests=(False, False)):
        self.model = keras.Model()
        self.model.d_model = 64
        self.losses = dict(losses)
        self.requests = requests
        self.seen = []
        self.rates = []
        self.is_averaged = False

    def __call__(self, batches, learning_rate, step, requests):
        self.seen.append(list(batches))
        self.rates.append(learning_rate)
        both = tuple(one or other for one, other in zip(requests, self.requests, strict=True))
        return StepResult(self.losses.get(step, 20.0), 5.0, 10.0, 1.0, both)

    @contextlib.contextmanager
    def averaged(self):
        self.is_averaged = True
        yield
        self.is_averaged = False


class FakeFolder:
    """Notes what is saved, and that weights are averages and checkpoints are not."""

    def __init__(self, step, saved):
        self.step, self.saved = step, saved
        self.logged = 0

    def save_checkpoint(self, step, progress):
        assert step is self.step
        assert not step.is_averaged
        self.saved.append(("checkpoint", progress.epoch, progress.batch))

    def save_weights(self, model):
        assert model is self.step.model
        assert self.step.is_averaged
        self.saved.append(("best", self.logged))

    def write_log(self, history):
        self.logged = len(history)


def _loop(step, scores=(), progress=None, **recipe):
    """A loop with a list of what it saved; validation gives one score after the other."""
    scores = iter([*scores, *[0.0] * 100])
    saved = []

    def validation():
        score = next(scores)
        assert step.is_averaged
        return {"val_loss": -score, "val_masked_accuracy": 0.5}, score

    loop = TrainingLoop(
        TrainingConfig(**{"epochs": None, **recipe}),
        step,
        FakeBatches(),
        validation=validation,
        folder=FakeFolder(step, saved),
        progress=progress,
    )
    return loop, saved


def test_epochs_end_it_and_each_batch_comes_once():
    step = FakeStep()
    loop, saved = _loop(step, scores=[1.0, 3.0, 2.0], epochs=3)
    progress = loop.run()
    assert [batch for [batch] in step.seen] == [(e, b) for e in range(3) for b in range(5)]
    assert (progress.step, progress.epoch, progress.batch) == (15, 3, 0)
    assert (progress.best_score, progress.best_epoch) == (3.0, 2)
    assert saved == [
        ("best", 0),
        ("checkpoint", 1, 0),
        ("best", 1),
        ("checkpoint", 2, 0),
        ("checkpoint", 3, 0),
    ]
    assert [logs["loss"] for logs in progress.history] == [2.0, 2.0, 2.0]
    assert [logs["masked_accuracy"] for logs in progress.history] == [0.5, 0.5, 0.5]


def test_epochs_may_differ_in_their_number_of_batches():
    class GrowingBatches(FakeBatches):
        def epoch(self, number, start=0):
            yield from ((number, batch) for batch in range(start, 4 + number))

    def loop_of(step, progress=None, **recipe):
        loop, saved = _loop(step, progress=progress, **recipe)
        loop.batches = GrowingBatches()
        return loop, saved

    steps = FakeStep(), FakeStep(), FakeStep()
    loop, _ = loop_of(steps[0], epochs=3)
    progress = loop.run()
    assert [batch for [batch] in steps[0].seen] == [(e, b) for e in range(3) for b in range(4 + e)]
    assert (progress.step, progress.epoch, progress.batch) == (15, 3, 0)
    loop, saved = loop_of(steps[1], max_steps=9)  # the last batch of the second epoch
    progress = loop.run()
    assert saved[-1] == ("checkpoint", 2, 0)
    loop, _ = loop_of(steps[2], progress, epochs=3)
    loop.run()
    assert steps[1].seen + steps[2].seen == steps[0].seen


def test_a_step_limit_validates_the_unfinished_epoch_and_keeps_the_place():
    loop, saved = _loop(FakeStep(), max_steps=7)
    progress = loop.run()
    assert (progress.step, progress.epoch, progress.batch) == (7, 1, 2)
    assert len(progress.history) == 2
    assert saved[-1] == ("checkpoint", 1, 2)


def test_it_goes_on_in_the_middle_of_an_epoch():
    loop, _ = _loop(FakeStep(), max_steps=7)
    progress = Progress.from_dict(loop.run().to_dict())
    step = FakeStep()
    loop, _ = _loop(step, epochs=2, progress=progress)
    progress = loop.run()
    assert step.seen == [[(1, 2)], [(1, 3)], [(1, 4)]]
    assert len(progress.history) == 2
    assert progress.history[1]["loss"] == 2.0


def test_micro_batches_come_together():
    step = FakeStep()
    loop, _ = _loop(step, epochs=1, accumulate=2)
    assert loop.run().step == 3
    assert step.seen == [[(0, 0), (0, 1)], [(0, 2), (0, 3)], [(0, 4)]]


def test_patience_counts_epochs_without_a_better_score():
    loop, _ = _loop(FakeStep(), scores=[1.0, 2.0, 1.5, 2.0, 9.0], epochs=9, patience=2)
    progress = loop.run()
    assert (progress.epoch, progress.best_epoch) == (4, 2)


@pytest.mark.parametrize(
    ("history", "best"),
    [
        ([{"val_loss": 5.0, "val_bleu": 0.0}, {"val_loss": 4.0, "val_bleu": 0.0}], -5.0),
        ([{"val_loss": 0.0, "val_bleu": 3.0}], 0.0),  # the loss chose
        ([{"val_loss": 0.0}], 0.0),
    ],
)
def test_a_bleu_of_0_that_version_0_1_took_for_the_best_can_be_beaten(history, best):
    """Epochs without BLEU are now below 0, by their loss; that one stood above them for ever."""
    done = len(history)
    state = Progress(5 * done, done, best_epoch=1, best_score=0.0, history=history).to_dict()
    progress = Progress.from_dict(json.loads(json.dumps(state)))
    assert progress.best_score == best
    loop, saved = _loop(FakeStep(), scores=[-4.5, -6.0], progress=progress, epochs=done + 2)
    loop.run()
    assert len(progress.history) == done + 2
    assert progress.best_epoch == (done + 1 if best < -4.5 else 1)
    assert [what for what, *_ in saved].count("best") == (best < -4.5)


def test_the_time_limit_ends_it_one_step_after():
    step = FakeStep()
    loop, _ = _loop(step, max_minutes=1e-9)
    assert loop.run().step == 1


def test_another_host_may_end_it():
    loop, _ = _loop(FakeStep(requests=(True, False)), epochs=3)
    assert loop.run().step == 1
    loop, saved = _loop(FakeStep(requests=(False, True)), epochs=3)
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert saved == [("checkpoint", 0, 1)]


def test_a_callback_may_end_it():
    class Stops(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 2

    loop, _ = _loop(FakeStep(), epochs=3)
    assert loop.run([Stops()]).step == 3


def test_a_loss_that_is_no_number_names_the_batch_and_saves_nothing():
    loop, saved = _loop(FakeStep(losses={6: float("nan")}), epochs=3)
    with pytest.raises(InputError, match=r"batch 2 of epoch 2 \(step 7\).*learning_rate_scale"):
        loop.run()
    assert saved == [("best", 0), ("checkpoint", 1, 0)]


def test_the_linear_schedule_falls_to_the_limit():
    step = FakeStep()
    loop, _ = _loop(step, max_steps=10, schedule="linear", warmup_steps=1, learning_rate=0.5)
    loop.run()
    assert step.rates == pytest.approx([0.5 * (1 - i / 10) for i in range(10)])


def test_checkpoints_come_as_often_as_asked():
    loop, saved = _loop(FakeStep(), max_steps=4, checkpoint_minutes=1e-9)
    loop.run()
    assert [entry for entry in saved if entry[0] == "checkpoint"] == [
        ("checkpoint", 0, batch) for batch in (1, 2, 3, 4)
    ]


def test_prefetching_keeps_order_and_passes_errors_on():
    def items():
        yield from range(20)
        raise RuntimeError("broken")

    made = prefetched(items(), ahead=3)
    assert [next(made) for _ in range(20)] == list(range(20))
    with pytest.raises(RuntimeError, match="broken"):
        next(made)


def test_prefetching_stops_when_nobody_wants_more():
    before = threading.active_count()
    items = prefetched(iter(range(10**9)), ahead=2)
    assert next(items) == 0
    assert threading.active_count() == before + 1
    items.close()
    assert threading.active_count() <= before
