"""Texts and documents, translated by a served version: what signatures give, as Python has it."""

import asyncio
import io
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from keras_transformer.data.tokenizers.token_links import NONE, links_of_row, span_links
from keras_transformer.documents.base import (
    Document,
    Languages,
    Sentence,
    TranslatedText,
    whole_text,
)
from keras_transformer.documents.formats import lines_of, open_document
from keras_transformer.errors import InputError
from keras_transformer.exporting.format import NOT_FOUND, WARM_UP_SCALARS
from keras_transformer.serving.failures import Failure, Kind, invalid
from keras_transformer.serving.limits import Room
from keras_transformer.serving.loaded_model import LoadedModel
from keras_transformer.serving.service import Inputs, Service
from keras_transformer.serving.signatures import Outputs, Scalar, Signature

_TRANSLATION, _BEAM = "translation", "translate_beam"
_SENTENCES, _ALIGNMENT, _GLOSSARY = "sentences", "alignment", "glossary"
_OF_SENTENCES = {"gaps", "source_sentences", "target_sentences", "tail"}
_OF_ALIGNMENT = _OF_SENTENCES | {
    *("source_tokens", "target_tokens", "alignment", "alignment_weights"),
    *("source_sentence_tokens", "target_sentence_tokens"),
}
_IN_MEMORY = 4  # documents of the largest allowed size, of all requests together
_IN_MEMORY_EACH = 2  # of one address
_SMALL = 2**14  # bytes of documents that do not wait for larger ones
_LONGEST_PAUSE = 1.0  # seconds


