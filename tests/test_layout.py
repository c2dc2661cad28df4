"""The rooms of the package: imports run downwards, never round, as docs/design.md says.

Imports inside functions and for type checkers count too.
"""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import documentation_blocks as documents
import pytest

PACKAGE = documents.ROOT / "keras_transformer"
GROUND_FLOOR = "exporting.format", "exporting.functions"
"""Modules that are rooms of their own: what exporting, translating and serving share."""


def name_of(path: Path) -> str:
    """The dotted name of a module, below the package; the empty string is the package itself."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__")


MODULES = {name_of(path).rstrip("."): path for path in PACKAGE.rglob("*.py")}


def imports_of(module: str) -> set[str]:
    """Modules of the package that a module imports by name, anywhere in its code."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, name = name.partition(".")
            if package == PACKAGE.name:
                found.add(name if name in MODULES else name.rpartition(".")[0])
    return found - {module, ""}


IMPORTS = {module: imports_of(module) for module in MODULES}


def room_of(module: str) -> str:
    """The folder of a module, or the module where it stands in no folder."""
    return module if module in GROUND_FLOOR else module.partition(".")[0]


def rooms() -> dict[str, set[str]]:
    """What each room imports by the table of the design, from the ground floor upwards."""
    rows = re.findall(r"(?m)^\| (`.*`) \|.*\| ([^|]*) \|$", documents.read("docs/design.md"))
    table = {}
    for names, imports in rows:
        for name in re.findall(r"`([\w./]+)`", names):
            listed = re.findall(r"`([\w./]+)`", imports)
            table[name.replace("/", ".")] = {other.replace("/", ".") for other in listed}
    return table


ROOMS = rooms()


def test_every_room_is_in_the_table():
    assert {room_of(module) for module in MODULES} - {"", "__main__"} == ROOMS.keys()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_the_table_says(room):
    found = set()
    for module, imports in IMPORTS.items():
        if room_of(module) == room:
            found |= {room_of(other) for other in imports}
    assert found - {room} == ROOMS[room]


def test_rooms_import_only_rooms_below_them():
    order = list(ROOMS)
    for room, imports in ROOMS.items():
        assert imports <= set(order[: order.index(room)]), room


def test_no_imports_go_round():
    try:
        tuple(TopologicalSorter(IMPORTS).static_order())
    except CycleError as error:
        pytest.fail(" > ".join(error.args[1]))


def test_few_files_stand_outside_the_rooms():
    assert len([path for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]) <= 10


def test_nothing_imports_the_command_line():
    importing = {
        module
        for module, imports in IMPORTS.items()
        if room_of(module) != "cli" and "cli" in map(room_of, imports)
    }
    assert importing == {"__main__"}


def test_the_readme_shows_every_folder():
    [tree] = [
        block.text
        for block in documents.blocks_of("README.md")
        if "keras_transformer/\n" in block.text
    ]
    shown = set(re.findall(r"(?m)^  (\w+)/ ", tree))
    assert shown == {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
