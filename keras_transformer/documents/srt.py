"""Subtitles, SubRip's ``.srt``: sentences run over lines and over subtitles."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from keras_transformer.documents.base import Document, Languages, TranslatedText, import_extra
from keras_transformer.errors import InputError
from keras_transformer.files import reason_of

_TAG = re.compile(r"(\{\\[^{}]*\}|</?[A-Za-z][^<>]*>)")
_NAME = re.compile(r"</?([A-Za-z][^\s<>/]*)")
# What a speaker's line, or one of a song, begins with.
_MARK = re.compile(r"(?:[-–—‐]|[♪♫#])\s*")
_STOP = re.compile(r"[.!?…。！？؟۔।♪♫]['\"’”»›)\]]*$")
_REMARK = re.compile(r"[(\[].*[)\]]$|[^\W\d_][^.!?]*:$")
_BEGINS_LOWER = re.compile(r"['\"‘“„«‹(\[]*[^\W\d_]")
# On such runs searches of the package srt take time that grows with their square.
_RUN = re.compile(r"(?<!\s)\s{1000}|(?<!\d)\d{100}")
_BLANKS_AND_DIGITS = re.compile(r"[\s\d]{4,}")
# Steps of its searches that runs may take together, and more for each character of the document.
_MOST_STEPS, _MOST_STEPS_EACH = 2**20, 64
_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True)
class _Line:
    """A line of a subtitle.

    Attributes:
        subtitle: the number of the subtitle, from 0.
        original: the line.
        before: tags, white space and the dash of a speaker before its text.
        text: what is translated, without tags.
        after: tags and white space after it.
        is_marked: whether a dash or a note begins it.
    """

    subtitle: int
    original: str
    before: str = ""
    text: str = ""
    after: str = ""
    is_marked: bool = False


class SubtitleDocument(Document):
    """Subtitles; they are held in memory.

    A sentence that runs over lines, or over subtitles, where no stop ends one and a small letter
    begins the next, is translated as one and divided again, at spaces, in proportion to what it
    was. A line that a dash begins stays a line. Times and numbers stay; tags stand before and after
    the text of their line. Written as the package ``srt`` composes.

    Args:
        lines: with their ends.
        name: of the document, for errors.
        languages: none counts here.

    Raises:
        InputError: for what is no subtitle, and where ``srt`` is missing.
    """

    def __init__(self, lines: Iterable[str], name: str, languages: Languages):
        self._srt = import_extra("srt")
        text = "".join(lines)
        self._line_end = "\r\n" if "\r\n" in text else "\n"
        self._subtitles = list(self._parsed(text, name))
        self._check_times(text, name)
        self._lines = [
            _line(number, line)
            for number, subtitle in enumerate(self._subtitles)
            for line in subtitle.content.split("\n")
        ]
        self._groups: list[list[_Line]] = []
        for line in self._lines:
            if self._groups and _runs_on(self._groups[-1][-1], line):
                self._groups[-1].append(line)
            else:
                self._groups.append([line])

    def _parsed(self, text: str, name: str) -> Iterator:
        if run := _RUN.search(text):
            raise InputError(
                f"{name}, line {_line_number(text, run.start())}: has a thousand blanks or a "
                "hundred digits on end: these are no subtitles; delete them."
            )
        if _steps(text) > _MOST_STEPS + _MOST_STEPS_EACH * len(text):
            raise InputError(
                f"{name}: has too many long numbers and runs of blanks: these are no subtitles."
            )
        count = 0
        try:
            for subtitle in self._srt.parse(text):
                yield subtitle
                count += 1
        except self._srt.SRTParseError as error:
            wrong = error.unmatched_content
            place = error.expected_start + len(wrong) - len(wrong.lstrip())
            shown = wrong.strip().partition("\n")[0]
            raise InputError(
                f"{name}, line {_line_number(text, place)}: begins no subtitle ({shown!r:.60}): "
                "write a number, a line of times such as 00:00:01,000 --> 00:00:02,500, and text."
            ) from error
        except (ValueError, OverflowError) as error:
            raise InputError(
                f"{name}, subtitle {count + 1}: has no times ({reason_of(error):.80}): write them "
                "such as 00:00:01,000 --> 00:00:02,500."
            ) from error

    def _check_times(self, text: str, name: str) -> None:
        """Refuses times that are none, which the package takes for text of the subtitle before."""
        taken = {
            line.strip()
            for subtitle in self._subtitles
            for line in subtitle.content.split("\n")
            if "-->" in line
        }
        for number, line in enumerate(text.split("\n") if taken else (), 1):
            if line.strip() in taken:
                raise InputError(
                    f"{name}, line {number}: {line.strip()!r:.60} are no times: write them such as "
                    "00:00:01,000 --> 00:00:02,500."
                )

    def texts(self) -> Iterator[str]:
        return (_joined(group) for group in self._groups if group[0].text)

    def written(self, translated: Iterable[TranslatedText]) -> Iterator[str]:
        translated = iter(translated)
        contents: list[list[str]] = [[] for _ in self._subtitles]
        for group in self._groups:
            parts = _parts(group, next(translated)) if group[0].text else [""]
            for line, text in zip(group, parts, strict=True):
                lines = contents[line.subtitle]
                if text == line.text:
                    lines.append(line.original)
                elif text:
                    lines.append(line.before + text + line.after)
                elif lines:  # nothing is left for this line
                    lines[-1] += _tags(line.before + line.after)
                else:
                    lines.append(_tags(line.before + line.after))
        numbered = enumerate(zip(self._subtitles, contents, strict=True), 1)
        for number, (subtitle, lines) in numbered:
            changed = self._srt.Subtitle(
                number if subtitle.index is None else subtitle.index,
                subtitle.start,
                subtitle.end,
                "\n".join(lines),
                subtitle.proprietary,
            )
            yield self._srt.compose([changed], reindex=False, eol=self._line_end)


def _steps(text: str) -> int:
    """At most how many steps searches of the package srt take in runs of blanks and digits."""
    steps = 0
    for run in _BLANKS_AND_DIGITS.findall(text):
        digits = sum(map(str.isdigit, run))
        blanks = len(run) - digits
        steps += len(run) * (2 * blanks + digits**2) + digits * blanks**2
    return steps


def _line(subtitle: int, original: str) -> _Line:
    """Takes a line apart; tags inside its text go to the ends of the line."""
    pieces = _TAG.split(original)  # tags stand at the odd places
    filled = [place for place in range(0, len(pieces), 2) if pieces[place].strip()]
    line = _Line(subtitle, original)
    if not filled:
        return line
    first, last = filled[0], filled[-1]
    text = "".join(pieces[first : last + 1 : 2])
    inner = pieces[first + 1 : last : 2]
    body = text.lstrip()
    mark = _MARK.match(body)
    body = body[mark.end() :] if mark else body
    before = text[: len(text) - len(body)]
    body, after = body.rstrip(), body[len(body.rstrip()) :]
    if not body:
        return line
    opening = "".join(tag for tag in inner if not tag.startswith("</"))
    closing = [tag for tag in inner if tag.startswith("</")]
    before = "".join(pieces[:first]) + before + opening
    after = after + "".join(pieces[last + 1 :])
    if closing:
        after = _nested(before, closing + _TAG.findall(after)) + _TAG.sub("", after)
    return replace(line, before=before, text=body, after=after, is_marked=mark is not None)


def _nested(before: str, closing: list[str]) -> str:
    """Closing tags in the order in which they close what was opened last, first."""
    ordered = []
    for opened in reversed(_TAG.findall(before)):
        for tag in closing:
            if tag.startswith("</") and _name(tag) == _name(opened):
                ordered.append(tag)
                closing.remove(tag)
                break
    return "".join(ordered + closing)


def _name(tag: str) -> str | None:
    found = _NAME.match(tag)
    return found and found[1].lower()


def _tags(text: str) -> str:
    return "".join(_TAG.findall(text))


def _runs_on(line: _Line, following: _Line) -> bool:
    """Whether the sentence of a line goes on in the following one."""
    if not line.text or not following.text or following.is_marked:
        return False
    if _STOP.search(line.text) or any(_REMARK.match(other.text) for other in (line, following)):
        return False
    if line.subtitle == following.subtitle:
        return True
    begin = _BEGINS_LOWER.match(following.text)
    return begin is not None and begin[0][-1].islower()


def _joined(group: list[_Line]) -> str:
    return " ".join(line.text for line in group)


def _parts(group: list[_Line], translated: TranslatedText) -> list[str]:
    """The translation of each line of a group."""
    if len(group) == 1:
        return [" ".join(translated.text.splitlines())]  # lines of a model's own would be new ones
    whole = _joined(group)
    ends, begins, place = [], [], 0
    for line in group:
        begins.append(place)
        ends.append(place + len(line.text))
        place = ends[-1] + 1
    parts = [""] * len(group)

    def keep(begin, end):
        """Takes over what stands between sentences, save the spaces between lines."""
        for number in range(len(group)):
            parts[number] += whole[max(begin, begins[number]) : min(end, ends[number])]

    place = 0
    for sentence in translated.sentences:
        begin = place + len(sentence.gap)
        keep(place, begin)
        place = begin + len(sentence.source)
        rows = [i for i in range(len(group)) if begins[i] < place and ends[i] > begin]
        fractions = [(ends[i] - begin) / len(sentence.source) for i in rows[:-1]]
        for i, text in zip(rows, _cut(sentence.text, fractions), strict=bool(rows)):
            parts[i] += text
    keep(place, len(whole))
    return [part.strip() for part in parts]


def _cut(text: str, fractions: list[float]) -> list[str]:
    """Cuts a text at the spaces that are next to some fractions of its length."""
    text = " ".join(text.splitlines())
    places = [match.start() for match in re.finditer(r"\s", text)]
    if not places and _WITHOUT_SPACES.search(text):
        places = list(range(1, len(text)))
    parts, begin = [], 0
    for number, fraction in enumerate(fractions):
        wanted = fraction * len(text)
        left = len(fractions) - number - 1  # a place is left for each cut to come
        open_places = [place for place in places if place > begin]
        open_places = open_places[: max(len(open_places) - left, 1)]
        end = min(open_places, key=lambda place: abs(place - wanted), default=len(text))
        parts.append(text[begin:end].strip())
        begin = end
    return [*parts, text[begin:].strip()]


def _line_number(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1
