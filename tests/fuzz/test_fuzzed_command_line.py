"""Commands: whatever arguments and standard input they get, they answer or say one line."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from strategies import error_of, examples, known_lines, known_texts, texts

from keras_transformer.cli.command import main
from keras_transformer.translating.generator import Generator
from keras_transformer.translating.translator import Translator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*translated in pieces"),
]

# What the system itself cannot hand to a program is no argument.
arguments = (texts | st.sampled_from(["1", "0", "-1", "nan", "inf", "1e999", "9" * 40])).map(
    lambda text: text.replace("\0", "").encode("utf-8", "replace").decode()
)
SEARCH = [
    *("--beam-size", "--length-penalty", "--length-penalty-kind", "--max-length", "--min-length"),
    *("--no-repeat-ngram", "--temperature", "--top-k", "--top-p", "--seed", "--n-best"),
]
FLAGS = ["--forbid-unknown", "--sampling", "--json", "--no-compile", "-h", "--odd", "--"]
numbers = st.integers(-2, 8).map(str) | st.floats(-2, 8).map(str) | arguments


def options(names, values=numbers):
    """Options with their values, flags, and what is neither."""
    pair = st.tuples(st.sampled_from(names), values)
    flag = st.tuples(st.sampled_from(FLAGS))
    return st.lists(pair | flag, max_size=3).map(
        lambda parts: [word for part in parts for word in part]
    )


@pytest.fixture(scope="module", autouse=True)
def _loaded_once(folders):
    """Models are loaded once: their programs are traced once, too."""
    with pytest.MonkeyPatch.context() as patch:
        for kind, folder in ((Translator, folders.run), (Generator, folders.gpt)):
            patch.setattr(kind, "load", _keeping(kind.load, folder))
        yield


def _keeping(load, kept):
    model = load(kept, jit_compile=False)

    def load_or_take(path, *, jit_compile=None):
        return model if str(path) == str(kept) else load(path, jit_compile=jit_compile)

    return load_or_take


def run(*words, standard_input=None):
    """What a command prints, or ``None`` where it fails with one line."""
    result = CliRunner().invoke(main, [str(word) for word in words], input=standard_input)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    if result.exit_code == 0:
        return result.stdout
    assert result.exit_code in (1, 2), result.output
    *usage, last = result.stderr.splitlines()
    assert last.startswith("Error: "), result.stderr
    error_of(last)
    assert result.exit_code == 2 or not usage, result.stderr
    return None


@examples(40)
@given(words=st.lists(arguments, min_size=1, max_size=4))
def test_any_words(words):
    run(*words)


@examples(30)
@given(chosen=options(SEARCH), lines=st.lists(arguments, min_size=1, max_size=3))
def test_any_search_of_translate(folders, chosen, lines):
    answer = run("translate", "--model", folders.run, *chosen, *lines)
    if answer is not None and not {"-h", "--", "--n-best"} & {*chosen, *lines}:
        assert answer.count("\n") == len(lines)


@examples(20)
@given(lines=st.lists(st.binary(max_size=20) | known_texts.map(str.encode), max_size=4))
def test_any_lines_of_standard_input(folders, translator, lines):
    given = b"\n".join(lines)
    answer = run("translate", "--model", folders.run, standard_input=given)
    assert answer.count("\n") == given.count(b"\n") + (not given.endswith(b"\n") and given != b"")
    rows = [row.rstrip(b"\r") for row in given.removesuffix(b"\n").split(b"\n")]
    expected = [found.text for found in translator.translate(rows if given else [])]
    assert answer.splitlines() == expected


@examples(20)
@given(
    chosen=options([*SEARCH, "--max-new-tokens"]), lines=st.lists(arguments, min_size=1, max_size=2)
)
def test_any_search_of_generate(folders, chosen, lines):
    run("generate", "--model", folders.gpt, "--max-new-tokens", 3, *chosen, *lines)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Names of corpora and paths, good and bad ones."""
    folder = tmp_path_factory.mktemp("corpora")
    (folder / "a.txt").write_text("\n".join(known_lines(10)))
    (folder / "bad.tsv").write_bytes(b"\xff\n")
    (folder / "empty.json").write_text("")
    (folder / "config.yaml").write_text("model: 3\n")
    return folder


