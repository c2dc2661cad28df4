"""What the documents say, taken apart: blocks of code, commands, options, names of files.

A comment right before a block, which readers do not see, says how it is tested:

    <!-- run: slow; needs: runs/sample million_lines.txt -->

``run`` is ``slow`` for what takes longer than the default tests; ``server`` for a command
that goes on until it is stopped; ``container``, ``gpu`` or ``cluster`` for what takes a machine
that tests do not have, which is checked and not run. ``needs`` names what the block finds in its
folder, and ``service``, a server to talk to.
"""

import ast
import configparser
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        ROOT / "CHANGELOG.md",
        *ROOT.glob("docs/*.md"),
        ROOT / "saved_models/README.md",
        ROOT / "benchmarks/README.md",
    )
)
LABELS = {"run", "needs"}
RUNS = {"", "slow", "server", "container", "gpu", "cluster"}
ELSEWHERE = {"container", "gpu", "cluster"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a document.

    Attributes:
        document: path of the document in the repository.
        line: number of the first line of its text.
        section: the heading above it.
        language: what stands behind the fence.
        run, needs: see above.
        text: without indentation.
    """

    document: str
    line: int
    section: str
    language: str
    run: str
    needs: tuple[str, ...]
    text: str

    def __str__(self):
        return f"{self.document}:{self.line}"


def read(document) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks_of(document) -> list[Block]:
    """The fenced blocks of a document, in order.

    Raises:
        ValueError: for a label that means nothing.
    """
    blocks, section, label, begun = [], "", {}, None
    for number, line in enumerate(read(document).splitlines(), start=1):
        fence = re.match(r"( *)```(\w*)$", line)
        if begun is not None:
            indent, first, language, lines = begun
            if fence:
                text = "\n".join(part[indent:] for part in lines) + "\n"
                needs = tuple(label.get("needs", "").split())
                run = label.get("run", "")
                blocks.append(Block(document, first, section, language, run, needs, text))
                label, begun = {}, None
            else:
                lines.append(line)
        elif fence:
            begun = len(fence[1]), number + 1, fence[2], []
        elif line.strip().startswith("<!--"):
            label = _label(line, f"{document}:{number}")
        elif line.strip():
            label = {}
            section = line.lstrip("# ") if line.startswith("#") else section
    return blocks


def _label(line, place) -> dict[str, str]:
    content = line.strip().removeprefix("<!--").removesuffix("-->")
    label = {
        key.strip(): value.strip()
        for key, _, value in (part.partition(":") for part in content.split(";"))
    }
    if not label.keys() <= LABELS or label.get("run", "") not in RUNS:
        raise ValueError(f"{place}: a label has {LABELS}, and run one of {RUNS}; got {label}.")
    return label


def all_blocks(*languages) -> list[Block]:
    return [
        block
        for document in DOCUMENTS
        for block in blocks_of(document)
        if block.language in languages
    ]


def prose_of(document) -> str:
    """A document without its blocks."""
    return re.sub(r"(?ms)^ *```.*?^ *```$", "", read(document))


def inline_code(document) -> list[str]:
    """What stands between single back-ticks, each on one line."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose_of(document))]


def commands_of(text) -> list[list[str]]:
    """The commands of a shell script, without assignments before them and without comments."""
    text = re.sub(r"(?m)(^|\s)#.*$", "", text.replace("\\\n", " "))
    words = shlex.shlex(text, posix=True, punctuation_chars=";|&\n")
    words.whitespace, words.whitespace_split = " \t\r", True
    commands = [[]]
    for word in words:
        if set(word) <= set(";|&\n"):
            commands.append([])
        elif commands[-1] or not re.match(r"[A-Z_]+=", word):
            commands[-1].append(word)
    return [command for command in commands if command]


def assignments_of(text) -> list[tuple[str, str]]:
    """The variables that stand before the commands of a shell script."""
    words = shlex.split(text.replace("\\\n", " "))
    return [tuple(word.split("=", 1)) for word in words if re.match(r"[A-Z_]+=", word)]


def options_of_script(path) -> set[str]:
    """The options that a script, or one that it imports, gives to argparse, by their source."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    calls = (node for node in nodes if isinstance(node, ast.Call))
    found = {"-h", "--help"} | {
        argument.value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
        for argument in call.args
        if isinstance(argument, ast.Constant) and argument.value.startswith("-")
    }
    names = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    beside = [path.with_name(f"{name}.py") for name in names]
    return found.union(*(options_of_script(other) for other in beside if other.exists()))


def flags(words) -> list[str]:
    """The options among words, without the values that stand behind an equals sign."""
    return [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]


def extras() -> set[str]:
    """The extras that the package can be installed with."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    return set(settings["options.extras_require"])
