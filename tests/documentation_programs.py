"""Programs in the place of those that the documents' commands call: quicker, and quieter.

They are put first in the path of a block that is executed. Trainings stop after a few steps on
little data, installing installs nothing, and a server listens where the test says.
"""

import os
import sys
from pathlib import Path

LITTLE = """\
import dataclasses
from keras_transformer.data.corpora import load

_load = load.load_corpus

def load_little(*arguments, **options):
    corpus = _load(*arguments, **options)
    sizes = {"train": 1000, "validation": 40, "test": 40}
    parts = {part: getattr(corpus, part) for part in sizes}
    return dataclasses.replace(
        corpus, **{name: part and part.take(sizes[name]) for name, part in parts.items()}
    )

load.load_corpus = load_little
"""
"""Makes `load_corpus` take a thousand pairs of what it is asked for."""

KERAS_TRANSFORMER = f"""\
#!{sys.executable}
import os, sys
{LITTLE}
from keras_transformer.cli import main

more = {{
    "train": ["--max-steps", "2"],
    "serve": ["--no-compile", "--port", os.environ.get("REST_PORT", "0"),
              "--grpc-port", os.environ.get("GRPC_PORT", "0")],
}}
sys.argv += more.get(sys.argv[1], [])
main()
"""

# An environment of its own has what was installed into it: see PIP.
PYTHON = f"""\
#!/bin/bash
here=$(dirname "$(readlink -f "$0")")
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin" && cp "$here/pip" "$3/bin/pip" ;;
  "benchmarks/decoding.py "*) exec {sys.executable} "$@" --dataset sample --sentences 4 \\
    --slow-sentences 1 --batch-sizes 1 --repeats 1 --systems package ;;
  *) exec {sys.executable} "$@" ;;
esac
"""

PIP = """\
#!/bin/bash
here=$(dirname "$0")
case "${@: -1}" in
  .) names=keras-transformer ;;
  *test*) names="keras-transformer pytest ruff" ;;
  *) exit 1 ;;
esac
for name in $names; do cp "$PROGRAMS/$name" "$here/$name"; done
"""

PYTEST = f"""\
#!/bin/bash
exec {sys.executable} -m pytest --version
"""

RUFF = f"""\
#!/bin/bash
exec {sys.executable} -m ruff --version
"""

CURL = """\
#!/bin/bash
export PATH="$OTHER_PATH"
exec curl -sS --fail-with-body "${@//localhost:8501/127.0.0.1:$REST_PORT}"
"""

PROGRAMS = {
    "keras-transformer": KERAS_TRANSFORMER,
    "python": PYTHON,
    "python3": PYTHON,
    "pip": PIP,
    "pytest": PYTEST,
    "ruff": RUFF,
    "curl": CURL,
}


def write_programs(folder: Path) -> dict[str, str]:
    """Writes the programs into a folder.

    Returns:
        the environment that finds them first.
    """
    for name, text in PROGRAMS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    others = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {
        "PATH": os.pathsep.join([str(folder), others]),
        "OTHER_PATH": os.environ["PATH"],
        "PROGRAMS": str(folder),
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MPLBACKEND": "agg",
    }
