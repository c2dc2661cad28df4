"""Files of pairs: every kind gives what the plain table gives, packed or not, here or elsewhere."""

import bz2
import gzip
import json
import lzma
import sys

import pytest

from keras_transformer.data.corpora.corpus import list_pairs
from keras_transformer.data.corpora.files import stream
from keras_transformer.data.corpora.load import load_corpus
from keras_transformer.data.corpora.pair_files import read_pairs
from keras_transformer.errors import InputError

pyarrow = pytest.importorskip("pyarrow")
zstd = pytest.importorskip("backports.zstd" if sys.version_info < (3, 14) else "compression.zstd")
fsspec = pytest.importorskip("fsspec")

PAIRS = [
    (f"o gato número {i} & o <cão>\u2028.", f'cat number {i} & the "dog" .') for i in range(300)
]

PACKINGS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
PACKINGS[".zst"] = zstd.compress


def table(pairs):
    return "".join(f"{source}\t{target}\n" for source, target in pairs).encode()


def json_lines(pairs, source="pt", target="en"):
    records = ({source: one, "id": i, target: other} for i, (one, other) in enumerate(pairs))
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def nested_json_lines(pairs):
    records = ({"translation": {"pt": one, "en": other}} for one, other in pairs)
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def parquet(pairs, nested=False):
    sides = [{"pt": one, "en": other} for one, other in pairs]
    rows = [{"translation": side} for side in sides] if nested else sides
    file = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file, row_group_size=70)
    return file.getvalue().to_pybytes()


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;")


def tmx(pairs, languages=("pt-BR", "en")):
    units = "".join(
        "<tu>"
        + "".join(
            f'<tuv xml:lang="{language}"><seg>{escaped(text)}</seg></tuv>'
            for language, text in zip(languages, pair, strict=True)
        )
        + "</tu>\n"
        for pair in pairs
    )
    header = f'<header srclang="{languages[0]}"/>'
    return f'<?xml version="1.0"?>\n<tmx version="1.4">{header}<body>{units}</body></tmx>'.encode()


KINDS = {
    "tsv": ("pairs.pt-en.tsv", table),
    "jsonl": ("pairs.jsonl", json_lines),
    "nested jsonl": ("pairs.jsonl", nested_json_lines),
    "jsonl of roles": ("pairs.jsonl", lambda pairs: json_lines(pairs, "source", "target")),
    "parquet": ("pairs.parquet", parquet),
    "nested parquet": ("pairs.parquet", lambda pairs: parquet(pairs, nested=True)),
    "tmx": ("pairs.tmx", tmx),
}


@pytest.fixture(autouse=True)
def parquet_module():
    import pyarrow.parquet  # noqa: F401


def write(folder, kind, pairs=PAIRS, packing=""):
    name, make = KINDS[kind]
    path = folder / f"{name}{packing}"
    path.write_bytes(PACKINGS[packing](make(pairs)))
    return path


# Laws


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_pairs(kind, packing, tmp_path):
    if kind.endswith("parquet") and packing:
        pytest.skip("Parquet packs its columns itself")
    path = write(tmp_path, kind, packing=packing)
    assert read_pairs(f"{path}") == PAIRS
    corpus = load_corpus(f"pairs:{path}", validation_pairs=f"{path}")
    assert list_pairs(corpus.train) == list_pairs(corpus.validation) == PAIRS
    if kind != "jsonl of roles":
        assert corpus.source_language.startswith("pt")
        assert corpus.target_language == "en"


@pytest.mark.parametrize("kind", KINDS)
def test_what_stays_on_the_disk_is_what_memory_holds(kind, tmp_path, monkeypatch):
    path = write(tmp_path, kind)
    expected = load_corpus(f"pairs:{path}")
    monkeypatch.setattr(stream, "MOST_IN_MEMORY", 10)
    found = load_corpus(f"pairs:{path}")
    assert found.normalization == expected.normalization
    for split in ("train", "validation"):
        for _ in range(2):
            pairs = list_pairs(getattr(found, split))
            assert pairs == list_pairs(getattr(expected, split))
        assert int(getattr(found, split).cardinality()) == len(pairs)


def test_a_pattern_gives_the_files_in_order(tmp_path):
    for i, name in enumerate("bac"):
        (tmp_path / f"{name}.pt-en.tsv.gz").write_bytes(gzip.compress(table(PAIRS[i : i + 2])))
        for side, language in enumerate(("pt", "en")):
            lines = "".join(f"{pair[side]}\n" for pair in PAIRS[i : i + 2])
            (tmp_path / f"{name}.{language}").write_text(lines, encoding="utf-8")
    expected = [*PAIRS[1:3], *PAIRS[0:2], *PAIRS[2:4]]
    assert read_pairs(f"{tmp_path}/*.tsv.gz") == expected
    assert read_pairs(f"{tmp_path}/*.pt,{tmp_path}/*.en") == expected


@pytest.mark.parametrize("kind", KINDS)
def test_an_address_gives_what_the_file_gives(kind, tmp_path):
    path = write(tmp_path, kind)
    address = f"memory://kinds/{path.name}"
    with fsspec.open(address, "wb") as file:
        file.write(path.read_bytes())
    assert read_pairs(address) == PAIRS
    assert list_pairs(load_corpus(f"pairs:{address}", validation_pairs=address).train) == PAIRS


