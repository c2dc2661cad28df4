"""Documents of clients: kept files, the thread that reads them, and the memory that they take."""

import asyncio
import functools
import os
import stat
import threading
import time

import numpy as np
import pytest

from keras_transformer.documents.base import Languages
from keras_transformer.serving.failures import Failure, Kind
from keras_transformer.serving.helper import Helper
from keras_transformer.serving.settings import Settings
from keras_transformer.serving.signatures import Signature, Tensor
from keras_transformer.serving.translated_files import TranslatedFiles
from keras_transformer.serving.translations import Translations


def run(test):
    """Makes a test of a coroutine."""

    @functools.wraps(test)
    def wrapped(**given):
        asyncio.run(asyncio.wait_for(test(**given), 60))

    return wrapped


# Files.


async def read(files, name):
    """The bytes of a file; ``None`` where it is not there."""
    found = await files.open(name)
    return None if found is None else b"".join(found[2])


@run
async def test_files_are_kept_where_nobody_else_reads_and_deleted_in_the_end():
    files = TranslatedFiles(1000)
    name = await files.keep(b"abc", "olá mundo.txt", "a")
    token, _, shown = name.partition(".")
    assert shown == "ol_mundo.txt"
    assert await files.open(token) is None
    assert await files.open(f"{token}.other") is None
    found, size, pieces = await files.open(name)
    assert (found, size, b"".join(pieces)) == (shown, 3, b"abc")
    folder = files._folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files.close()
    assert not folder.exists()
    assert await files.open(name) is None
    with pytest.raises(OSError):
        await files.keep(b"a", "a.txt", "a")


@run
async def test_files_go_with_their_time():
    files = TranslatedFiles(1000, seconds=0.2)
    name = await files.keep(b"abc", "a.txt", "a")
    begun = await files.open(name)
    assert await read(files, name) == b"abc"
    await asyncio.sleep(0.4)
    assert await read(files, name) is None
    assert len(files) == 0
    assert list(files._folder.iterdir()) == []
    assert b"".join(begun[2]) == b"abc"  # who has begun to read it, reads it
    files.close()


@run
async def test_the_oldest_of_the_address_that_has_most_makes_room():
    files = TranslatedFiles(1000)  # 64,000 bytes, 256 files
    mine = [await files.keep(b"a" * 1000, "a.txt", "mine") for _ in range(3)]
    theirs = [await files.keep(b"b" * 1000, "b.txt", "theirs") for _ in range(40)]
    assert [await read(files, name) for name in mine] == [b"a" * 1000] * 3
    assert [await read(files, name) is None for name in theirs] == [True] * 8 + [False] * 32
    small = [await files.keep(b"", "c.txt", f"c{number}") for number in range(300)]
    assert len(files) <= 256
    assert await read(files, small[-1]) == b""
    assert len(os.listdir(files._folder)) == len(files)
    files.close()


# The thread.


@run
async def test_the_thread_is_used_in_turn_however_much_one_address_wants():
    helper, order, begin = Helper(), [], threading.Event()
    first = asyncio.create_task(helper.run("many", begin.wait))
    await asyncio.sleep(0.05)
    many = [asyncio.create_task(helper.run("many", order.append, n)) for n in range(50)]
    await asyncio.sleep(0)
    other = asyncio.create_task(helper.run("other", order.append, "other"))
    await asyncio.sleep(0)
    begin.set()
    await asyncio.gather(first, other, *many)
    assert order.index("other") <= 1
    assert [n for n in order if n != "other"] == list(range(50))
    helper.close()


@run
async def test_who_gives_up_its_turn_holds_up_nobody():
    helper, begin = Helper(), threading.Event()
    running = asyncio.create_task(helper.run("a", begin.wait))
    await asyncio.sleep(0.05)
    waiting = [asyncio.create_task(helper.run("b", int)) for _ in range(5)]
    last = asyncio.create_task(helper.run("c", int, "7"))
    await asyncio.sleep(0.05)
    for task in waiting:
        task.cancel()
    running.cancel()
    begin.set()
    assert await asyncio.wait_for(last, 5) == 7
    assert await helper.run("b", int, "8") == 8
    with pytest.raises(ValueError):
        await helper.run("a", int, "x")
    assert await helper.run("a", int, "9") == 9
    assert helper._queues == {}
    helper.close()


