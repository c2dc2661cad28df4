"""Kills a training with SIGKILL at random moments, resumes it, and compares the weights.

    python tests/training/kill_and_resume.py --kills 20

A run that was killed and resumed must end with the very arrays of one that was not. Where one ends
before it was killed as often as wanted, another begins.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

RECIPE = """
model: {num_layers: 2, d_model: 32, num_heads: 4, dff: 64, dropout_rate: 0.1}
tokenizer: {vocab_size: 800}
training:
  batch_tokens: 1024
  warmup_steps: 100
  max_tokens: 64
  label_smoothing: 0.1
  average_decay: 0.99
  subword_dropout: 0.1
  accumulate: 2
  bleu_sentences: 8
  checkpoint_minutes: 0.02
"""


def command(folder: Path, recipe: Path, steps: int) -> list[str]:
    return [
        *(sys.executable, "-m", "keras_transformer", "train", "--dataset", "sample"),
        *("--config", str(recipe), "--max-steps", str(steps)),
        *("--output", str(folder), "--resume"),
    ]


def run_to_the_end(folder: Path, recipe: Path, steps: int) -> float:
    """Trains without interruption; returns the seconds it took."""
    started = time.monotonic()
    subprocess.run(command(folder, recipe, steps), check=True, capture_output=True)
    return time.monotonic() - started


def run_with_kills(folder: Path, recipe: Path, steps: int, kills: int, longest: float) -> int:
    """Kills and resumes at most `kills` times, then lets the run end; returns how often."""
    killed = 0
    while killed < kills:
        process = subprocess.Popen(
            command(folder, recipe, steps), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        moment = random.uniform(0.5, longest)
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
            saved = sorted(path.name for path in folder.glob("checkpoints/*.npz"))
            print(f"kill {killed} after {moment:.1f} s: {saved}", flush=True)
        else:
            break
    run_to_the_end(folder, recipe, steps)
    return killed


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of an HDF5 file by its name."""
    found = {}

    def keep(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(keep)
    return found


def differences(one: Path, other: Path) -> list[str]:
    """Names of the arrays of two files that are not the same to the last bit."""
    first, second = arrays(one), arrays(other)
    return [
        name
        for name in sorted(first.keys() | second.keys())
        if name not in first
        or name not in second
        or first[name].tobytes() != second[name].tobytes()
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        recipe = folder / "recipe.yaml"
        recipe.write_text(RECIPE)
        seconds = run_to_the_end(folder / "whole", recipe, options.steps)
        print(f"without interruption: {seconds:.0f} s", flush=True)
        # Late enough to get on, early enough to need every resumption.
        startup = run_to_the_end(folder / "started", recipe, 1)
        longest = startup + 2 * (seconds - startup) / options.kills
        whole = folder / "whole" / "model.weights.h5"
        kills = 0
        while kills < options.kills:
            killed = folder / f"killed_after_{kills}"
            more = run_with_kills(killed, recipe, options.steps, options.kills - kills, longest)
            different = differences(whole, killed / "model.weights.h5")
            print(f"{more} kills, {len(arrays(whole))} arrays, {len(different)} differ", flush=True)
            if different:
                sys.exit(f"differing arrays: {different}")
            kills += more


if __name__ == "__main__":
    main()
