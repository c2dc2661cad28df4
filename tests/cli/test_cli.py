"""The command line as a user meets it: results, exit codes, one line for each mistake."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from keras_transformer.cli.command import main
from keras_transformer.config import preset_of_run
from keras_transformer.exporting.format import read_about
from keras_transformer.exporting.saved_model import _ServingModule
from keras_transformer.translating.documents.markup import translate_markup
from keras_transformer.translating.translator import Translator

SMALL = """
model: {num_layers: 1, d_model: 16, num_heads: 2, dff: 32}
tokenizer: {vocab_size: 200}
training: {batch_tokens: 512, warmup_steps: 10, bleu_sentences: 0}
decoding: {max_length: 12}
"""


@pytest.fixture
def run(tiny_run, monkeypatch):
    """Runs a command in this process; the tiny run is loaded, and compiled, already."""
    load = Translator.load

    def load_once(path, **options):
        return tiny_run.translator if path == tiny_run.folder else load(path, **options)

    monkeypatch.setattr(Translator, "load", load_once)
    return lambda *arguments, **options: CliRunner().invoke(
        main, [str(argument) for argument in arguments], **options
    )


@pytest.fixture(scope="module")
def pair_files(tiny_corpus, tmp_path_factory):
    """``SRC,TGT`` of the forty test pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    pairs = list(tiny_corpus.test.as_numpy_iterator())
    for side, name in enumerate(("test.pt", "test.en")):
        (folder / name).write_bytes(b"".join(pair[side] + b"\n" for pair in pairs))
    return f"{folder / 'test.pt'},{folder / 'test.en'}"


def test_a_run_is_resumed_and_never_overwritten(run, unwatched, pair_files, tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)

    def train(*more):
        return run(
            *("train", "--dataset", f"pairs:{pair_files}", "--validation-pairs", pair_files),
            *("--output", tmp_path / "run", "--config", tmp_path / "small.yaml", *more),
        )

    def steps():
        return json.loads((tmp_path / "run" / "metrics.json").read_text())["steps"]

    assert train("--max-steps", 2, "--resume").exit_code == 0  # nothing there: it begins
    assert steps() == 2
    again = train("--max-steps", 2)
    assert again.exit_code == 1
    assert "--resume" in again.stderr
    other = train("--max-steps", 4, "--resume", "--seed", 9)
    assert other.exit_code == 1
    assert "training.seed = 1, not 9" in other.stderr
    assert train("--max-steps", 4, "--resume").exit_code == 0
    assert steps() == 4


