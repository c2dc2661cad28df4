"""Fixtures that tests of several modules share."""

import contextlib
import ctypes
import fcntl
import gc
import json
import os
import sys
from pathlib import Path

import pytest

# The command line keeps compiled programs in the user's home unless this is set.
os.environ.setdefault("TF_XLA_FLAGS", "")


_MUCH_MEMORY = 3 * 2**30
"""Bytes of a process beyond which it gives back what it can."""


# The default tests run most programs once, for milliseconds. To optimise their machine code and
# their graphs costs much more than it saves there, and changes nothing in what this package gives
# to XLA and TensorFlow. The slow tests run what users run.
def pytest_configure(config):
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # of the workers, which this process starts
    if config.option.markexpr == "not slow":
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


def pytest_collection_finish(session):
    if session.config.option.markexpr == "not slow" and "tensorflow" in sys.modules:
        optimizer = sys.modules["tensorflow"].config.optimizer
        optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.fixture(scope="module", autouse=True)
def memory_goes_back():
    """What the tests of a module took goes back to the system: one process runs a hundred modules.

    Graphs and models hold one another in circles, and the C library keeps what is freed.
    """
    yield
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        if pages * os.sysconf("SC_PAGE_SIZE") > _MUCH_MEMORY:
            gc.collect()
            with contextlib.suppress(AttributeError, OSError):  # another C library
                ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of corpora for checks, beside the repository; tests skip where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("KERAS_TRANSFORMER_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder} (set KERAS_TRANSFORMER_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def tiny_corpus():
    """A thousand pairs of the sample corpus to train on, forty to validate, forty to test."""
    from keras_transformer.data.corpora.corpus import Corpus, dataset_of
    from keras_transformer.data.corpora.sample import read_sample

    sample = read_sample()
    return Corpus(
        name="tiny",
        source_language="pt",
        target_language="en",
        train=dataset_of(sample["train"][:1000]),
        validation=dataset_of(sample["validation"][:40]),
        test=dataset_of(sample["test"][:40]),
    )


@pytest.fixture(scope="session")
def tiny_config():
    """A small model and few steps: it learns to say something, not much more."""
    from keras_transformer.config import Config

    return Config().replace(
        {
            "model": {
                "num_layers": 2,
                "d_model": 32,
                "num_heads": 4,
                "dff": 64,
                "dropout_rate": 0.0,
                "norm_first": True,
                "max_length": 96,
            },
            "tokenizer": {"vocab_size": 800},
            "training": {
                "epochs": None,
                "max_steps": 200,
                "batch_tokens": 1024,
                "warmup_steps": 100,
                "learning_rate_scale": 0.5,
                "max_tokens": 64,
                "bleu_sentences": 0,
            },
        }
    )


@contextlib.contextmanager
def nobody_watches():
    """Trainings translate no samples and draw no pictures meanwhile: most of a short one's time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("keras_transformer.training.run._callbacks", lambda *_: [])
        yield


@pytest.fixture(scope="module")
def unwatched():
    """Trainings of the module show nothing."""
    with nobody_watches():
        yield


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, tiny_corpus, tiny_config):
    """A finished run, trained once for all test processes; tests must not write into its folder."""
    from keras_transformer.training.run import Run, train
    from keras_transformer.translating.translator import Translator

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny_run"
    with (folder.parent / "tiny_run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "metrics.json").exists():
            with nobody_watches():
                train(tiny_corpus, folder, tiny_config)
    translator = Translator.load(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    return Run(folder, translator, metrics, translator.transformer)