class Translations:
    """Translates texts and documents by served versions.

    Args:
        service: that runs their signatures.
    """

    def __init__(self, service: Service):
        self._service = service
        most = service.settings.max_body_bytes
        self._documents = Room(most * _IN_MEMORY, most * _IN_MEMORY_EACH)

    async def texts(
        self, model: LoadedModel, texts: Sequence[str], deadline: float, glossary: str = ""
    ) -> list[str]:
        """The translations of texts, as the signature that answers by default gives them.

        Args:
            model: from `Service.using`, whose context must stay open meanwhile.
            texts: that UTF-8 can say.
            deadline: on the clock of `time.monotonic`.
            glossary: lines of terms and their translations, which a tab parts, if there are any.

        Raises:
            Failure: see `Service.predict`; or when the model has no such signature.
        """
        if glossary:
            signature, scalars = _of_glossary(model, glossary)
            outputs = await self._predict(model, signature, texts, deadline, scalars)
            return _decoded(outputs[_TRANSLATION])
        signature, output = _default(model)
        return _decoded((await self._predict(model, signature, texts, deadline))[output])

    async def alternatives(
        self, model: LoadedModel, texts: Sequence[str], count: int, deadline: float
    ) -> list[list[str]]:
        """Other translations of each text, the best first: those of a beam.

        Args:
            model, texts, deadline: see `texts`.
            count: how many at most.

        Returns:
            one list for each text, empty where the model has no beam.
        """
        signature = model.signatures.get(_BEAM)
        usable = signature in model.default_signatures and "translations" in signature.outputs
        if not usable or not signature.scalars.keys() <= WARM_UP_SCALARS.keys():
            return [[] for _ in texts]
        values = WARM_UP_SCALARS | {"beam_size": count}
        scalars = {name: tensor.scalar(values[name]) for name, tensor in signature.scalars.items()}
        outputs = await self._predict(model, signature, texts, deadline, scalars)
        found = map(_decoded, outputs["translations"])
        if (scores := outputs.get("scores")) is None:
            return list(found)
        return [
            [text for text, score in zip(beam, row, strict=True) if score > NOT_FOUND]
            for beam, row in zip(found, scores, strict=True)
        ]

    async def linked(
        self, model: LoadedModel, text: str, group: str, deadline: float, glossary: str = ""
    ) -> tuple[TranslatedText, float]:
        """A translated text with its sentences and their links, and its score.

        Args:
            model, deadline, glossary: see `texts`.
            text: that UTF-8 can say.
            group: whose it is; see `limits.group_of`.

        Returns:
            without links where a signature that follows glossaries tells none.

        Raises:
            Failure: see `Service.predict`; or when the model has no such signature.
        """
        if glossary:
            signature, scalars = _of_glossary(model, glossary)
        else:
            signature, scalars = model.signatures.get(_ALIGNMENT), None
            if not _aligns(model, signature):
                raise Failure(
                    Kind.NOT_OFFERED,
                    "this model tells no words that belong together: export it again.",
                )
        outputs = await self._predict(model, signature, [text], deadline, scalars)
        used = _OF_ALIGNMENT if outputs.keys() >= _OF_ALIGNMENT else _OF_SENTENCES
        helper = self._helper(len(text))
        [found] = await helper.run(group, _of_signature, [text], outputs, used)
        score = outputs.get("score")
        return found, 0.0 if score is None else float(score[0])

    def _helper(self, size: int):
        """Who reads and writes what has so many characters or bytes."""
        return self._service.helper if size <= _SMALL else self._service.large_helper

    async def documents(
        self,
        model: LoadedModel,
        contents: Sequence[str | bytes],
        format: str,
        name: str,
        languages: Languages,
        group: str,
        deadline: float,
        glossary: str = "",
    ) -> list[bytes]:
        """Translated documents, in the encodings that they came in.

        Args:
            model, deadline, glossary: see `texts`.
            contents: of the documents; a text is taken for UTF-8.
            format: of `documents.formats.FORMATS`.
            name: of the documents, for errors.
            languages: of the model.
            group: whose they are; see `limits.group_of`.

        Raises:
            Failure: when one is no document of that format, the answer would be too large,
                documents of this address take too much memory, or they have to make room for
                others.
        """
        with _Place(self._documents, group, sum(map(len, contents))) as place:
            try:
                return await self._translated(
                    model, contents, format, name, languages, group, deadline, glossary
                )
            except InputError as error:
                raise invalid(str(error)) from error
            except asyncio.CancelledError:
                if not place.pushed_out:
                    raise
                asyncio.current_task().uncancel()
        raise _full()

    async def _translated(
        self, model, contents, format, name, languages, group, deadline, glossary
    ) -> list[bytes]:
        settings = self._service.settings
        helper = self._helper(sum(map(len, contents)))
        opened = [
            await helper.run(group, _opened, content, format, name, languages)
            for content in contents
        ]
        texts = [text for one in opened for text in one.texts]
        marked = [one.document.wants_links for one in opened for _ in one.texts]
        blank = {text: TranslatedText([], text) for text in texts if not text.strip()}
        translated = [blank.get(text) for text in texts]
        size, is_first = 0, True
        for places, links in self._shares(translated, marked):
            own = [texts[place] for place in places]
            outputs, used = await self._divided(
                model, own, deadline, links, glossary, is_first=is_first
            )
            if used is _OF_ALIGNMENT:  # which takes a while
                found = await helper.run(group, _of_signature, own, outputs, used)
            else:
                found = _of_signature(own, outputs, used)
            is_first = False
            for place, text in zip(places, found, strict=True):
                translated[place] = text
                size += sum(len(part.text) for part in text.sentences)
            if size > settings.max_answer_bytes:
                raise Failure(
                    Kind.TOO_LARGE,
                    f"the translation has more than {settings.max_answer_bytes} bytes "
                    "(--max-answer-bytes): send less.",
                )
        place, written = 0, []
        for one in opened:
            own = translated[place : place + len(one.texts)]
            place += len(own)
            written.append(await helper.run(group, _written, one, own))
        return written

    def _shares(self, translated, marked) -> Iterator[tuple[list[int], bool]]:
        """Places of texts that are translated together, and whether with links.

        Args:
            translated: of each text, ``None`` where it has yet to be.
            marked: of each text, whether links are wanted.
        """
        most = self._service.settings.max_texts
        for links in (False, True):
            places = [
                place
                for place, text in enumerate(translated)
                if text is None and marked[place] is links
            ]
            for begin in range(0, len(places), most):
                yield places[begin : begin + most], links

    async def _divided(
        self,
        model: LoadedModel,
        texts: list[str],
        deadline: float,
        links: bool,
        glossary: str,
        *,
        is_first: bool,
    ) -> tuple[Outputs, set[str]]:
        """What the signature gives that says most of texts, and what of that is to be used.

        Where the queue is full after a part of the document is done, the rest waits.

        Args:
            model, texts, deadline, glossary: see `texts`.
            links: whether those of words are wanted.
            is_first: whether nothing of the document is done.
        """
        signature, output = _default(model)
        used, scalars = {output}, None
        names = {_ALIGNMENT: _OF_ALIGNMENT} if links else {}
        for name, needed in (names | {_SENTENCES: _OF_SENTENCES}).items():
            other = model.signatures.get(name)
            usable = other in model.default_signatures and not other.scalars
            if usable and other.outputs.keys() >= needed:
                signature, used = other, needed
                break
        if glossary:
            signature, scalars = _of_glossary(model, glossary)
            aligns = links and signature.outputs.keys() >= _OF_ALIGNMENT
            used = _OF_ALIGNMENT if aligns else _OF_SENTENCES
        while True:
            try:
                return await self._predict(model, signature, texts, deadline, scalars), used
            except Failure as failure:
                pause = min(failure.retry_after or 0.0, _LONGEST_PAUSE)
                is_late = time.monotonic() + pause >= deadline
                if is_first or failure.kind is not Kind.OVERLOADED or not pause or is_late:
                    raise
                await asyncio.sleep(pause)

    async def _predict(
        self, model: LoadedModel, signature: Signature, texts, deadline, scalars=None
    ) -> Outputs:
        inputs = Inputs([text.encode("utf-8") for text in texts], scalars or {})
        return await self._service.predict(model, signature, inputs, deadline)


