"""No batch waits for XLA: where its program is missing or late, the plain graph answers."""

import threading
import time

import numpy as np
import pytest
from tiny_server import export_tiny

from keras_transformer.exporting.format import WARM_UP_SCALARS
from keras_transformer.serving import programs
from keras_transformer.serving.failures import Failure, Kind, invalid
from keras_transformer.serving.loaded_model import LoadedModel
from keras_transformer.serving.programs import Programs, Size
from keras_transformer.serving.warmup import warm_up

SMALL, LARGE = Size("serving_default", (), 1, 32), Size("serving_default", (), 64, 128)
BEAM, ODD_BEAM = (Size("beam", (("beam_size", size),), 1, 32) for size in (4, 7))


class Compiled:
    """A program that takes a while when it first runs."""

    def __init__(self, seconds=0.0):
        self.runs, self.seconds = 0, seconds
        self.go = threading.Event()
        self.go.set()
        self.error = None

    def __call__(self):
        self.runs += 1
        time.sleep(self.seconds if self.runs == 1 else 0)
        self.go.wait(10)
        if self.error is not None:
            raise self.error
        return "compiled"


def plain():
    return "plain"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(programs, "_LEAST_PATIENCE", 0.1)


@pytest.fixture
def warned():
    return []


@pytest.fixture
def some(warned):
    some = Programs(workers=1, warn=warned.append)
    yield some
    some.close()


def wait_for(condition):
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_warm_program_runs_and_a_missing_one_is_compiled_aside_once_it_is_worthwhile(some):
    some.warm(SMALL, Compiled(), plain)
    assert some.run(SMALL, Compiled(), plain) == "compiled"
    slow = Compiled(seconds=0.3)
    for _ in range(5):
        assert some.run(LARGE, slow, plain) == "plain"
    wait_for(lambda: LARGE in some.sizes)
    assert slow.runs == 2
    assert some.run(LARGE, slow, plain) == "compiled"


def test_a_prepared_program_is_compiled_aside_though_nobody_asks(some):
    slow = Compiled(seconds=0.3)
    some.prepare(SMALL, slow)
    some.prepare(SMALL, slow)
    some.prepare(LARGE, Compiled())
    assert some.run(SMALL, slow, plain) == "plain"
    wait_for(lambda: some.sizes == {SMALL, LARGE})
    assert slow.runs == 2
    assert some.run(SMALL, slow, plain) == "compiled"
    other = SMALL._replace(rows=4)
    for _ in range(programs._WORTHWHILE):
        some.run(other, Compiled(), plain)
    wait_for(lambda: other in some.sizes)


def test_parameters_that_nobody_warmed_up_are_never_compiled(some):
    some.warm(BEAM, Compiled(), plain)
    odd = Compiled()
    for _ in range(50):
        assert some.run(ODD_BEAM, odd, plain) == "plain"
    other_rows = BEAM._replace(rows=16)
    for _ in range(5):
        some.run(other_rows, Compiled(), plain)
    wait_for(lambda: other_rows in some.sizes)
    assert odd.runs == 0
    assert some.sizes == {BEAM, other_rows}


def test_programs_are_compiled_one_after_the_other_with_pauses_and_not_without_end(
    some, monkeypatch
):
    monkeypatch.setattr(programs, "_MOST_PROGRAMS", 3)
    some.warm(SMALL, Compiled(), plain)
    began = []

    class Noted(Compiled):
        def __call__(self):
            if not self.runs:
                began.append(time.monotonic())
            return super().__call__()

    for rows in range(2, 12):
        for _ in range(programs._WORTHWHILE):
            some.run(SMALL._replace(rows=rows), Noted(0.1), plain)
    wait_for(lambda: len(some.sizes) == 4)
    time.sleep(0.6)
    assert len(some.sizes) == 4
    assert min(np.diff(began)) > 0.1 * (1 + programs._REST) * 0.9


def test_a_program_that_takes_too_long_is_left_alone_until_it_has_ended(some):
    some.warm(SMALL, Compiled(), plain)
    some.warm(LARGE, Compiled(), plain)
    late = Compiled()
    late.go.clear()
    started = time.monotonic()
    assert some.run(SMALL, late, plain) == "plain"
    assert time.monotonic() - started < 5
    assert some.run(SMALL, late, plain) == "plain"
    assert late.runs == 1
    assert some.run(LARGE, Compiled(), plain) == "compiled"  # others go on
    late.go.set()
    wait_for(lambda: some.run(SMALL, late, plain) == "compiled")


def test_no_more_programs_are_tried_than_there_are_lanes(some):
    sizes = [SMALL._replace(rows=rows) for rows in range(1, 6)]
    for size in sizes:
        some.warm(size, Compiled(), plain)
    late = Compiled()
    late.go.clear()
    assert [some.run(size, late, plain) for size in sizes] == ["plain"] * 5
    assert late.runs == 2
    late.go.set()
    wait_for(lambda: some.run(SMALL, late, plain) == "compiled")


def test_a_program_that_breaks_is_given_up_with_one_warning(some, warned):
    some.warm(SMALL, Compiled(), plain)
    broken = Compiled()
    broken.error = Failure(Kind.INTERNAL, "no space left")
    for _ in range(10):
        assert some.run(SMALL, broken, plain) == "plain"
    assert broken.runs == 1
    some.warm(LARGE, broken, plain)
    some.warm(LARGE, broken, plain)
    assert some.run(LARGE, broken, plain) == "plain"
    assert len(warned) == 2
    assert "no space left" in warned[0]


def test_texts_that_are_refused_are_no_fault_of_the_program(some, warned):
    some.warm(SMALL, Compiled(), plain)
    refusing = Compiled()
    refusing.error = invalid("not these texts")
    with pytest.raises(Failure, match="not these"):
        some.run(SMALL, refusing, plain)
    assert some.run(SMALL, Compiled(), plain) == "compiled"
    for _ in range(programs._WORTHWHILE):
        some.run(LARGE, refusing, plain)
    wait_for(lambda: refusing.runs == 2)
    time.sleep(0.1)
    for _ in range(programs._WORTHWHILE):
        some.run(LARGE, Compiled(), plain)
    wait_for(lambda: LARGE in some.sizes)
    assert not warned


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_models")
    model = LoadedModel(export_tiny(folder, twin=True))
    warm_up(model, folder / "1", max_batch_size=4)
    yield model
    model.close()


def test_sizes_are_those_that_the_model_pads_to(loaded):
    default = loaded.signatures["serving_default"]
    assert loaded._size(default, [b"a"], {}) == ("serving_default", (), 1, 32)
    assert loaded._size(default, [b"a " * 40] * 5, {}) == ("serving_default", (), 16, 64)
    assert loaded._size(default, [b"a"] * 300, {}).rows == 512
    assert loaded._size(default, [], {}).rows == 1
    scalars = {name: np.int32(value) for name, value in WARM_UP_SCALARS.items()}
    assert loaded._size(default, [b"a"], scalars).parameters == (("beam_size", 4),)


def test_a_model_answers_plainly_where_it_has_no_program(loaded):
    default = loaded.signatures["serving_default"]
    run = {
        texts: loaded.run(default, [text.encode() for text in texts], {})["translation"][0]
        for texts in (("um dois",), ("um dois",) * 3, ("um " * 40,), ("um " * 200,))
    }
    assert run["um dois",] == b"DOIS UM"  # the twin's capitals
    assert run[("um dois",) * 3] == b"DOIS UM"
    assert run["um " * 40,] == (b"UM " * 40).rstrip()
    assert run["um " * 200,] == (b"um " * 200).rstrip()
