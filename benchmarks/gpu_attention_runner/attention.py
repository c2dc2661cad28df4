"""Attention against its peers, length by length."""

import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import float64_attention
import jax
import numpy as np
import peers
from programs import HEADS_FIRST, Inputs, Program, gib_of
from report import Report, milliseconds, number
from timing import Contestant, ratio, rounds

TOLERANCES = {"bfloat16": 2e-2, "float16": 5e-3}
"""How far results may be from the truth, as a share of its size."""

LONG = 1024  # lengths from here on come first, and count in the summary

Group = tuple[bool, bool, bool]
"""Causal, padded, and whether with gradients."""


class Race:
    """All contestants on one device.

    Args:
        report: gets the rows.
        torch: the module, or ``None``.
        device: of JAX.
        deadline: when to begin nothing new, of ``time.monotonic``.
        rounds: how often each contestant is timed.
        threads: how many programs are compiled at a time.
    """

    def __init__(self, report: Report, torch, device, deadline: float, rounds: int, threads: int):
        self.report = report
        self.torch = torch
        self.device = device
        self.deadline = deadline
        self.rounds = rounds
        self.threads = threads
        self.call_version: int | None = None  # as it is in the programs
        is_gpu = device.platform == "gpu"
        self.peer, self.peer_kind = (peers.JAX_CUDNN, "cudnn") if is_gpu else (peers.JAX_XLA, "xla")

    @property
    def time_is_up(self) -> bool:
        return time.monotonic() > self.deadline

    def learn_call_version(self, programs: list[Program], versions: list[int]) -> None:
        """Finds out which API versions of cuDNN's custom calls the compiler takes.

        The first one that works is used from then on.
        """
        candidates = [each for each in programs if each.implementation == "cudnn" and each.backward]
        if not candidates:
            return
        program = min(candidates, key=lambda each: each.length)
        outcomes = {}
        for version in versions:
            try:
                jax.block_until_ready(program.compile(version)(*program.inputs()))
                outcomes[version] = "works"
            except Exception as error:
                outcomes[version] = first_line(error)
        self.report.content["call_versions"] = outcomes
        for version, outcome in outcomes.items():
            print(f"cuDNN's custom calls of API version {version}: {outcome}", flush=True)
        working = [version for version, outcome in outcomes.items() if outcome == "works"]
        if working:
            self.call_version = working[0]
        else:
            self.report.complain("the compiler takes cuDNN's custom calls of no API version")

    def compile(self, program: Program):
        return program.compile(self.call_version if program.implementation == "cudnn" else None)

    def run(self, programs: Iterable[Program]) -> None:
        by_length: dict[int, list[Program]] = {}
        for program in programs:
            by_length.setdefault(program.length, []).append(program)
        for length in sorted(by_length, key=lambda n: (n < LONG, abs(n - LONG))):
            if self.time_is_up:
                self.report.complain(f"out of time before attention of length {length}")
            else:
                OneLength(self, by_length[length]).run()

    def contest(self, contestants: list[Contestant]) -> dict[str, list[float]]:
        """Seconds of each, without those that fail in their first run."""
        able = []
        for each in contestants:
            try:
                each.seconds(1)
                able.append(each)
            except Exception as error:
                self.report.complain(f"{each.name} fails: {first_line(error)}")
        return rounds(able, self.rounds)

    def summarise(self) -> None:
        """Prints the memory of all rows and what the times come to."""
        rows = [row for row in self.report.content["rows"] if row["part"] == "attention"]
        names = list(dict.fromkeys(name for row in rows for name in row["gib"]))
        heading = ["GiB", "", "", *names]
        print(f"\n| {' | '.join(heading)} |\n|{' --- |' * len(heading)}")
        for row in rows:
            cells = [f"{row['length']:,}", masks_of(row), pass_of(row)]
            cells += [number(row["gib"].get(name), ".3f") for name in names]
            print(f"| {' | '.join(cells)} |")
        print()
        for name in ("cudnn", "cudnn, heads first"):
            found = [
                (row["ratios"][name], row)
                for row in rows
                if row["length"] >= LONG and name in row["ratios"]
            ]
            if found:
                worst, row = max(found, key=lambda pair: pair[0])
                print(
                    f"{name}: at most {worst:.3f} of the time of {self.peer} from length {LONG} "
                    f"on (length {row['length']}, {masks_of(row)}, {pass_of(row)})"
                )


