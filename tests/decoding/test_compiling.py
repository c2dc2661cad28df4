"""Searches: one for each kind of configuration, compiled when that pays."""

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import tensorflow as tf

from keras_transformer.config import DecodingConfig
from keras_transformer.decoding import compiling
from keras_transformer.decoding.compiling import Searches
from keras_transformer.decoding.search import SearchResult

CALLERS_FIELDS = {
    "sentences": False,
    "to": "en",
    "seed": 3,
    "max_length": 9,
    "length_ratio": 2.5,
    "length_offset": 4,
    "keep": ("ACME",),
    "glossary_mode": "annotate",
    "mbr": 4,
    "mbr_metric": "bleu",
}
"""Fields that callers of a `Search` apply, with other values than the defaults."""

SEARCHS_FIELDS = {
    "min_length": 1,
    "beam_size": 2,
    "n_best": 2,
    "length_penalty": 0.5,
    "length_penalty_kind": "gnmt",
    "early_stopping": False,
    "patience": 2.0,
    "no_repeat_ngram": 3,
    "forbid_unknown": True,
    "shortlist": 50,
    "sampling": True,
    "temperature": 0.5,
    "top_k": 5,
    "top_p": 0.9,
}
"""The fields that decide how a `Search` goes, likewise."""


class Recorder:
    """Makes searches that record how they are made and called, and find nothing."""

    def __init__(self):
        self.made, self.seeds = [], []

    def __call__(self, config, *, jit_compile):
        time.sleep(0.01)  # gives other threads time to ask for the same
        self.made.append((config, jit_compile))

        def search(source, limits, *, seed, **arguments):
            self.seeds.append(seed)
            nothing = tf.zeros((len(source), 1))
            return SearchResult(nothing, nothing, nothing, nothing)

        return search


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])


@pytest.mark.parametrize("jit_compile", [None, False, True])
@pytest.mark.parametrize("gpus", [[], ["a GPU"]], ids=["CPU", "GPU"])
@pytest.mark.parametrize("seconds", [0.0, compiling.PATIENCE + 1])
def test_a_search_is_compiled_when_it_pays_or_is_asked_for(seconds, gpus, jit_compile, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: gpus)
    make = Recorder()
    searches = Searches(make)
    searches.seconds = seconds
    searches.search([[5]], [1], DecodingConfig(), jit_compile=jit_compile)
    pays = bool(gpus) or seconds > 0
    assert searches.compiling_pays() == pays
    assert [compiled for _, compiled in make.made] == [pays if jit_compile is None else jit_compile]


@pytest.mark.usefixtures("no_gpu")
def test_seconds_of_searching_are_counted_until_compiling_pays(monkeypatch):
    make = Recorder()
    searches = Searches(make)
    monkeypatch.setattr(compiling, "PATIENCE", 0.0)
    for _ in range(2):
        searches.search([[5]], [1], DecodingConfig())
    assert searches.seconds > 0
    assert [compiled for _, compiled in make.made] == [False, True]


def test_inside_a_graph_nothing_is_counted_or_compiled_unless_asked_for():
    make = Recorder()
    searches = Searches(make)
    searches.seconds = counted = compiling.PATIENCE + 1

    @tf.function
    def in_graph():
        return searches.search([[5]], [1], DecodingConfig()).scores

    in_graph()
    assert searches.seconds == counted
    assert [compiled for _, compiled in make.made] == [False]


@pytest.mark.parametrize("field", list(CALLERS_FIELDS))
def test_fields_that_the_caller_applies_need_no_search_of_their_own(field):
    make = Recorder()
    searches = Searches(make)
    config = DecodingConfig(sampling=True) if field == "mbr" else DecodingConfig(beam_size=3)
    changed = dataclasses.replace(config, **{field: CALLERS_FIELDS[field]})
    assert changed != config
    assert searches.get(config, False) is searches.get(changed, False)
    assert len(make.made) == 1


@pytest.mark.parametrize("field", list(SEARCHS_FIELDS))
def test_every_other_field_makes_another_search(field):
    make = Recorder()
    searches = Searches(make)
    options = {"sampling": True} if field in ("n_best", "temperature", "top_k", "top_p") else {}
    config = DecodingConfig(**options)
    changed = dataclasses.replace(config, **{field: SEARCHS_FIELDS[field]})
    assert searches.get(config, False) is not searches.get(changed, False)
    given = [getattr(made, field) for made, _ in make.made]
    assert given == [getattr(config, field), SEARCHS_FIELDS[field]]


def test_the_fields_above_are_all_there_are():
    names = [field.name for field in dataclasses.fields(DecodingConfig)]
    assert sorted(names) == sorted([*CALLERS_FIELDS, *SEARCHS_FIELDS])


def test_compiled_searches_are_others():
    searches = Searches(Recorder())
    assert searches.get(DecodingConfig(), False) is not searches.get(DecodingConfig(), True)


def test_threads_get_one_search():
    make = Recorder()
    searches = Searches(make)
    barrier = threading.Barrier(8)

    def ask(_):
        barrier.wait()
        return searches.get(DecodingConfig(), False)

    with ThreadPoolExecutor(8) as executor:
        found = list(executor.map(ask, range(8)))
    assert len(make.made) == 1
    assert all(search is found[0] for search in found)


@pytest.mark.usefixtures("no_gpu")
def test_the_seed_is_that_of_the_call_or_of_the_configuration():
    make = Recorder()
    searches = Searches(make)
    searches.search([[5]], [1], DecodingConfig(seed=7))
    searches.search([[5]], [1], DecodingConfig(seed=7), seed=0)
    assert make.seeds == [7, 0]