class _Place:
    """A place of a document in the memory for documents, for as long as the context is open.

    Args:
        room: of all.
        group: whose it is.
        size: of the document.

    Attributes:
        pushed_out: whether it had to make room; its task is cancelled then.

    Raises:
        Failure: when those of the group leave no room for it.
    """

    def __init__(self, room: Room, group: str, size: int):
        self.pushed_out = False
        self._room, self._group, self._size = room, group, size

    def __enter__(self) -> "_Place":
        if self._room.of(self._group) + self._size > self._room.most_each:
            raise _full()
        self._task = asyncio.current_task()
        self._room.enter(self, self._group, self._make_room)
        self._room.take(self, self._size)
        return self

    def __exit__(self, *error) -> None:
        self._room.leave(self)

    def _make_room(self) -> None:
        self.pushed_out = True
        self._task.cancel()


def _full() -> Failure:
    return Failure(
        Kind.OVERLOADED, "too many documents are being translated: try again later.", retry_after=2
    )


class _Opened(NamedTuple):
    """A document that a client sent.

    Attributes:
        document: the document.
        texts: that it has.
        encoding: that it came in.
        mark: the byte order mark that it begins with, if any.
    """

    document: Document
    texts: list[str]
    encoding: str
    mark: str


def _opened(content: str | bytes, format: str, name: str, languages: Languages) -> _Opened:
    """Reads a document; called in a thread."""
    if isinstance(content, str):
        encoding, lines = "utf-8", io.StringIO(content, newline="")
    else:
        encoding, lines = lines_of(io.BytesIO(content), name, format)
    mark, document = open_document(lines, format, name, languages)
    return _Opened(document, list(document.texts()), encoding, mark)


def _written(opened: _Opened, translated: list[TranslatedText]) -> bytes:
    """The bytes of a translated document; called in a thread."""
    parts = [opened.mark, *opened.document.written(translated)]
    return "".join(parts).encode(opened.encoding, "xmlcharrefreplace")