def test_texts_come_from_records_too(tmp_path):
    texts = [target for _, target in PAIRS]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (tmp_path / "a.jsonl").write_text(lines)
    columns = pyarrow.table({"text": texts})
    pyarrow.parquet.write_table(columns, tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        corpus = load_corpus(f"text:{tmp_path / name},{tmp_path / name}")
        assert list_pairs(corpus.train) == [("", text) for text in texts]


# Languages


def test_one_of_several_languages_is_chosen(tmp_path):
    records = [{"pt": "um", "en": "one", "de": "eins"}, {"pt": "dois", "en": "two", "de": "zwei"}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(InputError, match=r"there are 'pt', 'en', 'de'.*--source-language"):
        load_corpus(f"pairs:{path}")
    corpus = load_corpus(
        f"pairs:{path}", source_language="de", target_language="pt", validation_pairs=f"{path}"
    )
    assert list_pairs(corpus.train) == [("eins", "um"), ("zwei", "dois")]
    assert (corpus.source_language, corpus.target_language) == ("de", "pt")


def test_translation_memories_turn_round(tmp_path):
    path = write(tmp_path, "tmx", PAIRS[:3])
    turned = [(target, source) for source, target in PAIRS[:3]]
    assert read_pairs(f"{path}", ("en", "pt")) == turned
    assert read_pairs(f"{path}", ("en", None)) == turned


# What is refused


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b'{"pt": "um", "en": "one"}\n{"pt": "dois"\n', "a.jsonl, line 2: no JSON"),
        ("a.jsonl", b'{"pt": "um", "en": "one"}\n[1]\n', "line 2: no JSON object"),
        ("a.jsonl", b'{"pt": "um", "en": "one"}\n{"pt": "dois"}\n', "line 2: no text under 'en'"),
        ("a.jsonl", b'{"pt": "um", "en": " "}\n', "line 1: empty side"),
        ("a.jsonl", b'{"a": "um", "b": "one"}\n', "line 1: .*there are 'a', 'b'"),
        ("a.jsonl", b"", "the file is empty"),
        ("a.parquet", b"PAR1", "not a complete Parquet file"),
        ("a.tmx", b"<tmx><body><tu>", "no XML"),
        ("a.tmx", b"<html/>", "is no TMX"),
        ("a.tmx", b"", "no XML"),
        (
            "a.tmx",
            b'<!DOCTYPE tmx [<!ENTITY a "aaaa">]><tmx><body/></tmx>',
            "the entity 'a'",
        ),
        ("a.tmx", tmx([("um", " ")]), "line 2: empty side"),
        ("a.tmx", tmx([("um", "one", "eins")], ("pt", "en", "de")), "name two of them with"),
        ("a.tsv", b"um\tone\ndois\n", "line 2: 1 tab-separated"),
        ("a.tsv.gz", gzip.compress(table(PAIRS))[:-9], "not a complete gzip file"),
        ("a.tsv.bz2", bz2.compress(table(PAIRS))[:-9], "not a complete bzip2 file"),
        ("a.tsv.xz", lzma.compress(table(PAIRS))[:-9], "not a complete xz file"),
        ("a.tsv.zst", zstd.compress(table(PAIRS))[:-9], "not a complete Zstandard file"),
        ("a.tsv.zst", b"no Zstandard", "not a complete Zstandard file"),
        ("a.tsv.xz", lzma.compress(b"a\tb\n" * 2**25), "unpacks to more than"),
        ("a.csv", b"a,b\n", "neither two paths"),
    ],
)
def test_wrong_files_are_named_with_the_line(name, content, says, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says):
        load_corpus(f"pairs:{tmp_path / name}")


def test_parquet_without_texts_is_refused(tmp_path):
    for columns, says in (
        ({"a": ["um"], "b": ["one"]}, "there are 'a', 'b'"),
        ({"pt": ["um", None], "en": ["one", "two"]}, "row 2: no text in 'pt'"),
        ({"pt": ["um", "dois"], "en": ["one", " "]}, "row 2: no text in 'en'"),
        ({"pt": [1], "en": ["one"]}, "row 1: no text in 'pt'"),
    ):
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
        with pytest.raises(InputError, match=says):
            load_corpus(f"pairs:{tmp_path / 'a.parquet'}")


def test_patterns_that_fit_nothing_are_refused(tmp_path):
    for name in ("a.pt", "b.pt", "a.en"):
        (tmp_path / name).write_text("um\n")
    with pytest.raises(InputError, match="no file matches"):
        read_pairs(f"{tmp_path}/*.tsv")
    with pytest.raises(InputError, match="give as many of both sides"):
        read_pairs(f"{tmp_path}/*.pt,{tmp_path}/*.en")
    with pytest.raises(InputError, match="holds both sides"):
        read_pairs(f"{tmp_path}/a.pt,{tmp_path}/a.tmx")


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [
        ("pyarrow", "a.parquet", "files"),
        ("fsspec", "memory://a.tsv", "remote"),
        pytest.param(
            "backports.zstd",
            "a.tsv.zst",
            "files",
            marks=pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python has it"),
        ),
    ],
)
def test_a_missing_package_is_named(module, name, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "backports", None)
    place = name if "://" in name else tmp_path / name
    (tmp_path / "a.tsv.zst").write_bytes(b"anything")
    (tmp_path / "a.parquet").write_bytes(b"anything")
    with pytest.raises(InputError, match=rf"pip install 'keras-transformer\[{extra}\]'"):
        load_corpus(f"pairs:{place}")


def test_a_file_that_changes_is_not_read_on(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "MOST_IN_MEMORY", 10)
    path = write(tmp_path, "tsv")
    corpus = load_corpus(f"pairs:{path}")
    path.write_bytes(table([*PAIRS, ("mais um", "one more")]))
    with pytest.raises(Exception, match="has changed since it was first read"):
        list_pairs(corpus.train)
