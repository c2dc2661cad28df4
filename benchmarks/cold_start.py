"""python benchmarks/cold_start.py --model RUN --saved-model DIR [--repeats N] [--json FILE]

Seconds from the shell to a first translation of one sentence, each in a process of its own: with a
run, with its export, with the export as TensorFlow alone loads it, and of starting TensorFlow and
its text operations, which none can do without; also of ``info`` on the export, and of ``serve``
until it says that it is ready. Rounds in turn, medians.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from common import machine, positive, say, write_result

SENTENCE = "Este é um problema que temos que resolver."

IMPORTS = "import tensorflow, tensorflow_text"
PLAIN = f"""
import sys
import tensorflow as tf, tensorflow_text
model = tf.saved_model.load(sys.argv[1])
text = tf.constant([{SENTENCE!r}])
print(model.signatures["serving_default"](text=text)["translation"].numpy()[0].decode())
"""

VERB = sys.executable, "-m", "keras_transformer"


def commands(arguments) -> dict[str, list[str]]:
    """What is run, by its name in the table."""
    version = max(Path(arguments.saved_model).glob("[0-9]*"), key=lambda path: int(path.name))
    return {
        "TensorFlow started": [sys.executable, "-c", IMPORTS],
        "a run, translate": [*VERB, "translate", "--model", arguments.model, SENTENCE],
        "an export, translate": [*VERB, "translate", "--model", arguments.saved_model, SENTENCE],
        "an export, tf.saved_model.load": [sys.executable, "-c", PLAIN, str(version)],
        "an export, info": [*VERB, "info", "--model", arguments.saved_model],
    }


def timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def until_ready(saved_model: str) -> float:
    """Seconds until a server of an export says that it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.perf_counter()
    command = [*VERB, "serve", "--saved-model", saved_model, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while server.poll() is None:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                        return time.perf_counter() - start
                except (urllib.error.URLError, ConnectionError, TimeoutError):
                    time.sleep(0.1)
            raise RuntimeError(f"the server stopped with {server.returncode}")
        finally:
            server.terminate()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a run folder")
    parser.add_argument("--saved-model", required=True, help="what export wrote of it")
    parser.add_argument("--repeats", type=positive, default=3, help="rounds")
    parser.add_argument("--json", type=Path, help="where the result goes")
    arguments = parser.parse_args()
    host = machine()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    measure = {
        name: lambda command=command: timed(command)
        for name, command in commands(arguments).items()
    }
    measure["an export, serve until ready"] = lambda: until_ready(arguments.saved_model)
    seconds: dict[str, list[float]] = {name: [] for name in measure}
    for repeat in range(arguments.repeats + 1):  # the first one reads the files from the disk
        for name, one in measure.items():
            taken = one()
            say(f"round {repeat}: {name} {taken:.1f} s")
            if repeat:
                seconds[name].append(taken)
    print(f"{'':32}{'seconds':>8}")
    for name, taken in seconds.items():
        print(f"{name:32}{statistics.median(taken):8.1f}")
    write_result(arguments, host, {}, seconds=seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
