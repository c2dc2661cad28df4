"""python benchmarks/markup.py --model runs/NAME --pairs SRC,TGT [--json FILE]

What becomes of the tags of held-out lines that are fragments of HTML: how many lines come back with
every tag once, byte for byte, and nested; how well elements hold what those of the references do;
and BLEU of the text without tags. Tags are placed by word alignments, put around sentences, as
without alignments, and translated as placeholders, as the model does by itself. Last, tags are
placed in the references, aligned by the model, which tells placing from translating.

An element is its name and its text, small and with single blanks; those without text do not count.
F1 is that of all elements of the lines together, equal ones as often as both sides have them.
Recall is that of the references' elements whose text the translation has.
"""

import argparse
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape, unescape
from pathlib import Path

from common import machine, positive, say, write_result


def tags_of(text: str) -> Counter[str]:
    """The tags of a fragment and how often it has each."""
    from keras_transformer.documents.html_tokens import tokens_of

    return Counter(text[t.begin : t.stop] for t in tokens_of(text, is_xml=True) if t.kind != "text")


def without_tags(text: str) -> str:
    """The text of a fragment, with single blanks."""
    from keras_transformer.documents.html_tokens import tokens_of

    parts = [text[t.begin : t.stop] for t in tokens_of(text, is_xml=True) if t.kind == "text"]
    return " ".join(unescape("".join(parts)).split())


def elements_of(text: str) -> tuple[Counter[tuple[str, str]], bool]:
    """The elements with text of a fragment, by name and text; and whether all are nested."""
    from keras_transformer.documents.html_tokens import tokens_of

    found, waiting, nested = Counter(), [], True
    for token in tokens_of(text, is_xml=True):
        if token.kind == "start" and text[token.stop - 2] != "/":
            waiting.append(token)
        elif token.kind == "end":
            if not waiting or waiting[-1].name != token.name:
                nested = False
            else:
                begin = waiting.pop().stop
                content = without_tags(text[begin : token.begin]).lower()
                found[token.name, content] += bool(content)
    return +found, nested and not waiting


def scores(sources: Sequence[str], found: Sequence[str], references: Sequence[str]) -> dict:
    """What the tags and the text of translated lines are worth."""
    import sacrebleu

    once = nested = both = of_found = of_references = there = placed = 0
    for source, line, reference in zip(sources, found, references, strict=True):
        once += tags_of(source) == tags_of(line)
        elements, is_nested = elements_of(line)
        wanted, _ = elements_of(reference)
        nested += is_nested or not elements_of(source)[1]
        both += (elements & wanted).total()
        text = without_tags(line).lower()
        possible = Counter({one: n for one, n in wanted.items() if one[1] in text})
        there, placed = there + possible.total(), placed + (elements & possible).total()
        of_found, of_references = of_found + elements.total(), of_references + wanted.total()
    texts = [[without_tags(line) for line in lines] for lines in (found, references)]
    return {
        "once": once / len(sources),
        "nested": nested / len(sources),
        "f1": 2 * both / max(of_found + of_references, 1),
        "recall": placed / max(there, 1),
        "bleu": sacrebleu.corpus_bleu(texts[0], [texts[1]]).score,
    }


class WithoutAlignments:
    """A translator that gives no alignments."""

    def __init__(self, translator):
        self.tokenizers, self.translate_stream = translator.tokenizers, translator.translate_stream


def placed_in(translator, sources, references) -> Iterator[str]:
    """The references' own text, with the tags of the sources."""
    from keras_transformer.data.tokenizers.token_links import span_links
    from keras_transformer.documents.base import Sentence, TranslatedText, whole_text
    from keras_transformer.documents.fragment import FragmentDocument

    fragments = [FragmentDocument(source) for source in sources]
    texts = ["".join(fragment.texts()) for fragment in fragments]
    plain = [without_tags(reference) for reference in references]
    parts = [whole_text(text) for text in texts]
    found = translator.token_links(
        [(part[1], text) for part, text in zip(parts, plain, strict=True)]
    )
    for fragment, (gap, source, tail), text, links in zip(
        fragments, parts, plain, found, strict=True
    ):
        of_spans = None if links is None else span_links(source, text, links)
        translated = TranslatedText([Sentence(gap, source, text, of_spans)], tail)
        yield "".join(fragment.written([translated] if source else []))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a run folder")
    parser.add_argument("--pairs", required=True, help="SRC,TGT or FILE.tsv")
    parser.add_argument("--lines", type=positive, default=1_000_000, help="at most so many")
    parser.add_argument("--json", type=Path, help="where the result goes")
    arguments = parser.parse_args()
    host = machine()

    import keras_transformer as kt
    from keras_transformer.data.corpora.pair_files import read_pairs

    pairs = [pair for pair in read_pairs(arguments.pairs) if re.search("<[^>]*>", pair[0])]
    sources, references = map(list, zip(*pairs[: arguments.lines], strict=True))
    translator = kt.Translator.load(arguments.model)
    ways = {
        "placed by alignments": lambda: kt.translate_markup(translator, sources),
        "around sentences": lambda: kt.translate_markup(WithoutAlignments(translator), sources),
        "as placeholders": lambda: [one.text for one in translator.translate(sources)],
        "placed in references": lambda: list(placed_in(translator, sources, references)),
    }
    found = translator.translate(map(without_tags, sources))
    texts = [escape(translation.text, quote=False) for translation in found]
    table = {"without tags": scores(texts, texts, references)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of texts in pieces, and pairs that are too long
        for name, way in ways.items():
            say(f"{len(sources)} lines {name}")
            table[name] = scores(sources, way(), references)
    print(f"{'':22}{'once':>8}{'nested':>8}{'F1':>7}{'recall':>8}{'BLEU':>7}")
    for name, row in table.items():
        shares = f"{row['once']:8.1%}{row['nested']:8.1%}{row['f1']:7.3f}{row['recall']:8.3f}"
        print(f"{name:22}{shares if name != 'without tags' else '':31}{row['bleu']:7.2f}")
    write_result(arguments, host, {}, scores=table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