# Memory, and a model that is not as others.


TEXT = Tensor("DT_STRING", (None,))
ROWS = Tensor("DT_STRING", (None, None))


class Model:
    """Signatures of a model, and what they answer."""

    def __init__(self, **signatures):
        self.signatures = signatures
        self.default_signatures = list(signatures.values())

    def signature(self, name):
        return self.signatures[name or "serving_default"]


def upper(texts):
    return {"translation": np.array([text.upper() for text in texts], object)}


class FakeService:
    """Answers in capitals, when it may, and as some other signature says."""

    def __init__(self, answers=None, **options):
        self.settings = Settings("none", **options)
        self.helper = self.large_helper = Helper()
        self.answers = answers or {}
        self.may = asyncio.Event()
        self.may.set()
        self.seen = []
        self.refusals = 0

    async def predict(self, model, signature, inputs, deadline):
        await self.may.wait()
        self.seen.append(len(inputs.texts))
        if self.refusals and len(self.seen) > 1:
            self.refusals -= 1
            raise Failure(Kind.OVERLOADED, "full", retry_after=0.01)
        return self.answers.get(signature.name, upper)(inputs.texts)


PLAIN = Model(serving_default=Signature("serving_default", {"text": TEXT}, {"translation": TEXT}))


def soon():
    return time.monotonic() + 10


async def translated(translations, *contents, model=PLAIN, format="text", group="a"):
    return await translations.documents(
        model, contents, format, "a", Languages("pt", "en"), group, soon()
    )


@run
async def test_a_model_without_sentences_translates_texts_whole():
    translations = Translations(FakeService())
    assert await translated(translations, "  a. b\r\n\r\n- c ") == [b"  A. B\r\n\r\n- C "]
    page = "<p>a <b>b</b></p>"
    assert await translated(translations, page, format="html") == [b"<p><b>A B</b></p>"]


def cut(gap, tail):
    """What a signature says that finds one sentence, with something before and after it."""

    def answer(texts):
        rows = [[text.removeprefix(gap).removesuffix(tail)] for text in texts]
        found = np.array(rows, object)
        return {
            "gaps": np.array([[gap]] * len(texts), object),
            "source_sentences": found,
            "target_sentences": np.array([[row[0].upper()] for row in rows], object),
            "tail": np.array([tail] * len(texts), object),
        } | upper(texts)

    return answer


@pytest.mark.parametrize("tail", [b"!", b"?"])
@run
async def test_sentences_that_are_not_those_of_the_text_are_not_believed(tail):
    outputs = {"translation": TEXT, "tail": TEXT} | dict.fromkeys(
        ("gaps", "source_sentences", "target_sentences"), ROWS
    )
    model = Model(
        serving_default=PLAIN.signature(""),
        sentences=Signature("sentences", {"text": TEXT}, outputs),
    )
    translations = Translations(FakeService({"sentences": cut(b"", tail)}))
    page = "<p>a <b>b</b>!</p>"
    [found] = await translated(translations, page, model=model, format="html")
    # Otherwise the text is one sentence, and its translation is that of the whole text.
    assert found == (b"<p><b>A B</b>!</p>" if tail == b"!" else b"<p><b>A B!</b></p>")


def aligned(texts):
    """What a signature says of texts of two words, which it turns round."""
    rows = [text.split() for text in texts]

    def lists(values):
        return np.array(list(values), object)

    return {
        "translation": lists(b" ".join(row[::-1]) for row in rows),
        "gaps": lists([b""] for _ in rows),
        "source_sentences": lists([text] for text in texts),
        "target_sentences": lists([b" ".join(row[::-1])] for row in rows),
        "tail": lists(b"" for _ in rows),
        "source_tokens": lists([b"[START]", *row, b"[END]"] for row in rows),
        "target_tokens": lists([*row[::-1], b"[END]"] for row in rows),
        "alignment": np.array([[3, 2, 0]] * len(rows)),
        "alignment_weights": np.array([[0.9, 0.9, 0.0]] * len(rows)),
        "source_sentence_tokens": np.array([[4]] * len(rows)),
        "target_sentence_tokens": np.array([[3]] * len(rows)),
    }


