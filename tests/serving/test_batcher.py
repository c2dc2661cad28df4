"""Batches keep to their limits, and what a request gets never depends on who shares them."""

import asyncio
import threading
import time

import numpy as np
import pytest

from keras_transformer.serving import batching
from keras_transformer.serving.batching import Batcher, Work, best_window
from keras_transformer.serving.failures import Failure, Kind
from keras_transformer.serving.signatures import (
    Part,
    Signature,
    Tensor,
    join_parts,
    row_bytes,
)


class Model:
    """Gives texts back in upper case, and remembers its batches."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.batches = []
        self.go = threading.Event()
        self.go.set()

    def run(self, texts):
        self.batches.append(list(texts))
        self.go.wait(10)
        time.sleep(self.seconds)
        if b"fail" in texts:
            raise ValueError("told to fail")
        return {"translation": np.array([text.upper() for text in texts], object)}


def batcher(**options):
    defaults = {
        "workers": 2,
        "max_batch_size": 8,
        "max_batch_bytes": 10_000,
        "batch_timeout": 0.01,
        "max_queue": 100,
    }
    return Batcher(**defaults | options)


def work(model, texts, group="group", seconds=10.0, **options):
    return Work(
        group=group,
        run=model.run,
        texts=[text.encode() for text in texts],
        deadline=time.monotonic() + seconds,
        **options,
    )


def answers(batcher, works):
    """What each gets: texts, or the failure."""

    async def one(work):
        try:
            outputs = await batcher.translate(work)
        except Failure as failure:
            return failure
        return [text.decode() for text in outputs.get("translation", ())]

    async def run():
        return await asyncio.gather(*(one(work) for work in works))

    return asyncio.run(run())


def test_each_request_gets_its_own_texts_in_order_and_batches_keep_their_limits():
    model = Model()
    random = np.random.default_rng(1)
    requests = [
        [f"{i}-{j}" + "x" * int(random.integers(60)) for j in range(random.integers(1, 12))]
        for i in range(12)
    ]
    found = answers(batcher(max_batch_bytes=200), [work(model, request) for request in requests])
    assert found == [[text.upper() for text in request] for request in requests]
    for batch in model.batches:
        assert len(batch) <= 8
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= 200
    assert len(model.batches) < sum(map(len, requests))


def test_texts_of_different_groups_never_share_a_batch():
    model = Model()
    works = [work(model, [f"{group}{i}"], group=group) for i in range(5) for group in "ab"]
    works += [work(model, [f"c{i}", f"c{i}"], group=None) for i in range(3)]
    answers(batcher(), works)
    assert all(len({text[:1] for text in batch}) == 1 for batch in model.batches)
    assert sorted(len(batch) for batch in model.batches if batch[0][:1] == b"c") == [2, 2, 2]


def test_rows_of_a_beam_count():
    model = Model()
    answers(batcher(), [work(model, [str(i)], rows_factor=4) for i in range(10)])
    assert max(map(len, model.batches)) == 2


def test_a_full_queue_refuses_at_once_and_takes_requests_again_later():
    model = Model()
    model.go.clear()
    small = batcher(max_queue=10, workers=1)

    async def run():
        first = asyncio.create_task(small.translate(work(model, ["a"])))
        await asyncio.sleep(0.05)  # runs already
        waiting = [asyncio.create_task(small.translate(work(model, ["b"] * 5))) for _ in "12"]
        await asyncio.sleep(0.01)
        assert small.queued == 10
        with pytest.raises(Failure) as caught:
            await small.translate(work(model, ["c"]))
        assert caught.value.kind is Kind.OVERLOADED
        assert caught.value.retry_after >= 1
        assert small.queued == 10
        model.go.set()
        await asyncio.gather(first, *waiting)
        assert small.queued == 0
        await small.translate(work(model, ["c"] * 10))

    asyncio.run(run())


def test_expired_and_abandoned_requests_are_never_computed():
    model = Model()
    model.go.clear()
    one = batcher(workers=1)

    async def run():
        first = asyncio.create_task(one.translate(work(model, ["first"])))
        await asyncio.sleep(0.05)
        abandoned = asyncio.create_task(one.translate(work(model, ["abandoned"])))
        await asyncio.sleep(0)
        with pytest.raises(Failure) as caught:
            await one.translate(work(model, ["expired"], seconds=0.05))
        assert caught.value.kind is Kind.DEADLINE
        abandoned.cancel()
        await asyncio.sleep(0)
        assert one.queued == 0
        model.go.set()
        await first
        await one.translate(work(model, ["last"]))

    asyncio.run(run())
    assert model.batches == [[b"first"], [b"last"]]


def test_the_deadline_also_ends_the_waiting_for_a_running_batch():
    (found,) = answers(batcher(), [work(Model(seconds=0.5), ["a"], seconds=0.05)])
    assert found.kind is Kind.DEADLINE


def test_a_request_that_breaks_its_batch_breaks_alone():
    model = Model()
    texts = [["good"], ["well", "fail"], ["fine", "best"]]
    found = answers(batcher(), [work(model, request) for request in texts])
    assert found[0] == ["GOOD"]
    assert found[2] == ["FINE", "BEST"]
    assert found[1].kind is Kind.INTERNAL
    assert len(model.batches[0]) == 5


def test_a_request_is_given_up_once_its_answer_is_sure_to_be_too_large():
    class Wide(Model):
        def run(self, texts):
            super().run(texts)
            return {"weights": np.zeros((len(texts), 100), np.float32)}  # 1,600 bytes a text

    model = Wide()
    small = batcher(workers=1, max_answer_bytes=50_000, max_batch_size=4)
    found = answers(small, [work(model, ["a"] * 40)])[0]
    assert found.kind is Kind.TOO_MANY_BYTES
    assert len(model.batches) <= 2  # the first batch shows it
    whole = answers(batcher(max_answer_bytes=50_000), [work(model, ["a"] * 40, group=None)])[0]
    assert whole.kind is Kind.TOO_MANY_BYTES


def test_batches_are_divided_whose_outputs_could_be_too_large():
    model = Model()
    one = batcher(workers=1, max_answer_bytes=1000)
    answers(one, [work(model, ["a" * 30] * 12, row_bytes=lambda length: length**2 // 3)])
    assert sorted({len(batch) for batch in model.batches}) == [3]


def test_what_an_answer_can_grow_to_is_known_from_its_signature():
    attention = Signature(
        "attention",
        {"text": Tensor("DT_STRING", (None,))},
        {
            "attention": Tensor("DT_FLOAT", (None, 8, None, None)),
            "source_tokens": Tensor("DT_STRING", (None, None)),
            "score": Tensor("DT_FLOAT", (None,)),
        },
    )
    of_text = row_bytes(attention, longest_source=None)
    assert of_text(98) == 8 * (216 - 1) * 100 * 16 + 100 * 3 + 16
    assert row_bytes(attention, longest_source=50)(98) == 8 * 115 * 50 * 16 + 50 * 3 + 16
    beams = Signature("beams", {}, {"translations": Tensor("DT_STRING", (None, None))})
    assert row_bytes(beams, longest_source=None, beam_size=16)(98) == 16 * 3


def test_a_model_that_gives_too_few_rows_is_found_out():
    class Short(Model):
        def run(self, texts):
            return {"translation": np.array([b"one"], object)}

    found = answers(batcher(), [work(Short(), ["a", "b"])])
    assert found[0].kind is Kind.INTERNAL


def test_nobody_starves_among_texts_that_fit_together_better():
    model = Model(seconds=0.01)
    one = batcher(workers=1, max_batch_size=2)

    async def run():
        ended = asyncio.Event()

        async def short_ones():
            while not ended.is_set():
                await one.translate(work(model, ["short"]))

        others = [asyncio.create_task(short_ones()) for _ in range(6)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(1):
            await one.translate(work(model, ["long" * 500]))
        ended.set()
        await asyncio.gather(*others)

    asyncio.run(run())


def room_for(most_bytes):
    return lambda size: max(most_bytes // max(size, 1), 1)


@pytest.mark.parametrize("group", ["group", "other"])
def test_a_request_of_one_text_does_not_wait_for_all_texts_of_another(group):
    model = Model()
    one = batcher(workers=1, max_batch_size=2)

    async def run():
        model.go.clear()
        many = [f"{i:02d}" + "x" * 50 * (i % 8) for i in range(40)]
        long = asyncio.create_task(one.translate(work(model, many)))
        await asyncio.sleep(0.05)
        few = [asyncio.create_task(one.translate(work(model, [name], group))) for name in "ab"]
        await asyncio.sleep(0.05)
        model.go.set()
        await asyncio.gather(long, *few)

    asyncio.run(run())
    places = [i for i, batch in enumerate(model.batches) if {b"a", b"b"} & set(batch)]
    assert max(places) <= 4
    assert len(model.batches) >= 20


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_one_request_leaves_a_worker_to_others(workers):
    model = Model()
    model.go.clear()
    some = batcher(workers=workers, max_batch_size=2)

    async def run():
        long = asyncio.create_task(some.translate(work(model, ["long"] * 12)))
        await asyncio.sleep(0.1)
        assert len(model.batches) == max(workers - 1, 1)
        short = asyncio.create_task(some.translate(work(model, ["short"] * 2)))
        await asyncio.sleep(0.1)
        assert len(model.batches) == workers
        model.go.set()
        await asyncio.gather(long, short)

    asyncio.run(run())


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_batches_that_take_long_leave_a_worker_to_others(workers, monkeypatch):
    monkeypatch.setattr(batching, "_LONG", 0.05)
    running, most = 0, []
    lock = threading.Lock()

    class Uneven(Model):
        def run(self, texts):
            nonlocal running
            long = len(texts[0]) > 100
            with lock:
                running += long
                most.append(running)
            time.sleep(0.1 if long else 0.002)
            with lock:
                running -= long
            return super().run(texts)

    model = Uneven()
    some = batcher(workers=workers, max_batch_size=1)

    async def run():
        long, short = "l" * 500, "s"
        for _ in range(4):  # from these it learns how long they take
            await some.translate(work(model, [long], group="long", kind="long"))
            await some.translate(work(model, [short], kind="short"))
        most.clear()
        longs = [
            asyncio.create_task(some.translate(work(model, [long] * 8, group="long", kind="long")))
        ]
        shorts = [asyncio.create_task(some.translate(work(model, [short] * 20, kind="short")))]
        await asyncio.gather(*shorts)
        assert not longs[0].done() or workers == 1
        await asyncio.gather(*longs)

    asyncio.run(run())
    assert max(most) == max(workers - 1, 1)


def test_what_is_little_beside_a_batch_that_runs_does_not_wait_for_it(monkeypatch):
    monkeypatch.setattr(batching, "_LONG", 0.01)
    seconds = {b"l": 1.0, b"m": 0.06, b"s": 0.001}

    class Uneven(Model):
        def run(self, texts):
            time.sleep(seconds[texts[0]])
            return super().run(texts)

    model = Uneven()
    some = batcher(workers=2, max_batch_size=1)

    def ask(text):
        return asyncio.create_task(some.translate(work(model, [text], group=text, kind=text)))

    async def run():
        for text in "lm" + "s" * 40:  # from these it learns how long they take
            await ask(text)
        long = ask("l")
        await asyncio.sleep(0)
        for _ in range(3):  # more than a quick one, and less than a quarter of the long one
            await ask("m")
        assert not long.done()
        other = ask("l")
        await ask("s")
        assert not long.done()
        await asyncio.gather(long, other)

    asyncio.run(run())


@pytest.mark.parametrize("seed", range(20))
def test_the_window_has_the_oldest_text_and_keeps_the_limits(seed):
    random = np.random.default_rng(seed)
    sizes = sorted(random.integers(0, 300, random.integers(1, 60)).tolist())
    must = int(random.integers(len(sizes)))
    buckets = (1, 4, 16) if seed % 2 else ()
    start, end = best_window(sizes, must, most_rows=16, room=room_for(1500), row_buckets=buckets)
    assert 0 <= start <= must < end <= len(sizes)
    assert end - start <= 16
    assert end - start == 1 or (end - start) * sizes[end - 1] <= 1500


def test_like_lengths_go_together_and_a_lone_text_takes_others_along():
    assert best_window([10] * 8 + [500] * 8, 0, most_rows=64, room=room_for(10**6)) == (0, 8)
    start, end = best_window([10, 40, 41, 42, 43, 44], 0, most_rows=64, room=room_for(10**6))
    assert (start, end) == (0, 6)


def test_batches_fill_what_the_model_pads_them_to():
    limits = {"most_rows": 64, "room": room_for(10**6), "row_buckets": (1, 4, 16, 64)}
    assert best_window([10] * 5, 4, **limits) == (1, 5)
    assert best_window([10] * 20, 19, **limits) == (4, 20)
    assert best_window([10] * 60, 59, **limits) == (0, 60)


def padded(rows, widths):
    """Outputs of the signature `attention` for rows of the given lengths, as the model pads."""
    source, target = (max(lengths) for lengths in zip(*widths, strict=True))
    tokens = {
        "source_tokens": np.full((len(rows), source), b"", object),
        "target_tokens": np.full((len(rows), target), b"", object),
        "attention": np.zeros((len(rows), 2, target - 1, source), np.float32),
        "score": np.array(rows, np.float32),
    }
    for i, (row, (m, n)) in enumerate(zip(rows, widths, strict=True)):
        tokens["source_tokens"][i, :m] = b"s%d" % row
        tokens["target_tokens"][i, :n] = b"t%d" % row
        tokens["attention"][i, :, : n - 1, :m] = row + np.arange(m)
    return tokens


@pytest.mark.parametrize("seed", range(10))
def test_however_a_request_was_divided_its_outputs_are_those_of_it_alone(seed):
    random = np.random.default_rng(seed)
    widths = [tuple(map(int, random.integers(2, 9, 2))) for _ in range(7)]
    expected = padded(range(7), widths)
    parts, order = [], random.permutation(7)
    for chosen in np.split(order, np.sort(random.integers(0, 8, 2))):
        if not len(chosen):
            continue
        mate = (30, 40)  # a longer text of somebody else in the same batch
        batch = padded([*chosen.tolist(), 9], [*(widths[i] for i in chosen), mate])
        rows = range(len(chosen))
        outputs = {name: values[list(rows)] for name, values in batch.items()}
        parts.append(Part(chosen.tolist(), outputs))
    joined = join_parts(parts, 7)
    for name, values in expected.items():
        np.testing.assert_array_equal(joined[name], values, err_msg=name)
        assert joined[name].dtype == values.dtype