class OneLength:
    """The programs of one length and their peers.

    Args:
        race: whom the results go to.
        programs: all of the same length.
    """

    def __init__(self, race: Race, programs: list[Program]):
        self.race = race
        self.groups: dict[Group, list[Program]] = {}
        for each in programs:
            self.groups.setdefault((each.causal, each.padded, each.backward), []).append(each)
        self.inputs = Inputs(race.device)

    def run(self) -> None:
        truths, compiled, compiled_peers = self._prepare()
        for group, programs in self.groups.items():
            if self.race.time_is_up:
                self.race.report.complain(f"out of time before {label(programs[0])}")
                return
            try:
                contestants = [
                    self._ours(program, compiled[program.name])
                    for program in programs
                    if compiled[program.name] is not None
                ]
                contestants += self._peers(group, programs, compiled_peers[group])
                self._row(programs[0], contestants, truths[group[:2]])
            except Exception as error:  # memory ran out, say: the others may do
                self.race.report.complain(f"{label(programs[0])} fails: {first_line(error)}")

    def _prepare(self) -> tuple[dict, dict, dict]:
        """Compiles everything and computes the truth, side by side."""
        truths: dict[Any, Any] = {}
        programs: dict[str, Any] = {}
        compiled_peers: dict[Group, Any] = {}
        with ThreadPoolExecutor(self.race.threads) as pool:
            for group, members in self.groups.items():
                inputs = self._length_first(members)
                for each in members:
                    programs[each.name] = pool.submit(self.race.compile, each)
                compiled_peers[group] = pool.submit(
                    peers.compile_jax,
                    inputs,
                    causal=group[0],
                    backward=group[2],
                    implementation=self.race.peer_kind,
                )
                if group[2]:
                    truths[group[:2]] = pool.submit(float64_attention.truth, inputs, group[0])
        return (
            {key: future.result() for key, future in truths.items()},
            {key: self._result(future, key) for key, future in programs.items()},
            {key: self._result(future, self.race.peer) for key, future in compiled_peers.items()},
        )

    def _result(self, future: Future, name: str):
        if error := future.exception():
            self.race.report.complain(f"{name} does not compile: {first_line(error)}")
            return None
        return future.result()

    def _length_first(self, programs: list[Program]) -> dict[str, np.ndarray]:
        """By name, ``(batch, length, heads, depth)``, whatever the layout of the programs."""
        program = min(programs, key=lambda each: each.is_heads_first)
        arrays = self.inputs.on_host(program)
        if program.is_heads_first:
            return {name: transposed(array) for name, array in arrays.items()}
        return arrays

    def _ours(self, program: Program, compiled) -> Contestant:
        tensors = self.inputs.on_device(program)

        def arrays(results):
            found = [np.asarray(result) for result in results]
            return [transposed(each) for each in found] if program.is_heads_first else found

        name = program.implementation
        if program.is_heads_first:
            name += ", heads first"
        return Contestant(
            name, lambda: compiled(*tensors), jax.block_until_ready, gib_of(compiled), arrays
        )

    def _peers(self, group: Group, programs: list[Program], compiled) -> list[Contestant]:
        causal, _, backward = group
        inputs = self._length_first(programs)
        found = []
        if compiled is not None:
            tensors = {name: jax.device_put(array) for name, array in inputs.items()}
            found.append(peers.jax_contestant(self.race.peer, compiled, tensors))
        if self.race.torch is not None:
            for heads_first in (False, True):
                try:
                    found.append(
                        peers.torch_contestant(
                            self.race.torch, inputs, causal, backward, heads_first
                        )
                    )
                except Exception as error:
                    self.race.report.complain(f"{peers.PYTORCH} fails: {first_line(error)}")
        return found

    def _row(self, program: Program, contestants: list[Contestant], truth) -> None:
        seconds = self.race.contest(contestants)
        contestants = [each for each in contestants if each.name in seconds]
        base = seconds.get(self.race.peer)
        row = {
            "part": "attention",
            **{key: getattr(program, key) for key in ("length", "batch", "causal", "padded")},
            "backward": program.backward,
            "seconds": seconds,
            "ratios": {name: ratio(each, base) for name, each in seconds.items() if base},
            "gib": {each.name: each.gib for each in contestants},
            "errors": {},
        }
        for each in contestants:
            row["errors"][each.name] = self._errors(program, each, truth)
        worst = max(
            (error for name in seconds if is_ours(name) for error in row["errors"][name].values()),
            default=None,
        )
        self.race.report.add(
            row,
            {
                "length": f"{program.length:,}",
                "batch": f"{program.batch}",
                "masks": masks_of(row),
                "pass": pass_of(row),
                **{f"{name}, ms": milliseconds(seconds.get(name)) for name in self._names()},
                **{
                    f"{name} ÷ {self.race.peer}": number(row["ratios"].get(name), ".2f")
                    for name in self._names()
                    if name.startswith("cudnn")
                },
                "error": number(worst, ".1e"),
            },
        )

    def _names(self) -> list[str]:
        """Columns, the same for all lengths."""
        names = ["cudnn", "cudnn, heads first"] if self.race.peer_kind == "cudnn" else []
        names += ["blockwise", "reference", self.race.peer]
        if self.race.torch is not None:
            names += [peers.PYTORCH, f"{peers.PYTORCH}, heads first"]
        return names

    def _errors(self, program: Program, contestant: Contestant, truth) -> dict[str, float]:
        """How far a contestant is from the truth; complains of ours where that is too far."""
        found = dict(
            zip(float64_attention.NAMES, contestant.arrays(contestant.call()), strict=False)
        )
        ours = is_ours(contestant.name)
        errors = truth.errors(found, with_empty_rows=ours)
        tolerance = TOLERANCES[program.arguments[0]["dtype"]]
        what = f"{contestant.name} in {label(program)}"
        for name, error in errors.items():
            if ours and not error <= tolerance:  # also if it is no number
                self.race.report.complain(f"{what}: {name} is off by {error:.1e}")
        if ours and not truth.hidden_is_zero(found):
            self.race.report.complain(f"{what}: what is hidden has an output or a gradient")
        return errors


def is_ours(name: str) -> bool:
    return name not in (peers.JAX_CUDNN, peers.JAX_XLA) and not name.startswith(peers.PYTORCH)


def masks_of(row: dict[str, Any]) -> str:
    return ", ".join(name for name in ("causal", "padded") if row[name]) or "none"


def pass_of(row: dict[str, Any]) -> str:
    return "forward, backward" if row["backward"] else "forward"


def label(program: Program) -> str:
    masks = masks_of(program.entry)
    return f"attention of length {program.length}, masks {masks}, {pass_of(program.entry)}"


def transposed(array: np.ndarray) -> np.ndarray:
    """Between ``(batch, heads, length, depth)`` and ``(batch, length, heads, depth)``."""
    return array.transpose(HEADS_FIRST) if array.ndim == 4 else array


def first_line(error: BaseException) -> str:
    lines = f"{type(error).__name__}: {error}".splitlines()
    return lines[0][:300]
