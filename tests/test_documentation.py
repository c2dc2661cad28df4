"""What the documents name is there: commands, options, values, files, names of the package.

`test_documentation_blocks` runs their blocks.
"""

import dataclasses
import json
import re
import runpy
import subprocess

import click
import documentation_blocks as documents
import pytest
import yaml
from documentation_blocks import DOCUMENTS, ROOT

import keras_transformer as kt
from keras_transformer import config as configuration
from keras_transformer.cli.command import main
from keras_transformer.cli.options import SEARCH, SERVING
from keras_transformer.data.corpora.mixture import read_mixture
from keras_transformer.training.sweep import Space

SHELL = documents.all_blocks("sh")


def option_names(verb) -> set[str]:
    """All options of a verb, ``--no-`` forms included."""
    options = [part for part in main.commands[verb].params if isinstance(part, click.Option)]
    return {name for option in options for name in (*option.opts, *option.secondary_opts)}


def choices(verb, flag) -> list[str] | None:
    """What may follow an option, where that is a choice of few."""
    if (verb, flag) == ("train", "--preset"):
        return list(configuration.PRESETS)
    [option] = [option for option in main.commands[verb].params if flag in option.opts]
    return list(option.type.choices) if isinstance(option.type, click.Choice) else None


# Blocks


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_says_what_it_is(document):
    """So that none is missed: fences name their language, and nothing is code by indentation."""
    assert not re.search(r"(?m)\n\n {4,}\w", documents.prose_of(document)), "use a fence"
    for block in documents.blocks_of(document):
        assert block.language in ("python", "sh", "yaml", "text"), block


@pytest.mark.parametrize("block", documents.all_blocks("yaml"), ids=str)
def test_a_configuration_of_the_documents_is_one(block, tmp_path):
    changes = yaml.safe_load(block.text)
    if "datasets" in changes:
        (tmp_path / "mix.yaml").write_text(block.text, encoding="utf-8")
        assert read_mixture(tmp_path / "mix.yaml")
        return
    if block.section == "Sweeps":
        assert not Space(changes, configuration.preset("quick")).is_grid
        return
    family = changes.get("model", {}).get("family", "transformer")
    configuration.preset("tutorial", family).replace(changes, str(block))


# Commands


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_a_shell_block_is_of_known_commands(block):
    done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    commands = documents.commands_of(block.text)
    assert commands
    for command in commands:
        check_command(command)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_within_the_text_have_their_options(document):
    for code in documents.inline_code(document):
        words = code.split()
        if words[0] in main.commands and documents.flags(words):
            words = ["keras-transformer", *words]
        if words[0] == "keras-transformer" and len(words) > 1:
            assert set(documents.flags(words[2:])) <= option_names(words[1]) | {"--help"}, code
        elif words[:1] == ["python"]:
            check_script(words[1:])


@pytest.mark.parametrize("document", ["README.md", "docs/gpus_and_clusters.md", "docs/design.md"])
def test_options_within_the_text_exist(document):
    known = set().union(*(option_names(verb) for verb in main.commands))
    for code in documents.inline_code(document):
        if code.startswith("--"):
            assert set(documents.flags(code.split())) <= known, code


def check_command(words):
    """Parses a command as its program would, and runs nothing."""
    program = words[0].rpartition("/")[2]
    if program == "keras-transformer":
        verb = main.commands[words[1]]
        verb.make_context(words[1], list(words[2:]))  # a UsageError for what it does not know
    elif program in ("python", "python3"):
        check_script(words[1:])
    elif program == "pip":
        check_installation(words[1:])
    elif program == "docker":
        check_container(words[1:])
    else:
        assert program in ("curl", "pytest", "ruff", "saved_model_cli", "wait"), (
            f"check {program} too"
        )


def check_script(words):
    if words[:1] == ["-m"]:
        assert words[1] in ("build", "venv")
        return
    if words[:1] == ["-c"]:
        compile(words[1], "-c", "exec")
        return
    script = re.sub(r"^(FOLDER|gpu_attention)/", "benchmarks/gpu_attention_runner/", words[0])
    known = documents.options_of_script(ROOT / script)
    if words[1:2] == ["run"]:
        known |= documents.options_of_script(ROOT / "benchmarks/gpu_attention_runner/runner.py")
    assert set(documents.flags(words[1:])) <= known, words


def check_installation(words):
    assert words[0] == "install"
    for requirement in words[1:]:
        name, _, wanted = requirement.rstrip("]").partition("[")
        if name in (".", "keras_transformer"):
            assert set(wanted.split(",")) - {""} <= documents.extras(), requirement


def check_container(words):
    """The image is of TensorFlow's version, and files in it are those of the repository."""
    [image] = [word for word in words if word.startswith("tensorflow/serving:")]
    setup = (ROOT / "setup.cfg").read_text()
    minor = re.search(r"tensorflow >=(\d+\.\d+)", setup)[1]
    assert image.removeprefix("tensorflow/serving:").startswith(minor + ".")
    folders = {
        inside: outside.replace("$PWD", str(ROOT))
        for outside, inside in re.findall(r"(\$PWD\S*):(/\w+)\b", " ".join(words))
    }
    for inside, name in re.findall(r"=(/\w+)/(\S+)", " ".join(words[words.index(image) :])):
        assert (ROOT / folders[inside] / name).is_file(), (inside, name)


