"""Several corpora as one: weighted, with tags before their sources, and filtered.

A file that `read_mixture` reads is a corpus by the name `mix:FILE`:

    datasets:
      - {dataset: ted_hrlr_translate/gl_to_en, weight: 4}
      - dataset: "pairs:web.pt.gz,web.en.gz"
        tags: [<web>]
        filters: {max_ratio: 2.5, check_language: true}

Sources: temperatures, Arivazhagan et al. (2019), arXiv 1907.05019; tags of languages, Johnson et
al. (2017), arXiv 1611.04558.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pydantic
import tensorflow as tf
import yaml
from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from keras_transformer.data.corpora.corpus import UNKNOWN_LANGUAGE, Corpus
from keras_transformer.data.corpora.held_out import key_hashes
from keras_transformer.data.corpora.pair_filters import PairFilters
from keras_transformer.data.text.tags import check_tags, language_tag
from keras_transformer.errors import InputError

MIXTURE = "mix:"
"""What the name of a mixture begins with."""

SEVERAL_LANGUAGES = "mul"
"""The code of ISO 639-2 for texts of several languages."""

DUPLICATE = "duplicates"

_PAIRS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class CorpusPart:
    """A corpus, and what it is in a mixture.

    Attributes:
        corpus: pairs; its validation and test parts are those of the mixture, too.
        weight: how often a pair is seen, as against those of the other corpora.
        tags: stand before its sources, such as `<web>`.
        filters: limits that its training pairs have to keep, if there are any.
        drop_duplicates: leave out training pairs that have been there before, in this corpus or in
            one before it; case and spacing do not matter.
    """

    corpus: Corpus
    weight: float = 1.0
    tags: Sequence[str] = ()
    filters: PairFilters | None = None
    drop_duplicates: bool = False


def mix_corpora(
    parts: Sequence[Corpus | CorpusPart],
    *,
    name: str | None = None,
    temperature: float | None = None,
    language_tags: bool | None = None,
) -> Corpus:
    """Makes one corpus of several.

    No pair is left out but by filters: those of the corpus with the least weight are there once in
    each epoch, others so many times more often, the fraction being some of its pairs, spread evenly
    over it.

    Args:
        parts: the corpora.
        name: of the mixture; unless given, those of the corpora.
        temperature: in place of weights: corpora are seen in proportion to the number of their
            pairs to the power of ``1 / temperature``. With 1 they are joined as they are, with a
            larger one smaller corpora are seen more often; 5 is usual for many languages.
        language_tags: put `<2xx>` before sources, xx being the language that they are translated
            to; unless given, where there are several such languages.

    Returns:
        the mixture. What became of each corpus stands in its `notes`.

    Raises:
        InputError: for no corpora, wrong values, and languages that need a name.
    """
    parts = [part if isinstance(part, CorpusPart) else CorpusPart(part) for part in parts]
    if not parts:
        raise InputError("a mixture needs a corpus: give one or more")
    corpora = [part.corpus for part in parts]
    tags = _tags_of(parts, language_tags)
    trains = [
        _FilteredPairs(part, tagged)
        for part, tagged in zip(parts, tags, strict=True)
        if part.corpus.train is not None
    ]
    if not trains:
        corpora[0].require("train")
    _drop_duplicates([train for train in trains if train.part.drop_duplicates])
    factors = _factors(trains, temperature)
    kinds = {corpus.normalization for corpus in corpora}
    states = [corpus.train_files for corpus in corpora]
    settings = [(part.filters, part.drop_duplicates, part.weight) for part in parts]
    notes = [
        train.note(factor)
        for train, factor in zip(trains, factors, strict=True)
        if train.left_out or factor > 1
    ]
    return Corpus(
        name or " + ".join(corpus.name for corpus in corpora),
        train=_joined(
            [
                _repeated(train.dataset(), train.count, factor)
                for train, factor in zip(trains, factors, strict=True)
            ]
        ),
        **{
            split: _joined(
                [
                    _with_tags(pairs, tagged)
                    for corpus, tagged in zip(corpora, tags, strict=True)
                    if (pairs := getattr(corpus, split)) is not None
                ]
            )
            for split in ("validation", "test")
        },
        source_language=_common([corpus.source_language for corpus in corpora]),
        target_language=_common([corpus.target_language for corpus in corpora]),
        normalization=kinds.pop() if len(kinds) == 1 else "none",
        licence=" ".join(dict.fromkeys(corpus.licence for corpus in corpora if corpus.licence)),
        remedy=next(filter(None, (corpus.remedy for corpus in corpora)), ""),
        train_files=f"{states} {settings} {tags} {temperature}" if all(states) else "",
        tags=check_tags([tag for tagged in tags for tag in tagged]),
        notes=(*(note for corpus in corpora for note in corpus.notes), *notes),
    )


def _tags_of(parts: Sequence[CorpusPart], language_tags: bool | None) -> list[tuple[str, ...]]:
    """The tags before the sources of each corpus, that of the language first."""
    languages = [part.corpus.target_language for part in parts]
    if language_tags is None:
        language_tags = len(set(languages)) > 1
    if language_tags and UNKNOWN_LANGUAGE in languages:
        corpus = parts[languages.index(UNKNOWN_LANGUAGE)].corpus
        raise InputError(
            f"{corpus.name}: its target language is not known, which tags of languages need: name "
            "it (target_language)"
        )
    return [
        check_tags([language_tag(language), *part.tags] if language_tags else part.tags)
        for part, language in zip(parts, languages, strict=True)
    ]


def _common(languages: Sequence[str]) -> str:
    """The language of all, or the code for several."""
    known = set(languages) - {UNKNOWN_LANGUAGE}
    if len(known) > 1:
        return SEVERAL_LANGUAGES
    return known.pop() if known else UNKNOWN_LANGUAGE


class _FilteredPairs:
    """The training pairs of a corpus that its filters leave.

    Attributes:
        part: of the mixture.
        count: how many pairs are left.
        left_out: how many were left out, by the reason.
        hashes: of all pairs, where duplicates are dropped.
    """

    def __init__(self, part: CorpusPart, tags: tuple[str, ...]):
        self.part = part
        self.left_out: Counter[str] = Counter()
        self._tags = tags
        self._all = part.corpus.require("train")
        self.count = int(self._all.cardinality())
        self._kept: np.ndarray | None = None
        self.hashes = np.zeros(0, np.uint64)
        if part.filters is not None or part.drop_duplicates:
            self._look_at_pairs()

    def _look_at_pairs(self):
        filters, corpus = self.part.filters, self.part.corpus
        languages = corpus.source_language, corpus.target_language
        if filters is not None and filters.check_language and UNKNOWN_LANGUAGE in languages:
            raise InputError(
                f"{corpus.name}: its languages are not known, which check_language needs: name "
                "them (source_language, target_language)"
            )
        kept, hashes = [], [self.hashes]
        for sides in _decoded(self._all):
            pairs = list(zip(*sides, strict=True))
            if filters is not None:
                reasons = [filters.reason(*pair, languages) for pair in pairs]
                self.left_out.update(filter(None, reasons))
                kept.append(np.array([reason is None for reason in reasons], bool))
            else:
                kept.append(np.ones(len(pairs), bool))
            if self.part.drop_duplicates:
                hashes.append(key_hashes("\0".join(pair) for pair in pairs))
        self.hashes = np.concatenate(hashes)
        self._keep(np.concatenate([np.zeros(0, bool), *kept]))

    def drop_duplicates(self, is_new: np.ndarray):
        """Leaves out pairs that have been there before, bool ``(pairs,)``."""
        self.left_out[DUPLICATE] = int(np.count_nonzero(self._kept & ~is_new))
        self._keep(self._kept & is_new)

    def _keep(self, kept: np.ndarray):
        self._kept, self.count = kept, int(np.count_nonzero(kept))
        if not self.count:
            raise InputError(f"{self._describe()}: no pair is left: loosen its filters")

    def dataset(self) -> tf.data.Dataset:
        """The pairs that are left, with tags before their sources."""
        dataset = self._all if self._kept is None else chosen(self._all, self._kept)
        return _with_tags(dataset, self._tags)

    def note(self, factor: float) -> str:
        """What became of the corpus."""
        often = f", each {factor:.4g} times in an epoch" if factor > 1 else ""
        return f"{self._describe()}{often}"

    def _describe(self) -> str:
        reasons = [f"{count:,} {reason}" for reason, count in self.left_out.items() if count]
        of_reasons = f" ({', '.join(reasons)} left out)" if reasons else ""
        return f"{self.part.corpus.name}: {self.count:,} pairs{of_reasons}"


def _decoded(dataset: tf.data.Dataset) -> Iterator[list[list[str]]]:
    """Sources and targets of some pairs at a time."""
    for sides in dataset.batch(_PAIRS_AT_ONCE).as_numpy_iterator():
        yield [[text.decode("utf-8", "replace") for text in side] for side in sides]


def _drop_duplicates(trains: Sequence[_FilteredPairs]):
    """Leaves out the pairs of each corpus that were there before."""
    if not trains:
        return
    hashes = np.concatenate([train.hashes for train in trains])
    _, first = np.unique(hashes, return_index=True)
    is_new = np.zeros(len(hashes), bool)
    is_new[first] = True
    ends = np.cumsum([len(train.hashes) for train in trains])
    for train, end in zip(trains, ends, strict=True):
        train.drop_duplicates(is_new[end - len(train.hashes) : end])


def _factors(trains: Sequence[_FilteredPairs], temperature: float | None) -> list[float]:
    """How often the pairs of each corpus are there in an epoch, 1 or more."""
    weights = [train.part.weight for train in trains]
    for train in trains:
        if not (isinstance(train.part.weight, int | float) and 0 < train.part.weight < np.inf):
            raise InputError(
                f"{train.part.corpus.name}: a weight is a number above 0; got "
                f"{train.part.weight!r:.60}"
            )
    if temperature is not None:
        if not (isinstance(temperature, int | float) and 1 <= temperature < np.inf):
            raise InputError(f"a temperature is a number of at least 1; got {temperature!r:.60}")
        if len(set(weights)) > 1:
            raise InputError("weights and a temperature are two ways to mix: leave out one of them")
        weights = [train.count ** (1 / temperature - 1) for train in trains]
    least = min(weights)
    return [weight / least for weight in weights]


def _joined(datasets: Sequence[tf.data.Dataset]) -> tf.data.Dataset | None:
    """Datasets one after the other; ``None`` where there are none."""
    join = tf.data.Dataset.concatenate
    return functools.reduce(join, datasets) if datasets else None


def _with_tags(dataset: tf.data.Dataset, tags: Sequence[str]) -> tf.data.Dataset:
    if not tags:
        return dataset
    before = "".join(f"{tag} " for tag in tags)
    return dataset.map(lambda source, target: (before + source, target))


def _repeated(dataset: tf.data.Dataset, count: int, factor: float) -> tf.data.Dataset:
    """A dataset so many times; the fraction is some of its pairs, evenly spread."""
    whole = int(factor)
    repeated = dataset.repeat(whole)
    some = round(count * (factor - whole))
    if not some:
        return repeated
    places = np.arange(count) * some // count
    return repeated.concatenate(chosen(dataset, np.diff(places, append=some) > 0))


def chosen(dataset: tf.data.Dataset, which: np.ndarray) -> tf.data.Dataset:
    """Some elements of a dataset of pairs.

    Args:
        dataset: of pairs.
        which: those that are wanted, bool ``(pairs,)``.
    """
    flags = tf.data.Dataset.from_tensor_slices(tf.constant(which))
    both = tf.data.Dataset.zip((flags, dataset)).filter(lambda wanted, _: wanted)
    count = int(np.count_nonzero(which))
    return both.map(lambda _, pair: pair).apply(tf.data.experimental.assert_cardinality(count))


# Files of mixtures

_STRICT = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)


@checked_dataclass(frozen=True, config=_STRICT)
class DatasetOfMixture:
    """One of the datasets of a mixture's file; see `CorpusPart`.

    Attributes:
        dataset: name of the corpus, as `load_corpus` takes it.
        weight, tags: as in `CorpusPart`.
        filters: those of the file unless given.
        source_language, target_language, data_dir, validation_pairs: as for `load_corpus`.
        validation: whether its validation part counts; else pair files give up none.
    """

    dataset: str
    weight: Annotated[float, Field(gt=0)] = 1.0
    tags: tuple[str, ...] = ()
    filters: dict[str, Any] | None = None
    source_language: str | None = None
    target_language: str | None = None
    data_dir: str | None = None
    validation_pairs: str | None = None
    validation: bool = True

    def part(self, corpus: Corpus, filters: Mapping[str, Any]) -> CorpusPart:
        """The part of the mixture that this is.

        Args:
            corpus: that was loaded.
            filters: those of the file.

        Raises:
            InputError: for wrong filters.
        """
        wanted = dict(filters if self.filters is None else self.filters)
        drop_duplicates = bool(wanted.pop("duplicates", bool(wanted)))
        try:
            limits = PairFilters(**wanted) if wanted else None
        except TypeError as error:
            names = ", ".join((*PairFilters.__dataclass_fields__, "duplicates"))
            raise InputError(f"{corpus.name}: filters are {names}: {error}") from error
        return CorpusPart(corpus, self.weight, self.tags, limits, drop_duplicates)


@checked_dataclass(frozen=True, config=_STRICT)
class Mixture:
    """What a mixture's file says.

    Attributes:
        datasets: one or more.
        temperature, language_tags: as for `mix_corpora`.
        filters: fields of `PairFilters`; and ``duplicates``, false to keep pairs that have been
            there before.
    """

    datasets: Annotated[tuple[DatasetOfMixture, ...], Field(min_length=1)]
    temperature: Annotated[float, Field(ge=1)] | None = None
    language_tags: bool | None = None
    filters: dict[str, Any] = Field(default_factory=dict)


def read_mixture(path: str | Path) -> Mixture:
    """Reads a mixture's file, YAML or JSON.

    Raises:
        InputError: for a file that is missing, unreadable or wrong.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return pydantic.TypeAdapter(Mixture).validate_python(content)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step + 1 if isinstance(step, int) else step) for step in first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{path}: {where or 'datasets'}: {problem}") from error
    except Exception as error:  # the reader has many kinds
        problem = " ".join(str(error).split())
        raise InputError(f"{path}: is neither YAML nor JSON ({problem})") from error
