"""Writes docs/configuration.md: every value of a configuration, its type, default and meaning.

    python tools/configuration_page.py

All of it is said by the fields of the dataclasses in ``keras_transformer/config``.
"""

import dataclasses
import inspect
import json
import types
import typing
from pathlib import Path

import pydantic

from keras_transformer import config as configuration

PAGE = Path(__file__).parents[1] / "docs/configuration.md"

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

`python tools/configuration_page.py` writes this page from the code; a test compares the two."""

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
    hints, fields = typing.get_type_hints(kind, include_extras=True), kind.__pydantic_fields__
    rows = [
        (
            f"`{name}`",
            in_words(hints[name]),
            yaml_of(field.default),
            field.description.replace("|", "\\|"),
        )
        for name, field in fields.items()
    ]
    head = f"{inspect.getdoc(kind)} (`{kind.__name__}`)"
    return f"{head}\n\n{table(('key', 'value', 'default', 'meaning'), rows)}"


def table(head, rows) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
    if origin is tuple:
        return f"list of {in_words(parts[0])}s"
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
        ", ".join(configuration.RECURRENT): configuration.RECURRENT[-1],
        ", ".join(configuration.LANGUAGE_MODELS): configuration.LANGUAGE_MODELS[0],
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
            f"{name}: {yaml_of(value).strip('`')}"
            for name, field in part.__pydantic_fields__.items()
            if name != "family" and (value := getattr(part, name)) != field.default
        ]
        if changed:
            lines.append(f"`{section.name}: {{{', '.join(changed)}}}`")
    return lines


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