def _default(model: LoadedModel) -> tuple[Signature, str]:
    """The signature that answers by default, and its output that is the translation."""
    signature = model.signature("")
    vectors = [
        name
        for name, tensor in signature.outputs.items()
        if tensor.dtype == "DT_STRING" and (tensor.shape is None or len(tensor.shape) == 1)
    ]
    output = _TRANSLATION if _TRANSLATION in vectors else (vectors or [None])[0]
    if output is None or signature.scalars:
        raise Failure(Kind.NOT_OFFERED, "this model gives no text for a text: use its signatures.")
    return signature, output


def _of_glossary(model: LoadedModel, glossary: str) -> tuple[Signature, dict[str, Scalar]]:
    """The signature that follows a glossary, and its parameter."""
    signature = model.signatures.get(_GLOSSARY)
    usable = signature in model.default_signatures and signature.scalars.keys() == {_GLOSSARY}
    if not usable or not signature.outputs.keys() >= {_TRANSLATION, *_OF_SENTENCES}:
        raise Failure(
            Kind.NOT_OFFERED, "this model follows no glossary: export it again with this version."
        )
    return signature, {_GLOSSARY: signature.scalars[_GLOSSARY].scalar(glossary)}


def _aligns(model: LoadedModel, signature: Signature | None) -> bool:
    """Whether a signature tells which words of texts and of their translations belong together."""
    usable = signature in model.default_signatures and not signature.scalars
    return usable and signature.outputs.keys() >= _OF_ALIGNMENT


def _decoded(values) -> list[str]:
    return [value.decode("utf-8", "replace") for value in values]


def _of_signature(texts: list[str], outputs: Outputs, used: set[str]) -> list[TranslatedText]:
    """Translated texts, from what a signature gave.

    Args:
        texts: that it was given.
        outputs: of the signature.
        used: of these: a translation alone, or what is known of sentences, or of links as well.
    """
    if len(used) == 1:
        return list(map(_of_one, texts, _decoded(outputs[min(used)])))
    found = []
    for row, (text, one) in enumerate(zip(texts, _sentences_of(outputs), strict=True)):
        if "".join(part.gap + part.source for part in one.sentences) + one.tail != text:
            # Its sentences are not those of the text, or it has none and stands between them.
            whole = outputs[_TRANSLATION][row] if _TRANSLATION in outputs else one.text.encode()
            one = _of_one(text, *_decoded([whole]))
        elif used is _OF_ALIGNMENT:
            one = _with_links(one, outputs, row)
        found.append(one)
    return found


def _sentences_of(outputs: Outputs) -> Iterator[TranslatedText]:
    rows = zip(
        outputs["gaps"],
        outputs["source_sentences"],
        outputs["target_sentences"],
        outputs["tail"],
        strict=True,
    )
    for gaps, sources, targets, tail in rows:
        parts = zip(_decoded(gaps), _decoded(sources), _decoded(targets), strict=True)
        sentences = [Sentence(*part) for part in parts if any(part)]  # the rest pads the row
        yield TranslatedText(sentences, tail.decode("utf-8", "replace"))


def _with_links(found: TranslatedText, outputs: Outputs, row: int) -> TranslatedText:
    """A translated text with the links of its sentences.

    Args:
        found: the text.
        outputs: of the signature `alignment`.
        row: number of the text.
    """
    counts = (outputs[f"{side}_sentence_tokens"][row].tolist() for side in ("source", "target"))
    sentences, source, target = [], 0, 0
    for sentence, of_source, of_target in zip(found.sentences, *counts, strict=False):
        here = slice(target, target + of_target)
        places = outputs["alignment"][row][here] - 1 - source
        links = links_of_row(
            outputs["source_tokens"][row][source : source + of_source],
            outputs["target_tokens"][row][here],
            np.where((places >= 0) & (places < of_source), places, NONE),
            outputs["alignment_weights"][row][here],
        )
        of_spans = span_links(sentence.source, sentence.text, links)
        sentences.append(sentence._replace(links=of_spans))
        source, target = source + of_source, target + of_target
    return found._replace(sentences=sentences)


def _of_one(text: str, translation: str) -> TranslatedText:
    """A text as one sentence."""
    gap, source, tail = whole_text(text)
    return TranslatedText([Sentence(gap, source, translation.strip())], tail)
