"""Message catalogues of gettext, ``.po`` and ``.pot``."""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from keras_transformer.documents.base import Document, Languages, TranslatedText, import_extra
from keras_transformer.errors import InputError
from keras_transformer.files import reason_of

_MSGSTR = re.compile(r"\s*(msgstr(?:\[(\d)[^\]]*\])?)\s*\"")
_GOES_ON = re.compile(r"\s*\"")
_FLAGS = re.compile(r"(\s*#,)(.*)", re.DOTALL)
_LANGUAGE = re.compile(r"(\s*\"Language:[ \t]*)([^\\\"]*)(\\n\"\s*)")
_CHARSET = re.compile(r"charset=([\w.:-]+)")
_AS_UTF8 = {"utf8", "ascii", "usascii", "charset"}


class CatalogueDocument(Document):
    """A message catalogue; it is held in memory.

    The ``msgstr`` of entries without one are written into the lines of the file, and the entries
    flagged as fuzzy, so that a human looks at them. All other lines come back as they were. Of a
    plural, each form is translated for itself. A ``Language`` of the header that is empty or the
    source's becomes the target's.

    Args:
        lines: with their ends.
        name: of the document, for errors.
        languages: of the translator.
        everything: translate what has a translation, too.

    Raises:
        InputError: for what polib refuses, for another encoding than UTF-8, and where polib is
            missing.
    """

    def __init__(
        self, lines: Iterable[str], name: str, languages: Languages, *, everything: bool = False
    ):
        polib = import_extra("polib")

        class Catalogue(polib.POFile):
            """One that leaves the header among the entries."""

            def find(self, *arguments, **options):
                return None

        text = "".join(lines)
        self._polib = polib
        # As polib divides them: numbers of lines are its own.
        self._lines = text.splitlines(keepends=True)
        try:
            # With a line end, it is never taken for the name of a file.
            entries = polib.pofile(text + "\n", klass=Catalogue)
        except (OSError, ValueError, IndexError) as error:
            found = re.search(r"line (\d+)\)?:?(.*)", str(error), re.DOTALL)
            line, what = found.groups() if found else ("?", reason_of(error))
            what = f" ({what.strip():.200})" if what.strip() else ""
            raise InputError(
                f"{name}, line {line}: is no entry of a catalogue{what}: mend it; msgfmt --check "
                "says more."
            ) from error
        begins = [max(entry.linenum - 1, 0) for entry in entries]
        spans = list(pairwise([*begins, len(self._lines)]))
        self._slots: list[tuple[int, int, str]] = []
        """First and last line of each ``msgstr`` to be written, and its ``msgid``."""
        self._flagged: dict[int, int] = {}
        """For the first line of each slot, that of its entry."""
        for entry, (begin, end) in zip(entries, spans, strict=True):
            if entry.obsolete:
                continue
            if not entry.msgid and not entry.msgctxt:
                self._read_header(entry.msgstr, name, begin, end, languages)
            else:
                self._find_slots(entry, begin, end, everything)

    def _read_header(self, header, name, begin, end, languages):
        charset = _CHARSET.search(header)
        if charset and re.sub(r"[^a-z0-9]", "", charset[1].lower()) not in _AS_UTF8:
            raise InputError(
                f"{name}, line {begin + 1}: the catalogue is in {charset[1]:.40}: convert it with "
                "msgconv --to-code=UTF-8."
            )
        for number in range(begin, end):
            found = _LANGUAGE.fullmatch(self._lines[number])
            if found and languages.target and found[2].strip() in ("", languages.source):
                self._lines[number] = f"{found[1].rstrip()} {languages.target}{found[3]}"

    def _find_slots(self, entry, begin, end, everything):
        number = begin
        while number < end:
            found = _MSGSTR.match(self._lines[number])
            first = number
            number += 1
            if not found:
                continue
            while number < end and _GOES_ON.match(self._lines[number]):
                number += 1
            form = found[2]
            present = entry.msgstr if form is None else entry.msgstr_plural.get(int(form), "")
            if present and not everything:
                continue
            is_plural = form is not None and (form != "0" or len(entry.msgstr_plural) == 1)
            self._flagged[first] = begin
            self._slots.append((first, number, entry.msgid_plural if is_plural else entry.msgid))

    def texts(self) -> Iterator[str]:
        return (text for _, _, text in self._slots)

    def written(self, translated: Iterable[TranslatedText]) -> Iterator[str]:
        lines: list[str | None] = list(self._lines)
        fuzzy = set()
        for (first, end, _), found in zip(self._slots, translated, strict=True):
            if not found.text.strip():
                continue
            line_end = self._line_end(first)
            keyword = _MSGSTR.match(self._lines[first])[1]
            lines[first:end] = [None] * (end - first)
            lines[first] = "".join(line + line_end for line in self._msgstr(keyword, found.text))
            fuzzy.add(self._flagged[first])
        for begin in fuzzy:
            self._flag(lines, begin)
        yield "".join(line for line in lines if line is not None)

    def _msgstr(self, keyword: str, text: str) -> list[str]:
        """The lines of a ``msgstr``, as polib writes and wraps them."""
        entry = str(self._polib.POEntry(msgid="-", msgstr=text)).rstrip("\n")
        begin = entry.index("\nmsgstr") + len("\nmsgstr")
        return (keyword + entry[begin:]).split("\n")

    def _flag(self, lines: list[str | None], begin: int) -> None:
        """Flags the entry that begins at a line as fuzzy."""
        number = begin
        while not _is_of_message(self._lines[number]):
            found = _FLAGS.match(self._lines[number])
            if found and found[2].strip():
                if "fuzzy" not in [flag.strip() for flag in found[2].split(",")]:
                    lines[number] = f"{found[1]} fuzzy,{found[2]}"
                return
            number += 1
        lines[number] = f"#, fuzzy{self._line_end(number)}{lines[number]}"

    def _line_end(self, number: int) -> str:
        line = self._lines[number]
        return line[len(line.rstrip("\r\n")) :] or "\n"


def _is_of_message(line: str) -> bool:
    """Whether a line is of a message, or of what it was before; else it is blank or a comment."""
    line = line.strip()
    return line.startswith("#|") or bool(line and not line.startswith("#"))