ALIGNING = Model(
    serving_default=PLAIN.signature(""),
    alignment=Signature(
        "alignment", {"text": TEXT}, {name: (TEXT, ROWS)[name != "tail"] for name in aligned([])}
    ),
)


@run
async def test_tags_go_around_their_words_where_the_model_aligns():
    service = FakeService({"alignment": aligned})
    page = "<p>a <b>b</b></p><p>c d</p>"
    [found] = await translated(Translations(service), page, model=ALIGNING, format="html")
    assert found == b"<p><b>b</b> a</p><p>d c</p>"
    # Pages without tags in their texts need no links.
    [found] = await translated(Translations(service), "<p>a b</p>", model=ALIGNING, format="html")
    assert found == b"<p>A B</p>"
    pages = await translated(
        Translations(service), "<p>a b</p>", page, "<i>c d</i>", model=ALIGNING, format="html"
    )
    assert pages == [b"<p>A B</p>", b"<p><b>b</b> a</p><p>d c</p>", b"<i>d c</i>"]


@run
async def test_blank_texts_do_not_reach_the_model():
    service = FakeService(max_texts=10)
    [found] = await translated(Translations(service), "\n" * 100_000 + "a\n \n")
    assert found == b"\n" * 100_000 + b"A\n \n"
    assert service.seen == [1]


@run
async def test_what_waits_in_the_middle_of_a_document_is_asked_again():
    service = FakeService(max_texts=10)
    service.refusals = 3
    [found] = await translated(Translations(service), "a\n" * 25)
    assert found == b"A\n" * 25
    assert service.seen == [10, 10, 10, 10, 10, 5]


@run
async def test_a_full_queue_is_said_at_once():
    service = FakeService()
    service.seen, service.refusals = [0], 1
    with pytest.raises(Failure) as caught:
        await translated(Translations(service), "a")
    assert caught.value.kind is Kind.OVERLOADED


@run
async def test_an_answer_has_its_limit():
    service = FakeService(max_answer_bytes=100, max_texts=10)
    with pytest.raises(Failure, match="--max-answer-bytes"):
        await translated(Translations(service), "a" * 20 + "\n" + ("b" * 20 + "\n") * 20)
    assert len(service.seen) == 1


@run
async def test_documents_take_bounded_memory_and_nobody_takes_all_of_it():
    service = FakeService(max_body_bytes=100)  # 400 in all, 200 of one address
    translations = Translations(service)
    service.may.clear()
    mine = [asyncio.create_task(translated(translations, "a" * 100)) for _ in range(2)]
    await asyncio.sleep(0.05)
    with pytest.raises(Failure) as caught:
        await translated(translations, "a")
    assert (caught.value.kind, caught.value.retry_after) == (Kind.OVERLOADED, 2)
    others = [
        asyncio.create_task(translated(translations, "a" * 100, group=group)) for group in "bcd"
    ]
    await asyncio.sleep(0.05)
    assert mine[0].done()  # the oldest of the address that had most
    service.may.set()
    with pytest.raises(Failure) as caught:
        await mine[0]
    assert caught.value.kind is Kind.OVERLOADED
    assert await mine[1] == [b"A" * 100]
    assert await asyncio.gather(*others) == [[b"A" * 100]] * 3
    assert await translated(translations, "a" * 100, "b" * 100) == [b"A" * 100, b"B" * 100]
    assert translations._documents.held == 0


@run
async def test_who_leaves_takes_its_document_along():
    service = FakeService(max_body_bytes=100)
    translations = Translations(service)
    service.may.clear()
    task = asyncio.create_task(translated(translations, "a" * 100))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert translations._documents.held == 0


@run
async def test_a_model_that_gives_no_text_says_so():
    number = Signature("serving_default", {"text": TEXT}, {"score": Tensor("DT_FLOAT", (None,))})
    with pytest.raises(Failure) as caught:
        await Translations(FakeService()).texts(Model(serving_default=number), ["a"], soon())
    assert caught.value.kind is Kind.NOT_OFFERED
