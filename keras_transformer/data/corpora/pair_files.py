"""Corpora of files in which line N of one translates line N of the other, or of one table."""

import re
from collections.abc import Sequence
from pathlib import Path

from keras_transformer.data.corpora.corpus import (
    UNKNOWN_LANGUAGE,
    Corpus,
    Pair,
    guess_normalization,
)
from keras_transformer.data.corpora.held_out import hold_out
from keras_transformer.data.corpora.text_files import expanded, parted, read_lines
from keras_transformer.errors import InputError


def load_pair_files(name: str, *, hold_out_validation: bool) -> Corpus:
    """Loads a corpus of pair files, all of whose pairs are for training.

    Args:
        name: `pairs:SRC,TGT` or `pairs:FILE.tsv`.
        hold_out_validation: split a validation part off the pairs.
    """
    source_language, target_language = guess_languages(pair_paths(name))
    train = read_pairs(name)
    normalization = guess_normalization(train)
    validation: list[Pair] = []
    if hold_out_validation:
        train, validation = hold_out(train)
    return Corpus.from_pairs(
        name,
        {"train": train, "validation": validation},
        source_language=source_language,
        target_language=target_language,
        normalization=normalization,
        licence="As the files' owner says.",
        remedy="name files for it with --validation-pairs SRC,TGT, "
        "or with --pairs SRC,TGT when evaluating",
    )


def pair_paths(spec: str) -> tuple[Path, ...]:
    """Splits `SRC,TGT` into two paths, or returns the one of `FILE.tsv` or `FILE.tsv.gz`.

    A name that has commas itself stands in double quotes: ``"a,b.pt","a,b.en"``.

    Args:
        spec: one of these forms, optionally with `pairs:` in front.

    Raises:
        InputError: when `spec` has neither form.
    """
    parts = parted(spec.removeprefix("pairs:"))
    is_tsv = len(parts) == 1 and parts[0].endswith((".tsv", ".tsv.gz"))
    if not all(parts) or not (len(parts) == 2 or is_tsv):
        raise InputError(
            f"pair files {spec!r} are neither two paths SRC,TGT nor one FILE.tsv: "
            "give line-aligned files as in train.pt,train.en"
        )
    return tuple(expanded(part) for part in parts)


def read_pairs(spec: str) -> list[Pair]:
    """Reads sentence pairs from line-aligned files or a two-column table, as they stand there.

    Files are UTF-8, plain or `.gz`. Only the newline character ends a line (a carriage return
    before it is dropped), so Unicode line separators inside a sentence cannot shift the alignment.
    Blank lines at the end of both sides are no pairs.

    Args:
        spec: as for `pair_paths`.

    Raises:
        InputError: for a missing, unreadable or empty file, undecodable bytes, files of different
          lengths, an empty side, or a table line without exactly two columns. The message names
          the file and the line.
    """
    paths = pair_paths(spec)
    if len(paths) == 1:
        return _read_table(paths[0])
    source_path, target_path = paths
    sources, targets = read_lines(source_path), read_lines(target_path)
    _drop_last_blanks(sources, targets)
    if len(sources) != len(targets):
        raise InputError(
            f"{source_path} has {len(sources):,} lines but {target_path} has {len(targets):,}: "
            "give files in which line N of one translates line N of the other"
        )
    for path, lines in ((source_path, sources), (target_path, targets)):
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                raise InputError(
                    f"{path}, line {number}: empty side of a pair: "
                    f"remove line {number} from {source_path} and {target_path}"
                )
    return list(zip(sources, targets, strict=True))


def _drop_last_blanks(sources: list[str], targets: list[str]) -> None:
    """Drops blank lines at the end, unless one of the other file would lose its translation."""
    sides = sources, targets
    while any(sides):
        longest = max(map(len, sides))
        last = [side for side in sides if len(side) == longest]
        if any(side[-1].strip() for side in last):
            return
        for side in last:
            side.pop()


