"""Sequence-level distillation: a teacher's translations of a corpus, for a smaller model to learn.

What a model writes is simpler than what people wrote, so that a student learns it with fewer layers
(Kim and Rush 2016, D16-1139).
"""

from collections.abc import Callable, Iterable

from sacrebleu.metrics import BLEU

from keras_transformer.errors import whole_number
from keras_transformer.translating.pair_tables import (
    Pair,
    PairTable,
    line_of,
    translated,
    with_beams,
)
from keras_transformer.translating.translation import BaseTranslator, Translation


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
    `originals`, one with its reference where that is another. Empty translations are left out.
    A call that was interrupted goes on when it is made again; see `PairTable`.

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
    if best_of is not None:
        best_of = whole_number("best_of", best_of, 2)
        options["n_best"] = best_of
    options = with_beams(options, best_of or 1)
    settings = {"best_of": best_of, "originals": originals, **options}
    table = PairTable(output, about, settings)
    bleu = BLEU(effective_order=True) if best_of else None

    def lines_of(batch: list[Pair], first: int) -> list[str]:
        found = translated(teacher, [source for source, _ in batch], first, **options)
        lines = []
        for (source, reference), translation in zip(batch, found, strict=True):
            text = _best(translation, reference, bleu)
            texts = dict.fromkeys([text, reference] if originals else [text])
            lines += [line_of(source, text) for text in texts if text]
        return lines

    return table.write(pairs, lines_of, chunk=chunk, progress=progress)


def _best(translation: Translation, reference: str, bleu: BLEU | None) -> str:
    """The text of the most probable translation, or of the one that is most like the reference."""
    if bleu is None:
        return translation.text
    texts = [one.text for one in (translation, *(translation.alternatives or ()))]
    texts = list(dict.fromkeys(texts))
    return max(texts, key=lambda text: bleu.sentence_score(text, [reference]).score)