def test_several_hosts_need_to_know_each_other(run, pair_files, tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    result = run(
        *("train", "--dataset", f"pairs:{pair_files}", "--output", tmp_path / "run"),
        *("--strategy", "multiworker"),
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: TF_CONFIG: ")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def command(tmp_path):
    """Runs a command in a process of its own, in a folder of its own."""
    # Commands run in this process have set it, and then it counts as the user's wish.
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}

    def command(*arguments, text=None):
        return subprocess.run(
            [sys.executable, "-m", "keras_transformer", *map(str, arguments)],
            input=text,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        )

    return command


LINES = "o gato dorme .\n\na menina lê .\n"


@pytest.fixture
def translated(command, pair_files, tmp_path):
    """What a process writes that translates with the run ``runs/a``, which another one trained."""
    (tmp_path / "small.yaml").write_text(SMALL)
    trained = command(
        *("train", "--dataset", f"pairs:{pair_files}", "--validation-pairs", pair_files),
        *("--output", "runs/a", "--config", "small.yaml", "--max-steps", 12, "--threads", 2),
    )
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout == ""
    assert "40 train pairs" in trained.stderr
    assert "0000 00" not in trained.stderr, "TensorFlow's start-up notes are kept away"
    translated = command("translate", "--model", "runs/a", text=LINES)
    assert translated.returncode == 0, translated.stderr
    assert translated.stderr == ""
    return translated.stdout


def test_a_process_translates_with_what_another_has_trained(translated):
    assert translated.count("\n") == 3
    assert translated.split("\n")[1] == ""


@pytest.mark.slow
def test_from_training_to_an_exported_model(command, translated, pair_files, tmp_path):
    """Train, translate, evaluate, export, translate again: each in a process of its own."""
    scores = ("--json", "scores.json")
    evaluated = command("evaluate", "--model", "runs/a", "--pairs", pair_files, *scores)
    assert evaluated.returncode == 0, evaluated.stderr

    exported = command(
        *("export", "--model", "runs/a", "--output", "saved_models/a"),
        *("--no-xla", "--scores", "scores.json"),
    )
    assert exported.stdout == "saved_models/a/1\n", exported.stderr
    card = (tmp_path / "saved_models" / "a" / "1" / "README.md").read_text()
    assert f"{pair_files}, 40 sentences | BLEU |" in card
    again = command("translate", "--model", "saved_models/a", text=LINES)
    assert again.stdout == translated, again.stderr
    both = ("--model", "runs/a", "--compare", "saved_models/a")
    compared = command("evaluate", *both, "--pairs", pair_files, "--html", "page.html")
    assert "40 sentences; the translations of 0 differ." in compared.stdout, compared.stderr
    assert "saved_models/a" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_translate_takes_texts_and_bytes(run, tiny_run):
    texts = run("translate", "--model", tiny_run.folder, "o gato dorme .", "a menina lê .")
    lines = run(
        *("translate", "--model", tiny_run.folder),
        input="o gato dorme .\r\na menina lê .".encode(),
    )
    assert texts.exit_code == 0
    assert texts.stdout == lines.stdout
    odd = run("translate", "--model", tiny_run.folder, input=b"\xff\xfe o gato\n\n")
    assert odd.stdout.count("\n") == 2


def test_translate_json_is_one_object_a_line(run, tiny_run):
    answer = run("translate", "--model", tiny_run.folder, "--json", "a menina lê .", "o gato .")
    objects = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [set(each) for each in objects] == [{"text", "score", "normalized_score"}] * 2
    assert objects[0]["score"] < objects[0]["normalized_score"] < 0


def test_translate_says_which_words_belong_together(run, tiny_run):
    texts = ["a menina lê .", "o gato ."]
    command = ["translate", "--model", tiny_run.folder, "--alignments"]
    expected = tiny_run.translator.translate(texts, alignment=True)
    links = [" ".join(f"{i}-{j}" for i, j, _ in each.alignment) for each in expected]
    lines = run(*command, *texts).stdout.splitlines()
    assert lines == [f"{e.text} ||| {row}" for e, row in zip(expected, links, strict=True)]
    lines = run(*command, "--n-best", "1", *texts).stdout.splitlines()
    assert [line.split(" ||| ")[-1] for line in lines] == links
    objects = [json.loads(line) for line in run(*command, "--json", *texts).stdout.splitlines()]
    for answer, each in zip(objects, expected, strict=True):
        assert [tuple(link[:2]) for link in answer["alignment"]] == [
            link[:2] for link in each.alignment
        ]


def test_translate_keeps_the_tags_of_lines(run, tiny_run):
    lines = ["o <b>gato</b> dorme .<br/>", "", "a &lt;menina <i>l\u00ea</i>"]
    expected = translate_markup(tiny_run.translator, lines)
    command = ["translate", "--model", tiny_run.folder, "--markup"]
    assert run(*command, *lines).stdout.splitlines() == expected
    assert run(*command, input="\n".join(lines).encode()).stdout.splitlines() == expected
    assert expected[0].count("<b>") == expected[0].count("</b>") == 1
    for option in (["--json"], ["--n-best", "2"], ["--alignments"]):
        answer = run(*command, *option, "a")
        assert f"{option[0]} says nothing with --markup" in answer.stderr
    answer = run(*command, "--document", "a.html")
    assert "--markup says nothing with --document" in answer.stderr


def test_train_refuses_alignments_of_other_pairs(run, tmp_path):
    path = tmp_path / "links"
    path.write_text("0-0\n")
    where = ["--dataset", "sample", "--output", tmp_path / "run"]
    answer = run("train", *where, "--alignments", path, "--max-steps", "1")
    assert answer.exit_code == 1
    assert "has the alignments of 1 pairs, and the corpus has" in answer.stderr


def test_translate_takes_the_options_of_a_search(run, tiny_run):
    texts = ["a menina lê .", "o gato ."]
    beam = ["--beam-size", "3", "--length-penalty", "0", "--min-length", "2"]
    command = ["translate", "--model", tiny_run.folder, *beam, "--n-best", "2"]
    expected = tiny_run.translator.translate(
        texts, beam_size=3, n_best=2, length_penalty=0.0, min_length=2
    )
    lines = run(*command, *texts).stdout.splitlines()
    assert [line.split(" ||| ")[:2] for line in lines] == [
        [str(number), other.text]
        for number, best in enumerate(expected)
        for other in best.alternatives
    ]
    objects = [json.loads(line) for line in run(*command, "--json", *texts).stdout.splitlines()]
    for answer, best in zip(objects, expected, strict=True):
        assert [other["text"] for other in answer["alternatives"]] == [
            other.text for other in best.alternatives
        ]
        assert answer["text"] == best.text


@pytest.mark.slow
def test_samples_follow_from_the_seed(run, tiny_run):
    command = ["translate", "--model", tiny_run.folder, "--sampling", "--temperature", "2"]
    texts = ["a menina lê .", "o gato dorme ."]
    first, again, other = (run(*command, "--seed", seed, *texts).stdout for seed in (1, 1, 2))
    assert first == again != other


def test_evaluate_prints_and_writes_scores(run, tiny_run, pair_files, tmp_path):
    file = tmp_path / "scores.json"
    answer = run("evaluate", "--model", tiny_run.folder, "--pairs", pair_files, "--json", file)
    assert answer.exit_code == 0, answer.stderr
    scores = json.loads(file.read_text())
    assert set(scores) == {"test_set", "bleu", "bleu_none", "chrf", "sentences", "seconds"}
    assert scores["sentences"] == 40
    assert f"{scores['bleu']['score']:.2f}" in answer.stdout
    assert "tok:13a" in answer.stdout


def test_evaluate_takes_the_options_of_a_search(run, tiny_run, pair_files):
    command = ("evaluate", "--model", tiny_run.folder, "--pairs", pair_files)
    assert run(*command, "--max-length", "2").stdout != run(*command).stdout
    wrong = run(*command, "--top-k", "5")
    assert wrong.exit_code == 1
    assert "set decoding.sampling" in wrong.stderr


def test_evaluate_names_a_tokenizer_that_is_missing(run, tiny_run, pair_files, monkeypatch):
    def fail(name):
        raise RuntimeError("not installed")

    monkeypatch.setattr("sacrebleu.metrics.bleu._get_tokenizer", fail)
    monkeypatch.setattr(type(tiny_run.translator), "translate", fail)  # it is not reached
    command = ("evaluate", "--model", tiny_run.folder, "--pairs", pair_files)
    answer = run(*command, "--tokenize", "ko-mecab")
    assert answer.exit_code == 1
    assert 'pip install "keras_transformer[korean]"' in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_plot_draws_a_picture(run, tiny_run, tmp_path):
    answer = run(
        "plot", "--model", tiny_run.folder, "--output", tmp_path / "a.png", "a menina lê o livro ."
    )
    assert answer.exit_code == 0, answer.stderr
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_info_describes_a_run(run, tiny_run):
    answer = run("info", "--model", tiny_run.folder)
    assert f"{tiny_run.metrics['parameters']:,}" in answer.stdout
    assert "num_layers=2" in answer.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["translate"],
        ["train", "--dataset", "sample"],
        ["train", "--dataset", "sample", "--output", "x", "--epochs", "many"],
        ["evaluate", "--model", "x"],
        ["evaluate", "--model", "x", "--pairs", "a,b", "--dataset", "sample"],
        ["evaluate", "--model", "x", "--pairs", "a,b", "--split", "train"],
        ["evaluate", "--model", "x", "--pairs", "a,b", "--data-dir", "data"],
        ["export", "--model", "x", "--output", "y", "--version", "0"],
        ["export", "--model", "x", "--output", "y", "--version", str(2**63)],
        ["export", "--model", "x", "--output", "y", "--batch-size", "1"],
        ["export", "--model", "x", "--output", "y", "--format", "stablehlo", "--scores", "z"],
        ["export", "--model", "x", "--output", "y", "--format", "stablehlo", "--no-examples"],
        ["export", "--model", "x", "--output", "y", "--format", "ctranslate2", "--example", "z"],
        ["export", "--model", "x", "--output", "y", "--example", "z", "--no-examples"],
        ["serve"],
        ["serve", "--saved-model", "x", "--label", "stable"],
        ["serve", "--saved-model", "x", "--label", "a=1", "--label", "a=2"],
        ["fly"],
    ],
)
def test_wrong_usage_exits_with_2(run, arguments):
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["translate", "--model", "/nowhere", "a"], "/nowhere"),
        (["train", "--dataset", "nonsense", "--output", "x"], "nonsense"),
        (["train", "--dataset", "pairs:/no.pt,/no.en", "--output", "x"], "/no.pt"),
        (["train", "--dataset", "sample", "--output", "x", "--preset", "huge"], "huge"),
        (["train", "--dataset", "sample", "--output", "x", "--config", "/no.yaml"], "/no.yaml"),
        (["train", "--dataset", "sample", "--output", "x", "--epochs", "0"], "epochs"),
        (["evaluate", "--model", "/nowhere", "--pairs", "/no.tsv"], "/no.tsv"),
        (["export", "--model", "/nowhere", "--output", "x", "--scores", "/no.json"], "/no.json"),
        (["train", "--dataset", "sample", "--output", "x", "--max-minutes", "nan"], "max_minutes"),
        (["train", "--dataset", "sample", "--output", "x", "--seed", "-1"], "seed"),
        (["train", "--dataset", "sample", "--output", "x", "--init-from", "/nowhere"], "/nowhere"),
        (["serve", "--saved-model", "/nowhere"], "/nowhere"),
        (["serve", "--saved-model", "/nowhere", "--max-queue", "0"], "--max-queue"),
    ],
)
def test_a_wrong_input_exits_with_1_and_one_line(run, arguments, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = run(*arguments)
    assert answer.exit_code == 1
    assert named in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert answer.stdout == ""


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "option", ["--length-penalty", "--temperature", "--top-p", "--seed", "--min-length"]
)
def test_a_number_that_is_none_is_refused(run, tiny_run, option, value):
    sampling = ["--sampling"] if option in ("--temperature", "--top-p") else []
    answer = run("translate", "--model", tiny_run.folder, *sampling, option, value, "o gato .")
    assert answer.exit_code in (1, 2)
    assert answer.stdout == ""
    assert option.strip("-").replace("-", "_") in answer.stderr.replace("-", "_")


