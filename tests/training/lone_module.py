"""Child processes that load one module of the package, for tests that kill them."""

import subprocess
import sys
import textwrap
from pathlib import Path


def start(module, script, *arguments) -> subprocess.Popen:
    """Starts a script that knows one module by its last name, and its first argument as `folder`.

    The module's file is loaded, not the package around it, which would start TensorFlow.
    """
    name = module.__name__.rpartition(".")[2]
    prelude = f"""
import importlib.util, os, sys, time
import numpy as np
spec = importlib.util.spec_from_file_location({name!r}, {module.__file__!r})
{name} = sys.modules[{name!r}] = importlib.util.module_from_spec(spec)
spec.loader.exec_module({name})
folder = sys.argv[1]
"""
    return subprocess.Popen(
        [sys.executable, "-c", prelude + textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(module.__file__).parents[2],
    )
