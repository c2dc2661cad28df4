"""The searches of one model, and when to compile them."""

import dataclasses
import threading
import time
from collections.abc import Callable

import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.decoding.search import Search, SearchResult

PATIENCE = 60.0
"""Seconds of searching after which compiling, which takes about as long, is worthwhile."""

_NOT_OF_THE_SEARCH = {"seed": 0, "max_length": None, "length_ratio": 1.0, "length_offset": 0}
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
        search = self.get(config, jit_compile)
        seed = config.seed if seed is None else seed
        start = time.perf_counter()
        found = search(source, limits, seed=seed, **arguments)
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
