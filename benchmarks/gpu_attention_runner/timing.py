"""Who is compared, and how long each of them takes."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

SAMPLE_SECONDS = 0.02  # calls are timed in samples of at least this
MOST_CALLS = 500  # of a sample
CONTESTANT_SECONDS = 2.0  # those that would take longer in all have fewer rounds
FEWEST_ROUNDS = 3


@dataclass
class Contestant:
    """Something that computes the same as others.

    Attributes:
        name: what tables call it.
        call: starts one computation and gives its results, which may not be there yet.
        wait: returns when the results are there.
        gib: memory that it holds while it computes.
        arrays: makes NumPy arrays of results, ``(batch, length, heads, depth)`` in attention.
    """

    name: str
    call: Callable[[], Any]
    wait: Callable[[Any], Any]
    gib: float | None
    arrays: Callable[[Any], list]

    def seconds(self, count: int) -> float:
        """Mean duration of `count` calls that are started one after the other."""
        start = time.perf_counter()
        for _ in range(count):
            results = self.call()
        self.wait(results)
        return (time.perf_counter() - start) / count


def rounds(contestants: Sequence[Contestant], count: int) -> dict[str, list[float]]:
    """Seconds of a call by name, in rounds that take turns over the contestants.

    Args:
        contestants: have run once.
        count: how many rounds; those who are slow have fewer.
    """
    calls, counts = {}, {}
    for contestant in contestants:
        once = contestant.seconds(2)
        calls[contestant.name] = min(MOST_CALLS, max(1, round(SAMPLE_SECONDS / once)))
        affordable = int(CONTESTANT_SECONDS / (once * calls[contestant.name]))
        counts[contestant.name] = min(count, max(FEWEST_ROUNDS, affordable))
    found: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    for number in range(count):
        for contestant in contestants:
            if number < counts[contestant.name]:
                found[contestant.name].append(contestant.seconds(calls[contestant.name]))
    return found


def ratio(numerators: list[float], denominators: list[float]) -> float:
    """The median of the ratios in the rounds that both have."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=False))