def test_a_seed_beyond_what_there_is_is_refused(run, tiny_run):
    options = ["--sampling", "--seed", 2**31]
    answer = run("translate", "--model", tiny_run.folder, *options, "o gato .")
    assert answer.exit_code == 1
    assert "decoding.seed" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_translation_as_short_and_as_long_as_asked_for_exists(run, tiny_run):
    options = ["--min-length", 5, "--max-length", 5]
    answer = run("translate", "--model", tiny_run.folder, *options, "o gato .")
    assert answer.exit_code == 1
    assert "decoding.min_length" in answer.stderr


@pytest.mark.parametrize("text", ["-5 graus", "- olá", "--olá mundo"])
@pytest.mark.parametrize("verb", ["translate", "generate"])
def test_a_text_that_begins_with_a_dash_comes_after_two(run, tiny_run, verb, text):
    answer = run(verb, "--model", tiny_run.folder, text)
    assert answer.exit_code == 2
    assert "come after a --" in answer.stderr
    assert "come after a --" not in run("info", "--modell", "x").stderr
    if verb == "translate":
        answer = run(verb, "--model", tiny_run.folder, "--", text)
        assert answer.exit_code == 0
        assert len(answer.stdout.splitlines()) == 1


def test_a_run_that_starts_from_another_has_its_tokenizers(
    run, unwatched, tiny_run, tiny_config, pair_files, tmp_path
):
    begun = ["train", "--dataset", f"pairs:{pair_files}", "--max-steps", 1]
    begun += ["--init-from", tiny_run.folder]
    changes = tmp_path / "changes.yaml"
    model = dataclasses.asdict(tiny_config.model)
    changes.write_text(json.dumps({"model": model, "tokenizer": {"vocab_size": 77}}))
    answer = run(*begun, "--output", tmp_path / "other", "--config", changes)
    assert answer.exit_code == 1
    assert "tokenizer.vocab_size = 77" in answer.stderr
    assert not (tmp_path / "other" / "config.json").exists()

    changes.write_text(json.dumps({"model": model, "training": {"bleu_sentences": 0}}))
    german = ["--config", changes, "--target-language", "de"]
    answer = run(*begun, "--output", tmp_path / "other", *german)
    assert answer.exit_code == 1
    assert "--target-language de" in answer.stderr
    answer = run(*begun, "--output", tmp_path / "run", "--config", changes)
    assert answer.exit_code == 0, answer.stderr
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert written["config"]["tokenizer"] == dataclasses.asdict(tiny_config.tokenizer)
    assert written["init_from"] == str(tiny_run.folder.absolute())

    resumed = [*begun, "--output", tmp_path / "run", "--resume"]
    answer = run(*resumed, "--source-language", "gl")
    assert answer.exit_code == 1
    assert "--source-language gl" in answer.stderr
    again = [*begun[:-1], tmp_path / "other", "--output", tmp_path / "run", "--resume"]
    answer = run(*again, "--config", changes)
    assert answer.exit_code == 1
    assert "began from" in answer.stderr


