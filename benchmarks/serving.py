"""python benchmarks/serving.py --saved-model saved_models/NAME (--texts FILE | --pairs SRC,TGT)

What the server makes of an exported model: its throughput beside translating the same texts in
batches without a server, how long clients wait, and whether it keeps its promises when there are
too many of them and when it is told to stop.

    offline    the SavedModel in a process of its own: texts sorted by length, batches of 64, as
               many at a time as there are cores. Before and after what follows; the mean counts.
    steady     clients that each send one text after the other. Every answer is compared with the
               offline one of that text.
    overload   ten times as many clients, who come back soon when turned away, until they all
               hang up. Then one text after the other, until one is answered as quickly as before.
    stop       the first number of clients again, and SIGTERM in the midst of their work. A request
               sent before it must be answered: by 200, or by 503 if the server had not begun it.

The clients share the cores with the server, so they do little: they speak plain HTTP over asyncio.

With --attack, instead, what a well-behaved client notices of each attack in serving_attacks.py, or
of those that are named: its p99 and that of /healthz before the attack and during it, and the
memory of the server before, during and after. `log_not_read` stops reading the server's log.

    python benchmarks/serving.py --saved-model saved_models/pt_en --texts validation.pt --attack

    python benchmarks/serving.py --saved-model saved_models/pt_en --texts validation.pt --seconds 30
"""

import argparse
import asyncio
import collections
import contextlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common import cores, machine, positive, say, versions
from serving_attacks import ATTACKS, Target

from keras_transformer.compile_cache import use_compile_cache

OFFLINE_BATCH = 64
OVERLOAD = 10  # times as many clients
LOG_NOT_READ = "log_not_read"
AFTER = 15.0  # seconds from the end of an attack until its memory should be free again
PAUSE = 0.5  # seconds before a client that was turned away comes back: less than it was told
SERVE = """
import json, sys
from keras_transformer.serving import serve
serve(**json.loads(sys.argv[1]))
"""


class Offline:
    """The SavedModel without a server, in a process of its own."""

    def __init__(self, version: Path, compiled: bool):
        context = multiprocessing.get_context("spawn")
        self.executor = ProcessPoolExecutor(
            1, mp_context=context, initializer=_load, initargs=(version, compiled)
        )

    def __call__(self, texts: list[str]) -> tuple[dict[str, str], float]:
        """Translations by text, and texts per second."""
        return self.executor.submit(_translate_all, texts).result()


def _load(version: Path, compiled: bool) -> None:
    global _signature
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    model = tf.saved_model.load(str(version))
    twin = model.signatures.get("serving_xla") if compiled else None
    _signature = (model, twin or model.signatures["serving_default"])


def _translate_all(texts: list[str]) -> tuple[dict[str, str], float]:
    import tensorflow as tf

    ordered = sorted(texts, key=lambda text: -len(text.encode()))
    batches = [ordered[i : i + OFFLINE_BATCH] for i in range(0, len(ordered), OFFLINE_BATCH)]

    def translate(batch):
        return _signature[1](text=tf.constant(batch))["translation"].numpy()

    started = time.perf_counter()
    with ThreadPoolExecutor(cores()) as executor:
        found = list(executor.map(translate, batches))
    seconds = time.perf_counter() - started
    answers = [answer.decode() for batch in found for answer in batch]
    return dict(zip(ordered, answers, strict=True)), len(ordered) / seconds


