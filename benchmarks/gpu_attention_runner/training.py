"""A whole training step, forward, loss and all gradients, by each of the implementations."""

import statistics
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from attention import Race, first_line
from programs import Inputs, Program, gib_of
from report import milliseconds, number
from timing import Contestant, ratio

GRADIENT_SLACK = 1.5
"""How many times the error of the reference in the same dtype that of the others may be."""

LEAST_ERROR = 2e-2  # below it no error is complained of

REFERENCE = "reference"


def run(race: Race, programs: list[Program]) -> None:
    by_size: dict[str, list[Program]] = {}
    for program in programs:
        by_size.setdefault(program.size, []).append(program)
    for size, members in by_size.items():
        if race.time_is_up:
            race.report.complain(f"out of time before the training step {size}")
            continue
        try:
            _one_size(race, size, members)
        except Exception as error:  # memory ran out, say: the others may do
            race.report.complain(f"training step {size} fails: {first_line(error)}")


def _one_size(race: Race, size: str, programs: list[Program]) -> None:
    inputs = Inputs(race.device)
    contestants, truth = _contestants(race, programs, inputs)
    seconds = race.contest(contestants)
    contestants = [each for each in contestants if each.name in seconds]
    errors = {}
    if truth is not None:
        errors = {each.name: _errors(each.arrays(each.call()), truth) for each in contestants}
    _complain_of(race, size, errors)
    tokens = int(np.count_nonzero(inputs.on_host(programs[0])["target"]))
    for each in contestants:
        own, base = seconds[each.name], seconds.get(REFERENCE)
        row = {
            "part": "training",
            "size": size,
            "rows": programs[0].rows,
            "length": programs[0].length,
            "implementation": each.name,
            "seconds": own,
            "tokens": tokens,
            "ratio": ratio(base, own) if base else None,
            "gib": each.gib,
            **errors.get(each.name, {}),
        }
        race.report.add(row, _cells(row))


def _contestants(race: Race, programs: list[Program], inputs: Inputs):
    """Those that are timed, and the results of the one in float32; ``None`` if it fails."""
    with ThreadPoolExecutor(race.threads) as pool:
        futures = {each.name: pool.submit(race.compile, each) for each in programs}
    contestants, truth = [], None
    for program in programs:
        try:
            contestant = _contestant(program, futures[program.name].result(), inputs)
            if program.dtype == "float32":
                truth = contestant.arrays(contestant.call())
            else:
                contestants.append(contestant)
        except Exception as error:
            race.report.complain(f"{program.name} fails: {first_line(error)}")
    return contestants, truth


def _cells(row: dict[str, Any]) -> dict[str, str]:
    return {
        "training step": f"{row['size']}, {row['rows']} × {row['length']:,}",
        "attention": row["implementation"],
        "ms": milliseconds(row["seconds"]),
        "real target tokens/s": f"{row['tokens'] / statistics.median(row['seconds']):,.0f}",
        "faster than the reference by": number(row["ratio"], ".2f"),
        "GiB": number(row["gib"], ".2f"),
        "error of the loss": number(row.get("loss_error"), ".1e"),
        "of the gradients": number(row.get("gradient_error"), ".1e"),
    }


def _contestant(program: Program, compiled, inputs: Inputs) -> Contestant:
    tensors = inputs.on_device(program)
    return Contestant(
        name=program.implementation,
        call=lambda: compiled(*tensors),
        wait=jax.block_until_ready,
        gib=gib_of(compiled),
        arrays=lambda results: [np.asarray(each, np.float32) for each in results],
    )


def _errors(found: list[np.ndarray], truth: list[np.ndarray]) -> dict[str, float]:
    """Of the loss and of all gradients together, as shares of their sizes."""

    def size(arrays) -> float:
        return float(np.sqrt(sum(np.sum(np.square(each, dtype=np.float64)) for each in arrays)))

    differences = [a - b for a, b in zip(found, truth, strict=True)]
    return {
        "loss_error": size(differences[:1]) / size(truth[:1]),
        "gradient_error": size(differences[1:]) / size(truth[1:]),
    }


def _complain_of(race: Race, size: str, errors: dict[str, dict[str, float]]) -> None:
    for name, mine in errors.items():
        for kind, error in mine.items():
            usual = errors.get(REFERENCE, {}).get(kind, 0.0)
            if not error <= max(LEAST_ERROR, GRADIENT_SLACK * usual):
                race.report.complain(f"training step {size}, {name}: {kind} is {error:.1e}")