@pytest.mark.parametrize("option", [["--compile"], ["--no-compile"], ["--beam-size", 2]])
def test_a_language_model_is_scored_without_a_search(run, tmp_path, option):
    config = preset_of_run("sample", {"model": {"family": "gpt"}}, None)
    (tmp_path / "config.json").write_text(json.dumps({"config": dataclasses.asdict(config)}))
    answer = run("evaluate", "--model", tmp_path, "--dataset", "sample", *option)
    assert answer.exit_code == 2
    assert "without a search" in answer.stderr


def test_ctranslate2_has_nothing_to_compile(run, tmp_path):
    (tmp_path / "model.bin").touch()
    answer = run("translate", "--model", tmp_path, "--compile", "o gato .")
    assert answer.exit_code == 1
    assert "leave out --compile" in answer.stderr


def test_patterns_of_a_file_are_kept(run, tiny_run, tmp_path, monkeypatch):
    patterns = tmp_path / "keep.txt"
    patterns.write_text("# names\n\ngato preto\nmenin[ao]\n", encoding="utf-8")
    command = ["translate", "--model", tiny_run.folder, "--keep", patterns]
    answer = run(*command, "O gato preto dorme .", "a menina lê .")
    assert answer.exit_code == 0
    first, second = answer.stdout.splitlines()
    assert first.lower().count("gato preto") == second.lower().count("menina") == 1
    document = tmp_path / "a.txt"
    document.write_text("O gato preto dorme .\n")
    assert "gato preto" in run(*command, "--document", document).stdout.lower()
    monkeypatch.setattr(tiny_run.translator, "decoding", tiny_run.translator.decoding)
    export = ["export", "--model", tiny_run.folder, "--output", tmp_path / "m", "--keep", patterns]
    written = run(*export, "--format", "ctranslate2").stdout.strip()
    limits = json.loads((Path(written) / "limits.json").read_text())
    assert limits["keep"] == ["gato preto", "menin[ao]"]
    assert run(*export, "--format", "stablehlo").exit_code == 2
    patterns.write_text("ok\n(\n")
    wrong = run(*command, "a")
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith(f"Error: {patterns}: line 2: the pattern '(' is no regular")
    assert run(*command[:-1], tmp_path / "none", "a").exit_code == 1