class Server:
    """The real server, in a process of its own."""

    def __init__(self, folder: Path, options: dict[str, Any]):
        self.log = Path(tempfile.mkdtemp()) / "server.log"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, json.dumps(options)], stderr=subprocess.PIPE
        )
        self.reading = threading.Event()
        self.reading.set()
        threading.Thread(target=self._read_log, args=[self.log.open("wb")], daemon=True).start()
        self.name = folder.absolute().name
        self.start_seconds = self._wait_for("ready")["waited"]
        listening = self._wait_for("listening")
        self.host = urlsplit(listening["rest"])
        self.grpc_port = listening.get("grpc")

    def _read_log(self, log) -> None:
        with log:
            while content := os.read(self.process.stderr.fileno(), 2**16):
                log.write(content)
                log.flush()
                self.reading.wait()

    def _wait_for(self, event: str) -> dict[str, Any]:
        started = time.perf_counter()
        while time.perf_counter() - started < 600 and self.process.poll() is None:
            for line in self.log.read_text(encoding="utf-8").splitlines():
                if line.startswith("{") and (found := json.loads(line))["event"] == event:
                    return found | {"waited": time.perf_counter() - started}
            time.sleep(0.1)
        raise SystemExit(f"the server did not say {event!r}; see {self.log}")

    def memory_mib(self) -> float:
        """Resident memory; 0 where the system does not say."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@dataclass
class Tally:
    """What clients saw."""

    statuses: collections.Counter = field(default_factory=collections.Counter)
    latencies: list[float] = field(default_factory=list)  # of 200, seconds
    wrong: int = 0
    lost: int = 0  # sent, and never answered
    turned_away_late: int = 0  # after the signal: no connection, or closed before an answer
    example: str = ""  # of a wrong answer

    def percentile(self, percent: int) -> float:
        if len(self.latencies) < 2:
            return float("nan")
        return statistics.quantiles(self.latencies, n=100)[percent - 1] * 1000


class Connection:
    """HTTP as far as a client of the server needs it."""

    def __init__(self, server: Server):
        self.server = server
        self.writer = None

    async def ask(self, text: str) -> tuple[int, bytes]:
        """Status and body of the answer to one text."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(
                self.server.host.hostname, self.server.host.port
            )
        body = json.dumps({"instances": [text]}, ensure_ascii=False).encode()
        head = f"POST /v1/models/{self.server.name}:predict HTTP/1.1\r\nHost: x\r\n"
        self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.split(b"content-length:")[1].split(b"\r\n")[0])
        content = await self.reader.readexactly(length)
        if b"connection: close" in answer:
            self.close()
        return int(answer.split(b" ", 2)[1]), content

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


