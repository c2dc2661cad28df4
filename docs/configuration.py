"""Writes configuration.md: every value of a configuration, its type, default and meaning.

    python docs/configuration.py

Types and defaults are those of the dataclasses in ``keras_transformer/config.py`` and
``model_config.py``; meanings are the comments beside or right above their fields.
"""

import ast
import dataclasses
import inspect
import json
import textwrap
import tokenize
import types
import typing
from pathlib import Path

import pydantic

from keras_transformer import config as configuration
from keras_transformer.config import model as model_config

PAGE = Path(__file__).with_suffix(".md")

INTRODUCTION = """\
# Configuration

`keras-transformer train --config FILE.yaml` takes a YAML or JSON file of the values that are to
differ from those of the preset; `Config.replace` takes the same as a dictionary. What is not in the
file stays as the preset, or the default below, has it. A key that is not listed here and a value
that does not fit are refused with their names.

```yaml
model: {family: gru, units: 512, attention: additive}
training: {max_minutes: 30, batch_tokens: 2048}
```

`config.json` of a run folder holds all values of the run, and `keras-transformer info` prints them.

This page is written by `python docs/configuration.py` from the code; a test compares the two."""

SECTIONS = {
    "model": "Which of these tables counts follows from `family`.",
    "tokenizer": "",
    "word_vectors": "",
    "training": "",
    "decoding": "`translate` and `evaluate` take most of these as options, too.",
}

PRESETS = """\
## Presets

`--preset NAME`, or `keras_transformer.config.preset(name, family)`, begins with these values in
place of the defaults above."""


def page() -> str:
    """The whole page, as `PAGE` should have it."""
    parts = [INTRODUCTION]
    for field in dataclasses.fields(configuration.Config):
        parts.append("\n\n".join(filter(None, [f"## `{field.name}`", SECTIONS[field.name]])))
        parts.extend(table_of(kind) for kind in kinds_of(field))
    parts.append(PRESETS)
    parts.append(table_of_presets())
    return "\n\n".join(parts) + "\n"


def kinds_of(field) -> list[type]:
    """The dataclasses that the values of a section of `Config` may be of."""
    hint = typing.get_type_hints(configuration.Config, include_extras=True)[field.name]
    if dataclasses.is_dataclass(hint):
        return [hint]
    tagged = typing.get_args(typing.get_args(hint)[0])
    return [typing.get_args(kind)[0] for kind in tagged]


def table_of(kind) -> str:
    """The fields of a dataclass, with its docstring above them."""
    hints, meanings = typing.get_type_hints(kind, include_extras=True), meanings_of(kind)
    rows = [
        (
            f"`{field.name}`",
            in_words(hints[field.name]),
            yaml_of(field.default),
            meanings[field.name],
        )
        for field in dataclasses.fields(kind)
    ]
    head = f"{inspect.getdoc(kind)} (`{kind.__name__}`)"
    return f"{head}\n\n{table(('key', 'value', 'default', 'meaning'), rows)}"


def table(head, rows) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def meanings_of(kind) -> dict[str, str]:
    """The comments of each field, right above it and then on its last line, in YAML's words."""
    source = textwrap.dedent(inspect.getsource(kind))
    alone, beside = comments_of(source)
    [body] = ast.parse(source).body
    meanings = {}
    for field in body.body:
        if isinstance(field, ast.AnnAssign):
            above, line = [], field.lineno - 1
            while line in alone:
                above.insert(0, alone[line])
                line -= 1
            comment = " ".join((*above, beside.get(field.end_lineno, ""))).strip()
            meanings[field.target.id] = comment.replace("None:", "null:").replace("|", "\\|")
    return meanings


def comments_of(source) -> tuple[dict[int, str], dict[int, str]]:
    """Comments by their lines: those that stand alone, and those that follow code."""
    alone, beside = {}, {}
    for token in tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__):
        if token.type == tokenize.COMMENT:
            place = beside if token.line[: token.start[1]].strip() else alone
            place[token.start[0]] = token.string.removeprefix("#").strip()
    return alone, beside


def in_words(hint) -> str:
    """A type as a user says it, such as "whole number above 0, or null".

    Raises:
        TypeError: for a type that no field has had so far.
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return ", or ".join(in_words(part) for part in parts)
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in parts)
    if origin is typing.Annotated:
        return f"{in_words(parts[0])} {limits_of(parts[1:])}".strip()
    words = {
        bool: "true or false",
        int: "whole number",
        float: "number",
        str: "text",
        type(None): "null",
    }
    if hint not in words:
        raise TypeError(f"{hint}: say in in_words how a user calls it.")
    return words[hint]


def limits_of(annotations) -> str:
    """The limits of a number, such as "from 0 to below 1"."""
    infos = [info for info in annotations if isinstance(info, pydantic.fields.FieldInfo)]
    limits = {
        name: getattr(limit, name)
        for info in infos
        for limit in info.metadata
        for name in ("gt", "ge", "lt", "le")
        if hasattr(limit, name)
    }
    words = {"gt": "above {}", "ge": "from {}", "lt": "to below {}", "le": "to {}"}
    return " ".join(words[name].format(limits[name]) for name in words if name in limits)


def yaml_of(value) -> str:
    """A value as it stands in a configuration file."""
    if isinstance(value, str):
        return f"`{value}`"
    text = json.dumps(value)
    if "e" in text and isinstance(value, float) and "." not in text:
        text = text.replace("e", ".0e")  # YAML takes 1e-06 for text
    return f"`{text}`"


def table_of_presets() -> str:
    """What each preset changes, for each kind of model."""
    groups = {
        "Transformer": "transformer",
        ", ".join(model_config.RECURRENT): model_config.RECURRENT[-1],
        ", ".join(model_config.LANGUAGE_MODELS): model_config.LANGUAGE_MODELS[0],
    }
    rows = [
        (f"`{name}`", models, "<br>".join(changes_of(name, family)) or "none")
        for name in configuration.PRESETS
        for models, family in groups.items()
    ]
    return table(("preset", "models", "values"), rows)


def changes_of(name, family) -> list[str]:
    """The values of a preset that are not defaults, a line for each section."""
    values = configuration.preset(name, family)
    lines = []
    for section in dataclasses.fields(values):
        part = getattr(values, section.name)
        changed = [
            f"{field.name}: {yaml_of(value).strip('`')}"
            for field in dataclasses.fields(part)
            if field.name != "family" and (value := getattr(part, field.name)) != field.default
        ]
        if changed:
            lines.append(f"`{section.name}: {{{', '.join(changed)}}}`")
    return lines


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