@pytest.mark.parametrize("block", [block for block in SHELL if "TF_CONFIG" in block.text], ids=str)
def test_an_example_of_a_cluster_is_one(block):
    for name, value in documents.assignments_of(block.text):
        assert name == "TF_CONFIG"
        settings = json.loads(value)
        workers, task = settings["cluster"]["worker"], settings["task"]
        assert task["type"] == "worker"
        assert 0 <= task["index"] < len(workers)
        assert all(re.fullmatch(r"\w+:\d+", worker) for worker in workers)


# The synopsis


def synopsis() -> dict[str, str]:
    """What the README's synopsis says of each verb."""
    [block] = [
        block for block in documents.blocks_of("README.md") if "--dataset DATASET" in block.text
    ]
    parts = re.split(r"(?m)^keras-transformer (\w+) ", block.text)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def meant_by(word) -> set[str]:
    """The options that the README lists for a word of its synopsis."""
    [sentence] = re.findall(
        rf"\b{word}(?:, of \w+,)? is (.*?)\.\s", documents.prose_of("README.md"), re.DOTALL
    )
    return set(re.findall(r"`(--[a-z-]+)", sentence))


def test_the_synopsis_has_every_verb():
    assert synopsis().keys() == main.commands.keys()


@pytest.mark.parametrize("verb", main.commands)
def test_the_synopsis_has_every_option(verb):
    text = synopsis()[verb]
    found = set(re.findall(r"--[a-z][a-z0-9-]*", text))
    for word in ("SEARCH", "SHAPES", "RUNNER"):
        found |= meant_by(word) if re.search(rf"\b{word}\b", text) else set()
    if "[LIMITS]" in text:  # those that --help lists
        found |= {f"--{name.replace('_', '-')}" for name in SERVING}
    assert found == option_names(verb)


@pytest.mark.parametrize("verb", main.commands)
def test_the_synopsis_has_every_value_of_a_choice(verb):
    for flag, values in re.findall(r"(--[a-z-]+) (\w+(?:\|[\w.]+)+)", synopsis()[verb]):
        listed = values.split("|")
        if listed[-1] == "...":
            assert set(listed[:-1]) < set(choices(verb, flag)), flag
        else:
            assert sorted(listed) == sorted(choices(verb, flag)), flag


def test_the_words_of_the_synopsis_are_those_of_the_command_line():
    assert meant_by("SEARCH") == {f"--{name.replace('_', '-')}" for name in SEARCH}
    [kinds] = re.findall(r"--length-penalty-kind ([\w|]+)", documents.prose_of("README.md"))
    assert kinds.split("|") == choices("translate", "--length-penalty-kind")


# Names


@pytest.mark.parametrize("document", DOCUMENTS)
def test_names_of_the_package_exist(document):
    names = re.findall(r"\bkt\.(\w+)", documents.read(document))
    assert set(names) <= set(kt.__all__)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_exist(document):
    for code in documents.inline_code(document):
        if re.fullmatch(r"(?!/)[\w/]+/\w+\.(py|md|yaml|ipynb|config)", code):
            assert any(
                (ROOT / base / code).exists() for base in ("", "keras_transformer", "saved_models")
            ), code


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_within_the_repository_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#\s]+)", documents.prose_of(document)):
        if "://" not in target:
            assert ((ROOT / document).parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_extras_that_are_named_exist(document):
    named = re.findall(r"extra `\[(\w+)\]`|keras_transformer\[(\w+)\]", documents.read(document))
    assert {first or second for first, second in named} <= documents.extras()


# The page of the configuration


@pytest.fixture(scope="module")
def reference() -> dict:
    """The script that writes the page."""
    return runpy.run_path(str(ROOT / "tools/configuration_page.py"))


def test_the_page_is_what_the_code_says(reference):
    assert documents.read("docs/configuration.md") == reference["page"](), (
        "run python tools/configuration_page.py"
    )


def test_every_field_is_on_the_page(reference):
    page = reference["page"]()
    for section in dataclasses.fields(configuration.Config):
        for kind in reference["kinds_of"](section):
            table = page.partition(f"(`{kind.__name__}`)")[2].partition("\n\n|")[2]
            table = table.partition("\n\n")[0]
            rows = re.findall(r"(?m)^\| `(\w+)` \|", table)
            assert rows == [field.name for field in dataclasses.fields(kind)]


def test_every_field_has_a_meaning(reference):
    for section in dataclasses.fields(configuration.Config):
        for kind in reference["kinds_of"](section):
            fields = kind.__pydantic_fields__
            assert [name for name, field in fields.items() if not field.description] == []


def test_the_meaning_of_a_field_is_on_the_page_and_in_the_help(reference):
    field = configuration.TrainingConfig.__pydantic_fields__["max_steps"]
    row = f"| `max_steps` | whole number above 0, or null | `null` | {field.description} |"
    assert row in reference["page"]()
    [option] = [option for option in main.commands["train"].params if option.name == "max_steps"]
    assert option.help.lower() == f"{field.description}."


@pytest.mark.parametrize("kind", [configuration.ModelConfig, configuration.TrainingConfig])
def test_defaults_on_the_page_are_read_back_as_they_are(reference, kind):
    for field in kind.__pydantic_fields__.values():
        assert yaml.safe_load(reference["yaml_of"](field.default).strip("`")) == field.default


@pytest.mark.parametrize("families", [configuration.RECURRENT, configuration.LANGUAGE_MODELS])
def test_presets_that_share_a_row_are_the_same(reference, families):
    for name in configuration.PRESETS:
        assert len({str(reference["changes_of"](name, family)) for family in families}) == 1
