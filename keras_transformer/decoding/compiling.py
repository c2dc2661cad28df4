"""The searches of one model, and when to compile them."""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable

import tensorflow as tf

from keras_transformer.compile_cache import failed_in_cache
from keras_transformer.config import DecodingConfig
from keras_transformer.decoding.search import Search, SearchResult

logger = logging.getLogger(__name__)

OPTIMIZE_AFTER = 10.0
"""Seconds of searching after which TensorFlow's optimiser of graphs, which takes some of them, is
worthwhile."""

PATIENCE = 60.0
"""Seconds of searching after which compiling, which takes about as long, is worthwhile."""

_NOT_OF_THE_SEARCH = {
    "sentences": True,
    "to": None,
    "keep": (),
    "glossary_mode": None,
    "seed": 0,
    "mbr": None,
    "mbr_metric": "chrf",
    "max_length": None,
    "length_ratio": 1.0,
    "length_offset": 0,
}
"""Fields of `DecodingConfig` that `Search` does not read; its caller passes seed and limits."""


class Searches:
    """Keeps one `Search` for each configuration, and compiles them once that pays.

    Programs are traced and compiled once for each `Search`, so they are kept. Threads may share
    the object. Like `Search` it is no `tf.Module`.

    Args:
        make: ``make(config, jit_compile=...)`` gives a `Search`.

    Attributes:
        seconds: time spent with searching so far.
    """

    def __init__(self, make: Callable[..., Search]):
        self.seconds = 0.0
        self._cannot_compile = False
        self._make = make
        self._searches: dict[tuple[DecodingConfig, bool], Search] = {}
        self._lock = threading.Lock()

    def search(
        self, source, limits, config, *, seed=None, jit_compile=None, **arguments
    ) -> SearchResult:
        """Searches by a configuration.

        Works eagerly and inside a graph.

        Args:
            source, limits: as for `Search`.
            config: a `DecodingConfig`.
            seed: of sampling; that of `config` unless given.
            jit_compile: compile the search with XLA; ``None`` does on a GPU, and elsewhere after
                `PATIENCE` seconds of searching, but not inside a graph.
            arguments: `streams` and `prefix` of `Search`.
        """
        eager = tf.executing_eagerly()
        if jit_compile is None:
            jit_compile = eager and self.compiling_pays()
        jit_compile = jit_compile and not self._cannot_compile
        arguments["seed"] = config.seed if seed is None else seed
        arguments["optimized"] = self.seconds > OPTIMIZE_AFTER
        start = time.perf_counter()
        try:
            found = self.get(config, jit_compile)(source, limits, **arguments)
        except tf.errors.OpError as error:
            if not (jit_compile and failed_in_cache(error)):
                raise
            self._cannot_compile = True
            logger.warning(
                "The cache of compiled programs fails (%s): searching without XLA. Free some "
                "space, or set XDG_CACHE_HOME to another folder.",
                str(error).splitlines()[0],
            )
            found = self.get(config, False)(source, limits, **arguments)
        if eager:
            found.scores.numpy()  # waits for the result
            self.seconds += time.perf_counter() - start
        return found

    def compiling_pays(self) -> bool:
        """Whether to compile searches: on a GPU, and after `PATIENCE` seconds of searching."""
        return self.seconds > PATIENCE or bool(tf.config.list_physical_devices("GPU"))

    def get(self, config, jit_compile) -> Search:
        """The `Search` of a `DecodingConfig`, made when it is first asked for."""
        kind = dataclasses.replace(config, **_NOT_OF_THE_SEARCH)
        with self._lock:
            if (kind, jit_compile) not in self._searches:
                self._searches[kind, jit_compile] = self._make(kind, jit_compile=jit_compile)
            return self._searches[kind, jit_compile]