class Load:
    """Clients that each send one text after the other.

    Args:
        server: to send to.
        answers: the right translations by text.
        count: of clients.
    """

    def __init__(self, server: Server, answers: dict[str, str], count: int):
        self.server, self.answers = server, answers
        self.tally = Tally()
        self.ending = False  # clients send nothing new
        self.signalled = float("inf")
        self.tasks = [asyncio.create_task(self._client(i)) for i in range(count)]

    async def _client(self, number: int) -> None:
        texts = list(self.answers)
        random.Random(number).shuffle(texts)
        connection = Connection(self.server)
        try:
            while not self.ending:
                for text in texts:
                    if self.ending or not await self._ask(connection, text):
                        return
        finally:
            connection.close()

    async def _ask(self, connection: Connection, text: str) -> bool:
        """Sends a text, and says whether to go on."""
        tally, started = self.tally, time.perf_counter()
        try:
            status, content = await connection.ask(text)
        except (OSError, EOFError):  # refused, reset, or closed in the midst
            connection.close()
            if started > self.signalled:
                tally.turned_away_late += 1
                return False
            tally.lost += 1
            return True
        tally.statuses[status] += 1
        if status == 200:
            tally.latencies.append(time.perf_counter() - started)
            answer = json.loads(content)["predictions"][0]["translation"]
            if answer != self.answers[text]:
                tally.wrong += 1
                tally.example = f"{text!r}: {answer!r}, not {self.answers[text]!r}"
        elif self.signalled < float("inf"):
            return False
        else:
            await asyncio.sleep(PAUSE)
        return True

    async def finish(self, *, hang_up: bool = False) -> Tally:
        """Lets clients end their last request, or hang up on it."""
        self.ending = True
        if hang_up:
            for task in self.tasks:
                task.cancel()
        for result in await asyncio.gather(*self.tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        return self.tally


async def steady(server: Server, answers: dict[str, str], arguments) -> dict[str, Any]:
    """Throughput, latency and memory while clients ask for some time."""
    load = Load(server, answers, arguments.clients)
    memory, started = [], time.perf_counter()
    while (passed := time.perf_counter() - started) < arguments.seconds:
        memory.append((round(passed, 1), round(server.memory_mib(), 1)))
        await asyncio.sleep(min(5.0, arguments.seconds - passed))
    answered = load.tally.statuses[200]
    seconds = time.perf_counter() - started
    tally = await load.finish()
    memory.append((round(seconds, 1), round(server.memory_mib(), 1)))
    return summary(tally) | {
        "seconds": seconds,
        "texts_per_second": answered / seconds,
        "memory_mib": memory,
    }


async def overload(server, answers, arguments, usual_ms: float) -> dict[str, Any]:
    """What ten times as many clients get, and how soon the server is itself again."""
    load = Load(server, answers, OVERLOAD * arguments.clients)
    await asyncio.sleep(arguments.overload_seconds)
    memory = server.memory_mib()
    tally = await load.finish(hang_up=True)
    started = time.perf_counter()
    connection, text = Connection(server), next(iter(answers))
    while True:
        asked = time.perf_counter()
        status, _ = await connection.ask(text)
        now = time.perf_counter()
        if status == 200 and (now - asked) * 1000 <= usual_ms:
            break
        if now - started > 60:
            raise SystemExit("the server did not recover within a minute")
        await asyncio.sleep(0.02)
    connection.close()
    return summary(tally) | {"recovery_seconds": now - started, "memory_mib": memory}


async def stop(server: Server, answers: dict[str, str], arguments) -> dict[str, Any]:
    """What becomes of requests when the server is told to stop."""
    load = Load(server, answers, arguments.clients)
    await asyncio.sleep(min(3.0, arguments.seconds))
    load.signalled = started = time.perf_counter()
    server.process.send_signal(signal.SIGTERM)
    code = await asyncio.to_thread(server.process.wait, 60)
    seconds = time.perf_counter() - started
    return summary(await load.finish()) | {"exit_code": code, "stop_seconds": seconds}


def summary(tally: Tally) -> dict[str, Any]:
    return {
        "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
        "wrong": tally.wrong,
        "lost": tally.lost,
        "refused_after_signal": tally.turned_away_late,
        "p50_ms": tally.percentile(50),
        "p95_ms": tally.percentile(95),
        "p99_ms": tally.percentile(99),
        "example": tally.example,
    }


async def attacked(server: Server, texts: list[str], arguments) -> dict[str, Any]:
    """What a well-behaved client notices of each attack."""
    target = Target(server.host.port, server.grpc_port, server.name)
    found = {}
    for name in arguments.attack or (*ATTACKS, LOG_NOT_READ):
        say(f"{name}: {arguments.attack_seconds} s")
        await behaved(server, texts, 3 if found else 15)  # whatever is slow the first time
        memory = server.memory_mib()
        quiet = await behaved(server, texts, arguments.attack_seconds)
        process = None
        if name == LOG_NOT_READ:
            server.reading.clear()
        else:
            process = multiprocessing.get_context("spawn").Process(
                target=run_attack, args=(name, target), daemon=True
            )
            process.start()
        await asyncio.sleep(2)  # until it is under way
        during = await behaved(server, texts, arguments.attack_seconds)
        most = server.memory_mib()
        server.reading.set()
        if process is not None:
            process.terminate()
            process.join()
        await asyncio.sleep(AFTER)
        after = server.memory_mib()
        found[name] = {"quiet": quiet, "during": during, "memory_mib": [memory, most, after]}
    return found


def run_attack(name: str, target: Target) -> None:
    """An attack in a process of its own, until that is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(ATTACKS[name](target))


async def behaved(server: Server, texts: list[str], seconds: float) -> dict[str, Any]:
    """Milliseconds that one client, and one who asks for health on new connections, wait."""
    until = time.perf_counter() + seconds
    found = {"predict": [], "health": []}
    failures = []

    async def predict():
        connection = Connection(server)
        for text in itertools.cycle(texts):
            started = time.perf_counter()
            if started > until:
                return connection.close()
            try:
                status, _ = await asyncio.wait_for(connection.ask(text), 60)
            except (OSError, EOFError) as error:
                connection.close()
                status = repr(error)
            if status != 200:
                failures.append(status)
            found["predict"].append((time.perf_counter() - started) * 1000)

    async def health():
        while (started := time.perf_counter()) < until:
            reader, writer = await asyncio.open_connection(server.host.hostname, server.host.port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if not (await reader.read()).startswith(b"HTTP/1.1 200 "):
                failures.append("health")
            writer.close()
            found["health"].append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.05)

    await asyncio.gather(predict(), health())
    return {
        key: {"count": len(times), "p99_ms": statistics.quantiles(times, n=100)[98]}
        | {"p50_ms": statistics.median(times), "most_ms": max(times)}
        for key, times in found.items()
    } | {"failures": failures[:10], "failed": len(failures)}


def attack_table(result: dict[str, Any]) -> str:
    """The attacks, one a line."""
    lines = [f"{'':24}{'p99, quiet':>12}{'attacked':>10}{'times':>7}{'health p99':>12}{'most':>7}"]
    lines[0] += f"{'failed':>8}{'MiB before':>12}{'during':>8}{'after':>8}"
    for name, found in result.items():
        quiet, during = found["quiet"]["predict"]["p99_ms"], found["during"]["predict"]["p99_ms"]
        health, (before, most, after) = found["during"]["health"], found["memory_mib"]
        line = f"{name:24}{quiet:9.0f} ms{during:7.0f} ms{during / quiet:7.2f}"
        line += (
            f"{health['p99_ms']:9.1f} ms{health['most_ms']:4.0f} ms{found['during']['failed']:8}"
        )
        lines.append(f"{line}{before:12.0f}{most:8.0f}{after:8.0f}")
    return "\n".join(lines)


def withstood(found: dict[str, Any]) -> bool:
    """Whether an attack did as little as is promised."""
    before, _, after = found["memory_mib"]
    return (
        not found["during"]["failed"]
        and found["during"]["predict"]["p99_ms"] < 3 * found["quiet"]["predict"]["p99_ms"]
        and found["during"]["health"]["p99_ms"] < 100
        and after < 1.1 * before
    )


async def measure(server: Server, answers: dict[str, str], arguments) -> dict[str, Any]:
    random.seed(1)
    phases = {}
    say(f"steady: {arguments.clients} clients, {arguments.seconds} s")
    phases["steady"] = await steady(server, answers, arguments)
    say(f"overload: {OVERLOAD * arguments.clients} clients, {arguments.overload_seconds} s")
    usual_ms = phases["steady"]["p95_ms"]
    phases["overload"] = await overload(server, answers, arguments, usual_ms)
    return phases


def table(result: dict[str, Any]) -> str:
    """The phases, one a line."""
    lines = [f"{'':10}{'200':>9}{'503':>9}{'other':>7}{'wrong':>7}{'lost':>6}"]
    lines[0] += f"{'p50':>10}{'p95':>10}{'p99':>10}"
    for name in ("steady", "overload", "stop"):
        phase = result[name]
        counts = dict(phase["statuses"])
        ok, busy = counts.pop("200", 0), counts.pop("503", 0)
        line = f"{name:10}{ok:9,}{busy:9,}{sum(counts.values()):7,}{phase['wrong']:7,}"
        line += f"{phase['lost']:6,}"
        for percent in (50, 95, 99):
            line += f"{phase[f'p{percent}_ms']:7,.0f} ms"
        lines.append(line)
    memory = [mib for _, mib in result["steady"]["memory_mib"]]
    return "\n".join(
        [
            *lines,
            "",
            f"steady   {result['steady']['texts_per_second']:.1f} texts/s, "
            f"{result['ratio']:.2f} of {statistics.mean(result['offline']):.1f} offline",
            f"memory   {memory[0]:,.0f} MiB at first, {memory[-1]:,.0f} at the end, "
            f"{result['overload']['memory_mib']:,.0f} in the overload",
            f"overload usual latency again after {result['overload']['recovery_seconds']:.2f} s",
            f"stop     {result['stop']['stop_seconds']:.1f} s, "
            f"exit code {result['stop']['exit_code']}",
        ]
    )


def read_texts(arguments: argparse.Namespace) -> list[str]:
    """Different texts, in the file's order."""
    if arguments.pairs:
        from keras_transformer.data.corpora.pair_files import read_pairs

        lines = [source for source, _ in read_pairs(arguments.pairs)]
    else:
        lines = Path(arguments.texts).read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(line for line in lines if line.strip()))[: arguments.sentences]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--saved-model", type=Path, required=True, help="such as saved_models/NAME")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--texts", help="a file, one text a line")
    source.add_argument("--pairs", help="SRC,TGT or FILE.tsv, of which the sources are translated")
    parser.add_argument("--sentences", type=positive, default=2000, help="at most so many")
    parser.add_argument("--seconds", type=positive, default=300, help="of the steady phase")
    parser.add_argument("--overload-seconds", type=positive, default=30)
    parser.add_argument("--clients", type=positive, default=64)
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, default=True, help="XLA, on both sides"
    )
    parser.add_argument(
        "--attack",
        nargs="*",
        choices=(*ATTACKS, LOG_NOT_READ),
        help="measure attacks instead; all unless named",
    )
    parser.add_argument("--attack-seconds", type=positive, default=20)
    parser.add_argument(
        "--json", type=Path, help="where the result goes; a temporary file if unset"
    )
    return parser.parse_args()