def _read_table(path: Path) -> list[Pair]:
    pairs = []
    lines = read_lines(path)
    while not lines[-1].strip():  # a file that is all blank is refused as empty
        lines.pop()
    for number, line in enumerate(lines, start=1):
        columns = line.split("\t")
        if len(columns) != 2:
            raise InputError(
                f"{path}, line {number}: {len(columns)} tab-separated columns instead of 2: "
                "write one source, one tab and one target on each line"
            )
        if not all(column.strip() for column in columns):
            raise InputError(
                f"{path}, line {number}: empty side of a pair: fill it or remove the line"
            )
        pairs.append((columns[0], columns[1]))
    return pairs


_ISO_639_1 = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy "
    "da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht "
    "hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky "
    "la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny "
    "oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss "
    "st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo "
    "za zh zu"
)
_ISO_639_2 = (
    "aar abk afr aka alb amh ara arg arm asm ast ava ave aym aze bak bam baq bel ben bis bod "
    "bos bre bul bur cat ceb ces cha che chi chu chv cmn cor cos cre cym cze dan deu div dut "
    "dzo ell eng epo est eus ewe fao fas fij fil fin fra fre fry ful geo ger gla gle glg glv "
    "gre grn gsw guj hat hau heb her hin hmo hrv hun hye ibo ice ido iii iku ile ina ind ipk "
    "isl ita jav jpn kal kan kas kat kau kaz khm kik kin kir kom kon kor kua kur lao lat lav "
    "lim lin lit ltz lub lug mac mah mal mao mar may mkd mlg mlt mon mri msa mya nau nav nbl "
    "nde ndo nep nld nno nob nor nya oci oji ori orm oss pan per pli pol por pus que roh ron "
    "rum run rus sag san sin slk slo slv sme smo sna snd som sot spa sqi srd srp ssw sun swa "
    "swe tah tam tat tel tgk tgl tha tib tir ton tsn tso tuk tur twi uig ukr urd uzb ven vie "
    "vol wel wln wol xho yid yor yue zha zho zul"
)
_CODES = frozenset(_ISO_639_1.split()) | frozenset(_ISO_639_2.split())
"""Of languages: those of two letters, and of these languages and some others those of three."""

_REGION = r"(?:[-_](?:[A-Z]{2}|[A-Z][a-z]{3}))?"
_PAIR = re.compile(rf"(?:^|[._-])([a-z]{{2,3}}{_REGION})[-_]([a-z]{{2,3}}{_REGION})(?=$|\.)")
_ENDING = re.compile(rf"(?:^|[._-])([a-z]{{2,3}}{_REGION})$")


def guess_languages(paths: Sequence[Path]) -> tuple[str, str]:
    """The languages that the names of files say, as `train.pt.gz`, `news.pt-en.tsv` and `a.pt-BR`.

    Two files are named by their endings, or by a pair of codes in both names, as in `deu-eng.src`
    and `deu-eng.tgt`.

    Returns:
        two codes, or `UNKNOWN_LANGUAGE` twice where the names of `pair_paths` do not tell.
    """
    if len(paths) == 2:
        source, target = map(guess_language, paths)
        if source != target and UNKNOWN_LANGUAGE not in (source, target):
            return source, target
    pairs = {found.groups() for path in paths for found in _PAIR.finditer(_stem(path))}
    pairs = {(one, other) for one, other in pairs if _is_code(one) and _is_code(other)}
    if len(pairs) == 1:
        source, target = pairs.pop()
        if source != target:
            return source, target
    return UNKNOWN_LANGUAGE, UNKNOWN_LANGUAGE


def guess_language(path: Path) -> str:
    """The language that the ending of a file's name says, as `en` in `news.en.gz`.

    Returns:
        a code, or `UNKNOWN_LANGUAGE`.
    """
    found = _ENDING.search(_stem(path))
    return found[1] if found and _is_code(found[1]) else UNKNOWN_LANGUAGE


def _stem(path: Path) -> str:
    return re.sub(r"(\.(gz|tsv|txt))+$", "", path.name)


def _is_code(name: str) -> bool:
    return re.split("[-_]", name)[0] in _CODES