def test_an_export_has_the_examples_that_are_given(run, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(_ServingModule, "signatures", lambda self, compiled: {})

    def export(*options):
        return run("export", "--model", tiny_run.folder, "--output", tmp_path / "m", *options)

    for options, expected in (
        ([], tiny_run.translator.examples),
        (["--example", "o gato .", "--example", "<hr>"], ["o gato .", "<hr>"]),
        (["--no-examples"], []),
    ):
        assert read_about(Path(export(*options).stdout.strip()))["examples"] == expected
    wrong = export("--example", " ")
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith("Error: example 1 is not a text of 1 to 500 characters")


def test_wrong_pictures_and_targets_are_named(run, tiny_run, tmp_path):
    model = ["--model", tiny_run.folder]
    assert "nowhere" in run("plot", *model, "--output", "/nowhere/a.png", "o gato .").stderr
    assert "no attention" in run("plot", *model, "--output", tmp_path / "a.png", " ").stderr
    assert "exists already" in _export_twice(run, model, tmp_path).stderr


def _export_twice(run, model, folder):
    (folder / "m" / "1").mkdir(parents=True)
    return run("export", *model, "--output", folder / "m", "--version", 1)


@pytest.mark.parametrize("verb", main.commands)
def test_help_and_wrong_options_start_no_tensorflow(verb):
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from keras_transformer.cli import main\n"
        "helped = CliRunner().invoke(main, [sys.argv[1], '--help'])\n"
        "refused = CliRunner().invoke(main, [sys.argv[1], '--nonsense'])\n"
        "assert (helped.exit_code, refused.exit_code) == (0, 2), (helped, refused)\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, verb], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words", [["train", "--", "a\r\nb"], ["odd\nverb"], ["--odd\n"], ["info", "--model\nx"]]
)
def test_an_error_that_quotes_words_is_one_line(words):
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("Error: ")
