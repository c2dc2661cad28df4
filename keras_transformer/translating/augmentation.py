"""Data diversification and back-translation: synthetic pairs to train on beside those of a corpus.

Translations of a corpus by models of both directions, together with the corpus, make a better model
than the corpus alone (Nguyen et al. 2020, arXiv 1911.01986). So does text of the target language
with its translations as sources (Sennrich et al. 2016, arXiv 1511.06709), the more so where these
are samples (Edunov et al. 2018, arXiv 1808.09381) or have a tag (Caswell et al. 2019, arXiv
1906.06442).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from sacrebleu.metrics import CHRF

from keras_transformer.data.corpora.corpus import UNKNOWN_LANGUAGE
from keras_transformer.data.corpora.held_out import stable_hash
from keras_transformer.data.corpora.pair_filters import EMPTY
from keras_transformer.errors import InputError
from keras_transformer.languages import primary_language
from keras_transformer.translating.pair_filters import ROUND_TRIP, Filters
from keras_transformer.translating.pair_tables import (
    Pair,
    PairTable,
    in_one_cell,
    line_of,
    translated,
    with_beams,
)
from keras_transformer.translating.translation import BaseTranslator

TAG = "\uf8f9"
"""The word before a source that a model wrote.

A character of Unicode's private use, which no text has: rules of punctuation and placeholders leave
it alone, and vocabularies that are learned from sources with it have a token for it, as for any
character. ``<bt>`` would be three words to one normalisation and a placeholder to the other.
"""

ORIGINS = ORIGINAL, FORWARD, BACKWARD = "original", "forward", "backward"
"""Where pairs come from: the corpus, or models of a direction."""

DUPLICATE = "duplicates"

Languages = tuple[str, str]


class _Candidate(NamedTuple):
    """A pair that may be written.

    Attributes:
        source, target: its sides, as cells of a table.
        origin: `ORIGINAL`, or the direction of the model that wrote one side.
    """

    source: str
    target: str
    origin: str

    def text_and_translation(self) -> Pair:
        """What the model was given, and what it wrote."""
        pair = self.source, self.target
        return pair if self.origin == FORWARD else pair[::-1]


def augment(
    models: Sequence[BaseTranslator],
    pairs: Iterable[Pair],
    output,
    *,
    languages: Languages,
    monolingual: Iterable[str] = (),
    originals=True,
    tag=False,
    filters: Filters | None = None,
    round_trip: Sequence[BaseTranslator] = (),
    chunk=2048,
    about: dict | None = None,
    progress: Callable[[int], object] = lambda done: None,
    **options,
) -> dict[str, int]:
    """Translates a corpus and text of its target language, and writes a table of pairs to train on.

    Of each pair of the corpus come the pair itself, its source with each forward model's
    translation of it, and each backward model's translation of its target with that target; of
    each further text the latter. No line is there twice. Translations are in the style of the
    corpus. A call that was interrupted goes on when it is made again; see `PairTable`.

    Args:
        models: translators that say their languages, from the source to the target language or
            back; `BEAM_SIZE` beams unless `options` say otherwise.
        pairs: sources and targets, the same ones in the same order at each call.
        output: the file to write, such as ``augmented.tsv``.
        languages: the codes of source and target.
        monolingual: texts of the target language, likewise.
        originals: write the pairs of the corpus, too; no filter but that of empty sides and
            duplicates counts for them.
        tag: `TAG` stands before sources that a model wrote.
        filters: which synthetic pairs are left out; those of `Filters` unless given.
        round_trip: for each direction of `models` a translator of the other one, for
            ``filters.min_round_trip``; they search as they are set up to.
        chunk: how many pairs or texts are translated and written together.
        about: what the result depends on besides, such as the names of models and corpus; a call
            that goes on must give the same.
        progress: called with the number of pairs and texts that are done after each chunk.
        options: as for `translate`.

    Returns:
        how many pairs were written, by their origin, and how many were left out, by the reason; a
        pair that several filters would leave out counts for the first of them.

    Raises:
        InputError: for a model of other languages, text that no model translates, when `output`
            exists or cannot be written, what is there was begun in another way, and for what
            `translate` refuses.
    """
    filters = filters or Filters()
    directed = [(model, direction_of(model, languages)) for model in models]
    directions = [direction for _, direction in directed]
    checks = _checks(round_trip, languages, directions, filters.min_round_trip)
    monolingual = _if_translated(monolingual, directions, languages[1])
    options = with_beams(options)
    settings = {"originals": originals, "tag": tag, "filters": filters, **options}
    settings["languages"] = languages
    table = PairTable(output, about, settings)
    augmenter = _Augmenter(directed, languages, originals, tag, filters, checks, options, table)
    items = chain(pairs, ((None, text) for text in monolingual))
    table.write(items, augmenter.lines, chunk=chunk, progress=progress)
    names = (*ORIGINS, *filters.names, DUPLICATE)
    return {name: table.counts[name] for name in names}


def languages_of(model: BaseTranslator) -> Languages:
    """The codes of the languages that a model translates from and to.

    Raises:
        InputError: when it does not say.
    """
    tokenizers = getattr(model, "tokenizers", None)
    source, target = (
        getattr(tokenizers, f"{side}_language", None) for side in ("source", "target")
    )
    if {source, target} & {None, UNKNOWN_LANGUAGE}:
        raise InputError(
            f"{_name(model)}: does not say its languages: give a run that was trained with "
            "--source-language and --target-language, or its export for CTranslate2."
        )
    return source, target


def direction_of(model: BaseTranslator, languages: Languages) -> str:
    """Whether a model translates from the first of two languages to the second, or back.

    Args:
        model: a translator that says its languages.
        languages: the codes of source and target; regions do not matter.

    Returns:
        `FORWARD` or `BACKWARD`.

    Raises:
        InputError: when it does neither, and when languages are not known.
    """
    if UNKNOWN_LANGUAGE in languages:
        raise InputError(
            "the languages of the corpus are not known: name them (--source-language, "
            "--target-language)."
        )
    own = languages_of(model)
    wanted, found = ([primary_language(code) for code in codes] for codes in (languages, own))
    if found == wanted:
        return FORWARD
    if found == wanted[::-1]:
        return BACKWARD
    raise InputError(
        f"{_name(model)}: translates from {own[0]} to {own[1]}, neither from {languages[0]} to "
        f"{languages[1]} nor back: give another model."
    )


def _name(model: BaseTranslator) -> str:
    return " + ".join(map(str, getattr(model, "folders", ()))) or "a model"


def _checks(
    models: Sequence[BaseTranslator],
    languages: Languages,
    directions: Sequence[str],
    least: float | None,
) -> dict[str, BaseTranslator]:
    """The model that translates back what those of a direction wrote, by that direction."""
    if bool(models) != (least is not None):
        raise InputError(
            "a round trip needs both models and the least score: give round_trip and "
            "min_round_trip (--round-trip, --min-round-trip), or neither."
        )
    back = {FORWARD: BACKWARD, BACKWARD: FORWARD}
    found: dict[str, BaseTranslator] = {}
    for model in models:
        direction = back[direction_of(model, languages)]
        if direction in found:
            raise InputError("a round trip takes one model of each direction: give one.")
        found[direction] = model
    for direction in directions if models else ():
        if direction not in found:
            raise InputError(
                f"no {back[direction]} model translates back what {direction} models write: add "
                "one to round_trip (--round-trip)."
            )
    return found


def _if_translated(texts: Iterable[str], directions: Sequence[str], language: str) -> Iterable[str]:
    """Texts of the target language.

    Raises:
        InputError: where there are some, and no model translates them.
    """
    texts = iter(texts)
    first = next(texts, None)
    if first is None:
        return ()
    if BACKWARD not in directions:
        raise InputError(
            f"text of the target language needs a model that translates from {language}: add one "
            "(--model)."
        )
    return chain([first], texts)


class _Augmenter:
    """Makes lines of a table from pairs and texts; see `augment` for the arguments.

    Args:
        models: with their directions.
        checks: by direction, see `_checks`.
        table: whose lines are not written again, and which holds the counts.
    """

    def __init__(self, models, languages, originals, tag, filters, checks, options, table):
        self._models, self._languages, self._checks = models, languages, checks
        self._originals, self._tag, self._filters = originals, tag, filters
        self._options, self._counts = options, table.counts
        self._chrf = CHRF(lowercase=True)
        # Hashes, which take less memory than lines do.
        self._seen = set(map(stable_hash, table.lines()))

    def lines(self, batch: list[tuple[str | None, str]], first: int) -> list[str]:
        """The lines of a chunk of pairs, and of texts, which have no source.

        Args:
            batch: the chunk; texts come after all pairs.
            first: place of its first item among all.
        """
        candidates = list(self._candidates(batch, first))
        reasons = [self._reason(candidate) for candidate in candidates]
        for place in self._not_coming_back(candidates, reasons):
            reasons[place] = ROUND_TRIP
        lines = []
        for candidate, reason in zip(candidates, reasons, strict=True):
            line = self._new_line(candidate) if reason is None else None
            if line is not None:
                lines.append(line)
            self._counts[(reason or DUPLICATE) if line is None else candidate.origin] += 1
        return lines

    def _candidates(self, batch, first) -> Iterator[_Candidate]:
        """All pairs of a chunk, in the order of its items, of each the original first."""
        columns = []
        for model, direction in self._models:
            side = 0 if direction == FORWARD else 1
            texts = [item[side] for item in batch if item[side] is not None]
            found = translated(model, texts, first, **self._options) if texts else []
            columns.append([translation.text for translation in found])
        for place, (source, target) in enumerate(batch):
            if source is not None and self._originals:
                yield _Candidate(in_one_cell(source), in_one_cell(target), ORIGINAL)
            for (_, direction), texts in zip(self._models, columns, strict=True):
                if direction == BACKWARD:
                    yield _Candidate(in_one_cell(texts[place]), in_one_cell(target), BACKWARD)
                elif source is not None:
                    yield _Candidate(in_one_cell(source), in_one_cell(texts[place]), FORWARD)

    def _reason(self, candidate: _Candidate) -> str | None:
        """Why a pair is left out, whatever the others are."""
        if candidate.origin == ORIGINAL:
            return None if candidate.source and candidate.target else EMPTY
        languages = self._languages if candidate.origin == FORWARD else self._languages[::-1]
        return self._filters.reason(*candidate.text_and_translation(), languages)

    def _not_coming_back(self, candidates, reasons) -> list[int]:
        """Places of pairs whose translations do not come back as the text they were made of."""
        found = []
        for direction, model in self._checks.items():
            places = [
                place
                for place, candidate in enumerate(candidates)
                if candidate.origin == direction and reasons[place] is None
            ]
            pairs = [candidates[place].text_and_translation() for place in places]
            # Models of one direction often agree.
            texts = list(dict.fromkeys(translation for _, translation in pairs))
            back = dict(zip(texts, translated(model, texts, 0), strict=True)) if texts else {}
            for place, (text, translation) in zip(places, pairs, strict=True):
                score = self._chrf.sentence_score(back[translation].text, [text]).score
                if score < self._filters.min_round_trip:
                    found.append(place)
        return found

    def _new_line(self, candidate: _Candidate) -> str | None:
        """A pair as a line; ``None`` where it is there already, with or without its tag."""
        lines = [line_of(candidate.source, candidate.target)]
        if self._tag and candidate.origin == BACKWARD:
            lines.append(f"{TAG} {lines[0]}")
        hashes = set(map(stable_hash, lines))
        if hashes & self._seen:
            return None
        self._seen.add(stable_hash(lines[-1]))
        return lines[-1]
