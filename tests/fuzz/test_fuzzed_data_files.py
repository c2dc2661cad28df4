"""Files of text, vectors and settings: each is read, or refused with one error that names it."""

import bz2
import gzip
import json
import lzma
import sqlite3
import zipfile

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    changed_json,
    damaged,
    error_of,
    examples,
    json_values,
    known_lines,
    known_texts,
    result_or_error,
    texts,
)

from keras_transformer.cli.texts import read_scores
from keras_transformer.config import Config, config_from_json, load_changes, preset_of_run
from keras_transformer.data.corpora import bible
from keras_transformer.data.corpora.documents import text_documents
from keras_transformer.data.corpora.files.lines import read_lines
from keras_transformer.data.corpora.load import load_corpus
from keras_transformer.data.corpora.pair_files import read_pairs
from keras_transformer.data.tokenizers.pair import Tokenizers, tutorial_tokenizers
from keras_transformer.data.tokenizers.sentencepiece import SentencePieceTokenizer
from keras_transformer.data.tokenizers.wordpiece import WordPieceTokenizer
from keras_transformer.data.word_vectors import read_word_vectors, word_vector_rows
from keras_transformer.errors import InputError

pytestmark = pytest.mark.slow

LINES = known_lines(60)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"]
PACKINGS = [bytes, gzip.compress, bz2.compress, lzma.compress]

