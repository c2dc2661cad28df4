"""Codes of languages, and which of them the names of files say."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from keras_transformer.data.corpora.corpus import UNKNOWN_LANGUAGE
from keras_transformer.data.corpora.files.opening import Location

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
_CODE = re.compile(rf"[a-z]{{2,3}}{_REGION}")
_PAIR = re.compile(rf"(?:^|[._-])([a-z]{{2,3}}{_REGION})[-_]([a-z]{{2,3}}{_REGION})(?=$|\.)")
_ENDING = re.compile(rf"(?:^|[._-])([a-z]{{2,3}}{_REGION})$")
_FORMATS = re.compile(r"(\.(gz|bz2|xz|zst|tsv|txt|jsonl|parquet|tmx))+$")


def guess_languages(paths: Sequence[Location]) -> tuple[str, str]:
    """The languages that the names of files say, as `train.pt.gz`, `news.pt-en.tsv` and `a.pt-BR`.

    Two files are named by their endings, or by a pair of codes in both names, as in `deu-eng.src`
    and `deu-eng.tgt`.

    Returns:
        two codes, or `UNKNOWN_LANGUAGE` twice where the names do not tell.
    """
    if len(paths) == 2:
        source, target = map(guess_language, paths)
        if source != target and UNKNOWN_LANGUAGE not in (source, target):
            return source, target
    pairs = {found.groups() for path in paths for found in _PAIR.finditer(_stem(path))}
    pairs = {(one, other) for one, other in pairs if is_code(one) and is_code(other)}
    if len(pairs) == 1:
        source, target = pairs.pop()
        if source != target:
            return source, target
    return UNKNOWN_LANGUAGE, UNKNOWN_LANGUAGE


def guess_language(path: Location) -> str:
    """The language that the ending of a file's name says, as `en` in `news.en.gz`.

    Returns:
        a code, or `UNKNOWN_LANGUAGE`.
    """
    found = _ENDING.search(_stem(path))
    return found[1] if found and is_code(found[1]) else UNKNOWN_LANGUAGE


def _stem(path: Location) -> str:
    return _FORMATS.sub("", PurePosixPath(path).name)


def is_code(name: str) -> bool:
    """Whether a name is the code of a language, as `pt`, `pt-BR` and `por`."""
    return bool(_CODE.fullmatch(name)) and re.split("[-_]", name)[0] in _CODES