def attack(texts: list[str], arguments, path: Path) -> int:
    """Measures attacks on a server with the limits that it has unless told."""
    options = {
        "saved_model": str(arguments.saved_model),
        "port": 0,
        "grpc_port": 0,
        "compile": arguments.compile,
        "json_logs": True,
    }
    server = Server(arguments.saved_model, options)
    try:
        result = asyncio.run(attacked(server, texts, arguments))
    finally:
        server.close()
    content = {"machine": machine(), "versions": versions(), "settings": vars(arguments)}
    path.write_text(json.dumps(content | {"result": result}, indent=2, default=str) + "\n")
    print(attack_table(result))
    say(f"written to {path}")
    return 0 if all(map(withstood, result.values())) else 1


def main() -> int:
    arguments = parse_arguments()
    host = machine()
    os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    use_compile_cache()  # for both sides: compiling is not what is measured here
    path = arguments.json or Path(tempfile.mkdtemp()) / "serving.json"
    texts = read_texts(arguments)
    if arguments.attack is not None:
        return attack(texts, arguments, path)
    numbers = [there.name for there in arguments.saved_model.iterdir() if there.name.isdecimal()]
    offline = Offline(arguments.saved_model / max(numbers, key=int), arguments.compile)
    say(f"offline: {len(texts)} texts")
    offline(texts)  # builds and compiles everything
    answers, before = offline(texts)
    options = {
        "saved_model": str(arguments.saved_model),
        "port": 0,
        "grpc_port": None,
        "compile": arguments.compile,
        "max_queue": 3 * arguments.clients,
        "max_texts": 1,
        "json_logs": True,
    }
    server = Server(arguments.saved_model, options)
    try:
        result = asyncio.run(measure(server, answers, arguments))
        say("offline again")
        result["offline"] = [before, offline(texts)[1]]
        say("stop")
        result["stop"] = asyncio.run(stop(server, answers, arguments))
    finally:
        server.close()
        offline.executor.shutdown()
    offline_mean = statistics.mean(result["offline"])
    result["ratio"] = result["steady"]["texts_per_second"] / offline_mean
    settings = vars(arguments) | {"texts": len(texts), "start_seconds": server.start_seconds}
    content = {"machine": host, "versions": versions(), "settings": settings, "result": result}
    path.write_text(json.dumps(content, indent=2, default=str) + "\n")
    print(table(result))
    say(f"written to {path}")
    phases = [result[name] for name in ("steady", "overload", "stop")]
    kept = all(
        phase["statuses"].keys() <= {"200", "503"} and not phase["wrong"] + phase["lost"]
        for phase in phases
    )
    return 0 if kept and result["stop"]["exit_code"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