lines_of_text = st.lists(known_texts | texts, max_size=5)
contents = st.one_of(
    st.builds(
        lambda lines, end, encoding: end.join(lines).encode(encoding, "replace"),
        lines_of_text,
        st.sampled_from(["\n", "\r\n", "\r", "\t", "\u2028"]),
        st.sampled_from(ENCODINGS),
    ),
    st.binary(max_size=60),
    damaged("\n".join(LINES[:5]).encode()),
)
files = st.one_of(
    st.builds(lambda content, pack: pack(content), contents, st.sampled_from(PACKINGS)),
    damaged(gzip.compress("\n".join(LINES).encode())),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


def refused_or_read(read, path):
    """What is read of a file, or ``None`` where the one error names it."""
    problem = None
    try:
        return read(path)
    except InputError as error:
        problem = error
    assert str(path) in error_of(problem)
    return None


@examples(150)
@given(content=files, ending=st.sampled_from([".txt", ".gz", ".tsv", ".tsv.gz", ".xz", ""]))
def test_any_file_of_lines(folder, content, ending):
    path = folder / f"lines{ending}"
    path.write_bytes(content)
    lines = refused_or_read(read_lines, path)
    if lines is not None:
        assert all(isinstance(line, str) and "\n" not in line for line in lines)
    refused_or_read(text_documents, path)
    found = result_or_error(load_corpus, f"text:{path}")
    if found is not None:
        assert len(list(found.train)) > 0


@examples(150)
@given(source=files, target=files, kind=st.sampled_from([".txt", ".gz", ".tsv", ".tsv.gz"]))
def test_any_pair_files(folder, source, target, kind):
    paths = folder / f"source{kind}", folder / f"target{kind}"
    for path, content in zip(paths, (source, target), strict=True):
        path.write_bytes(content)
    one = kind.startswith(".tsv")
    spec = str(paths[0]) if one else f"{paths[0]},{paths[1]}"
    pairs = result_or_error(read_pairs, spec)
    if pairs is not None:
        assert pairs
        assert all(source.strip() and target.strip() for source, target in pairs)
    corpus = result_or_error(load_corpus, f"pairs:{spec}")
    assert corpus is None or pairs is not None


@examples(60)
@given(name=texts | st.sampled_from(["pairs:", "pairs:,", "text:", "text:,", "sample/x", "a,b"]))
def test_any_name_of_a_corpus(folder, name):
    assert result_or_error(read_pairs, name) is None
    if name.startswith(("pairs:", "text:")):
        assert result_or_error(load_corpus, name) is None


sections = st.sampled_from(["model", "tokenizer", "training", "decoding", "word_vectors", "other"])
fields = st.sampled_from(
    [
        *("family", "num_layers", "d_model", "num_heads", "dff", "max_length", "dropout_rate"),
        *("activation", "positions", "kind", "vocab_size", "shared", "batch_tokens", "epochs"),
        *("learning_rate", "seed", "dtype", "beam_size", "length_penalty", "units", "attention"),
        *("max_steps", "max_minutes", "max_tokens", "select_by", "source", "limit", "other"),
    ]
)
changes = st.dictionaries(
    sections, st.dictionaries(fields, json_values, max_size=3) | json_values, max_size=3
)


@examples(300)
@given(values=changes, name=st.none() | texts)
def test_any_changes_of_a_configuration(values, name):
    for config in (Config(), Config().replace({"model": {"family": "gru"}})):
        changed = result_or_error(config.replace, values, "my.yaml")
        if changed is not None:
            assert Config().replace(changed.to_dict()) == changed
    result_or_error(preset_of_run, "sample", values, name)


@examples(100)
@given(
    content=st.one_of(
        changes.map(lambda values: json.dumps(values).encode()),
        changes.map(lambda values: yaml.dump(values).encode("utf-8", "replace")),
        st.builds(lambda content: content, contents),
        st.sampled_from(
            [
                b"a: &a [*a]",
                b"&a [*a]",
                b"{a: 1, a: 2}",
                b"? [1, 2]\n: 3",
                b"model: !!python/object:os.system {}",
                b"[" * 5000,
                b"- " * 3000,
                b"model: {num_layers: 0x, d_model: 1_0, dff: 1:30, x: 2001-01-01}",
                b"1: {2: 3}",
                b"model: {1: 2}",
                b"training: {seed: " + b"9" * 6000 + b"}",
                b"a: !!binary x\n",
                b"a: !!timestamp 1\n",
                b"a: 2001-99-99\n",
            ]
        ),
    )
)
def test_any_file_of_changes(folder, content):
    path = folder / "changes.yaml"
    path.write_bytes(content)
    changed = refused_or_read(load_changes, path)
    if changed is not None:
        result_or_error(Config().replace, changed, path)
    path = folder / "config.json"
    path.write_bytes(content)
    refused_or_read(config_from_json, path)


@examples(100)
@given(content=changed_json({"config": Config().to_dict()}))
def test_any_configuration_of_a_run(folder, content):
    path = folder / "config.json"
    path.write_text(json.dumps(content))
    refused_or_read(config_from_json, path)


SCORES = {
    **{name: {"score": 1.5, "signature": "x"} for name in ("bleu", "bleu_none", "chrf")},
    "test_set": "a,b",
    "sentences": 3,
    "seconds": 1.0,
}


@examples(60)
@given(content=changed_json(SCORES).map(lambda scores: json.dumps(scores).encode()) | contents)
def test_any_file_of_scores(folder, content):
    path = folder / "scores.json"
    path.write_bytes(content)
    found = refused_or_read(read_scores, path)
    assert found is None or isinstance(found, dict)


@pytest.fixture(scope="module", params=["wordpiece", "sentencepiece", "bert"])
def saved_tokenizers(request, tmp_path_factory):
    """The files of saved tokenizers by their names, a folder to write them to, and their reader."""
    folder = tmp_path_factory.mktemp("tokenizers")
    if request.param == "sentencepiece":
        side = SentencePieceTokenizer.train(LINES, vocab_size=300)
    else:
        side = WordPieceTokenizer.train(LINES, vocab_size=60)
    Tokenizers(side, side).save(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    read = Tokenizers.load
    if request.param == "bert":
        files = {"shared.vocab.txt": files["shared.vocab.txt"]}

        def read(folder):
            return tutorial_tokenizers(*[folder / "shared.vocab.txt"] * 2)

    return files, folder, read


def check_tokenizers(found):
    if found is not None:
        ids = found.source.tokenize(["sol mar", ""])
        assert np.all((ids.flat_values >= 0) & (ids.flat_values < found.source.vocab_size))
        assert len(found.target.detokenize(ids, "human").numpy()) == 2


@examples(50)
@given(data=st.data())
def test_any_damage_to_tokenizers(saved_tokenizers, data):
    files, folder, read = saved_tokenizers
    name = data.draw(st.sampled_from(sorted(files)))
    content = files[name]
    if name.endswith(".json") and data.draw(st.booleans()):
        content = json.dumps(data.draw(changed_json(json.loads(content)))).encode()
    else:
        content = data.draw(damaged(content) | st.just(b""))
    for other, intact in files.items():
        (folder / other).write_bytes(intact)
    (folder / name).write_bytes(content)
    check_tokenizers(result_or_error(read, folder))


VECTORS = "3 4\nsol 1 2 3 4\nmar 0.5 1 1 1\nlua 1 1 -1 1e-3\n"
BINARY = b"2 4\nsol " + np.arange(4, dtype="<f4").tobytes() + b"\nmar " + b"\0" * 16 + b"\n"


@examples(100)
@given(
    content=st.one_of(
        damaged(VECTORS.encode()),
        damaged(BINARY),
        damaged(gzip.compress(VECTORS.encode())),
        contents,
        st.sampled_from(
            [
                b"999999999999 4\nsol 1 2 3 4\n",
                b"1 999999999999\nsol 1 2 3 4\n",
                b"0 0\n",
                b"1 0\nsol\n",
                b"1 1\nsol nan\n",
                b"sol 1 2\nmar 1\n",
                b"sol inf\n",
            ]
        ),
    ),
    limit=st.none() | st.integers(-1, 3),
)
def test_any_file_of_word_vectors(folder, content, limit):
    pytest.importorskip("gensim")
    path = folder / "vectors.vec"
    path.write_bytes(content)
    found = result_or_error(read_word_vectors, path, limit=limit)
    if found is None:
        return
    rows = result_or_error(word_vector_rows, tokenizer_of_words(), found)
    assert rows is None or rows.matrix.shape[1] == found.vector_size


def tokenizer_of_words():
    if "words" not in _MADE:
        _MADE["words"] = WordPieceTokenizer.train(LINES, vocab_size=60)
    return _MADE["words"]


_MADE = {}


@examples(30)
@given(content=st.binary(max_size=200), damage=st.booleans(), data=st.data())
def test_any_database_of_the_bible(folder, content, damage, data):
    path = folder / "bible.db"
    if damage:
        path.unlink(missing_ok=True)
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE bibles (a TEXT)")
        content = data.draw(damaged(path.read_bytes()))
    path.write_bytes(content)
    assert result_or_error(bible.read_bible, path) is None


@examples(30)
@given(data=st.data())
def test_any_archive_of_talks(folder, data):
    path = folder / "archive" / "qi18naacl-dataset.tar.gz"
    path.parent.mkdir(exist_ok=True)
    if "archive" not in _MADE:
        with zipfile.ZipFile(folder / "a.zip", "w") as archive:
            archive.writestr("x", "y")
        _MADE["archive"] = gzip.compress(b"\0" * 10240), (folder / "a.zip").read_bytes()
    path.write_bytes(data.draw(damaged(_MADE["archive"][0]) | st.just(_MADE["archive"][1])))
    found = result_or_error(
        load_corpus, "ted_hrlr_translate/pt_to_en", data_dir=path, download=False
    )
    assert found is None
