"""Sequence-level distillation: a teacher's translations of a corpus, for a smaller model to learn.

What a model writes is simpler than what people wrote, so that a student learns it with fewer layers
(Kim and Rush 2016, D16-1139). The pairs go to a file chunk by chunk, so a corpus of any size does,
and a run that was interrupted goes on after its last whole chunk.
"""

import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from sacrebleu.metrics import BLEU

from keras_transformer.errors import InputError, whole_number
from keras_transformer.files import file_error, read_json, write_json
from keras_transformer.translating.translation import BaseTranslator, Translation

BEAM_SIZE = 5
"""Beams of the teacher unless a search says otherwise."""

Pair = tuple[str, str]


def distill(
    teacher: BaseTranslator,
    pairs: Iterable[Pair],
    output,
    *,
    best_of: int | None = None,
    originals=True,
    chunk=2048,
    about: dict | None = None,
    progress: Callable[[int], object] = lambda done: None,
    **options,
) -> int:
    """Translates the sources of a corpus and writes a table of pairs to train on.

    Each source has a line with the teacher's translation in the style of the corpus and, with
    `originals`, one with its reference where that is another. Empty translations are left out. The
    table appears under its name once it is whole; until then ``OUTPUT.unfinished`` and
    ``OUTPUT.progress`` hold what there is, and the same call goes on from them.

    Args:
        teacher: a translator; `BEAM_SIZE` beams unless `options` say otherwise.
        pairs: sources and references, the same ones in the same order at each call.
        output: the file to write, such as ``distilled.tsv``.
        best_of: of so many translations take the one that has the highest BLEU against the
            reference, instead of the most probable.
        originals: write the references, too.
        chunk: how many pairs are translated and written together.
        about: what the result depends on besides, such as the names of teacher and corpus; a call
            that goes on must give the same.
        progress: called with the number of pairs that are done after each chunk.
        options: as for `translate`.

    Returns:
        the number of lines in the table.

    Raises:
        InputError: when `output` exists or cannot be written, what is there was begun in another
            way, and for what `translate` refuses.
    """
    output = Path(output)
    if output.suffix != ".tsv":
        raise InputError(f"{output}: is no table: give a name that ends with .tsv.")
    chunk = whole_number("chunk", chunk)
    if best_of is not None:
        best_of = whole_number("best_of", best_of, 2)
        options["n_best"] = best_of
    options.setdefault("beam_size", max(BEAM_SIZE, best_of or 1))
    settings = {"best_of": best_of, "originals": originals, **options}
    table = _Table(output, {**(about or {}), "settings": {k: str(v) for k, v in settings.items()}})
    rest = itertools.islice(pairs, table.pairs, None)
    progress(table.pairs)
    bleu = BLEU(effective_order=True)
    while batch := list(itertools.islice(rest, chunk)):
        found = teacher.translate([source for source, _ in batch], style="corpus", **options)
        lines = []
        for (source, reference), translation in zip(batch, found, strict=True):
            text = _best(translation, reference, bleu if best_of else None)
            texts = dict.fromkeys([text, reference] if originals else [text])
            lines += [(source, text) for text in texts if text]
        table.add(lines, len(batch))
        progress(table.pairs)
    return table.finish()


def _best(translation: Translation, reference: str, bleu: BLEU | None) -> str:
    """The text of the most probable translation, or of the one that is most like the reference."""
    if bleu is None:
        return translation.text
    texts = [one.text for one in (translation, *(translation.alternatives or ()))]
    texts = list(dict.fromkeys(texts))
    return max(texts, key=lambda text: bleu.sentence_score(text, [reference]).score)


class _Table:
    """A table of pairs that grows by chunks, and where it stands.

    Args:
        path: of the finished table.
        about: what the table depends on.

    Attributes:
        pairs: how many pairs of the corpus are done.
    """

    def __init__(self, path: Path, about: dict):
        self._path, self._about = path, about
        self._unfinished = path.with_name(f"{path.name}.unfinished")
        self._progress = path.with_name(f"{path.name}.progress")
        self.pairs, self._lines, self._bytes = 0, 0, 0
        if path.exists():
            raise InputError(f"{path}: exists already: delete it, or give another name.")
        if self._progress.exists():
            self._go_on()
        try:
            with open(self._unfinished, "ab") as file:
                file.truncate(self._bytes)
        except OSError as error:
            raise file_error(path, "written", error) from error

    def _go_on(self):
        stands = read_json(self._progress)
        counts = [stands.get(name) for name in ("pairs", "lines", "bytes")]
        whole = all(type(count) is int and count >= 0 for count in counts)
        size = self._unfinished.stat().st_size if self._unfinished.exists() else 0
        if not whole or size < counts[2]:
            raise InputError(
                f"{self._progress}: does not belong to {self._unfinished.name}: delete both."
            )
        if stands.get("about") != self._about:
            raise InputError(
                f"{self._progress}: was begun with another teacher, corpus or search: go on with "
                "those, or delete it."
            )
        self.pairs, self._lines, self._bytes = counts

    def add(self, lines: list[Pair], pairs: int) -> None:
        """Writes the lines of a chunk of so many pairs."""
        text = "".join("\t".join(map(_in_one_cell, line)) + "\n" for line in lines)
        content = text.encode("utf-8")
        try:
            with open(self._unfinished, "ab") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise file_error(self._path, "written", error) from error
        self.pairs, self._lines = self.pairs + pairs, self._lines + len(lines)
        self._bytes += len(content)
        stands = {"pairs": self.pairs, "lines": self._lines, "bytes": self._bytes}
        write_json(self._progress, {**stands, "about": self._about})

    def finish(self) -> int:
        """Gives the table its name, and returns the number of its lines."""
        if not self._lines:
            raise InputError(f"{self._path}: no pair is left to write: check the corpus.")
        self._unfinished.replace(self._path)
        self._progress.unlink(missing_ok=True)
        return self._lines


def _in_one_cell(text: str) -> str:
    """A text without what would end a cell or a line of a table."""
    return " ".join(text.split())