@examples(25)
@given(data=st.data())
def test_any_evaluation(folders, corpora, data):
    names = [f"{corpora}/a.txt,{corpora}/a.txt", f"{corpora}/bad.tsv", "text:x", "sample", "a,b"]
    chosen = data.draw(
        options(
            [
                *("--pairs", "--dataset", "--split", "--tokenize", "--beam-size", "--data-dir"),
                *("--compare", "--training-text", "--examples"),
            ],
            st.sampled_from([*names, "test", "train", "char", "none", "2", f"{corpora}/a.txt"])
            | arguments,
        )
    )
    words = ["--model", folders.run, *chosen]
    if "sample" in chosen:  # too long for a test
        words += ["--split", "odd"]
    run("evaluate", *words)


@examples(20)
@given(data=st.data())
def test_any_paths(folders, corpora, data):
    paths = st.sampled_from(
        [corpora, corpora / "a.txt", corpora / "empty.json", corpora / "none", "", "/dev/null"]
    )
    verb = data.draw(st.sampled_from(["info", "plot", "translate", "generate", "export", "serve"]))
    path = data.draw(paths | arguments)
    output = data.draw(paths)
    words = {
        "info": ["--model", path],
        "plot": ["--model", path, "--output", corpora / "x.png", "sol"],
        "translate": ["--model", path, "sol"],
        "generate": ["--model", path, "sol"],
        "export": ["--model", path, "--output", output, "--scores", corpora / "empty.json"],
        "serve": ["--saved-model", path, "--port", "0", "--no-grpc"],
    }[verb]
    assert run(verb, *words) is None


@examples(8)
@given(text=arguments, ending=st.sampled_from([".png", ".odd", "", ".svg", "/x.png"]))
def test_any_text_is_drawn_or_refused(folders, corpora, text, ending):
    output = corpora / f"picture{ending}"
    answer = run("plot", "--model", folders.run, "--output", output, "--", text)
    # Without an ending it is a .png.
    assert answer is None or output.is_file() or output.with_suffix(".png").is_file()


TRAINING = [
    *("--preset", "--model", "--attention", "--epochs", "--max-steps", "--max-minutes", "--seed"),
    *("--config", "--validation-pairs", "--source-vectors", "--freeze-vectors", "--init-from"),
    *("--source-language", "--target-language", "--data-dir", "--threads", "--strategy"),
]


@examples(40)
@given(data=st.data())
def test_no_wrong_training_begins(corpora, data):
    values = st.sampled_from(
        [str(corpora / "config.yaml"), str(corpora / "none"), "gpt", "gru", "luong", "quick", "0"]
    )
    chosen = data.draw(options(TRAINING, values | numbers))
    dataset = data.draw(
        st.sampled_from([f"pairs:{corpora}/bad.tsv", "text:", "pairs:,", f"text:{corpora}"])
    )
    output = corpora / "run"
    answer = run("train", "--dataset", dataset, "--output", output, *chosen)
    assert answer is None or "-h" in chosen
    assert not (output / "config.json").exists()


def command(*words, standard_input=b""):
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    return subprocess.run(
        [sys.executable, "-m", "keras_transformer", *words],
        input=standard_input,
        capture_output=True,
        env=environment,
        timeout=120,
        check=False,
    )


def test_bytes_in_bytes_out(folders, translator):
    lines = [b"sol mar", b"\xff\xfe", b"", b"\0", b"lua rio\r", b"\xed\xa0\xbd", b"gato"]
    done = command("translate", "--model", folders.run, standard_input=b"\n".join(lines))
    assert done.returncode == 0, done.stderr
    found = done.stdout.decode("utf-8").split("\n")
    rows = [line.rstrip(b"\r") for line in lines]
    assert found == [*(one.text for one in translator.translate(rows)), ""]


@pytest.mark.parametrize(
    "words",
    [
        ["translate", "--model", b"\xff", "sol"],
        ["translate", "--beam-size", "9" * 30, "--model", "RUN", "sol"],
        ["info", "--model", "/dev/null"],
        ["train", "--dataset", b"pairs:\xff,\xff", "--output", "/dev/null/x"],
    ],
)
def test_words_that_are_no_text_get_one_line(folders, words):
    words = [folders.run if word == "RUN" else word for word in words]
    done = command(*words)
    assert done.returncode in (1, 2)
    assert b"Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(b"Error: ")
