"""A config as text: every field with its comment and the origin of its value."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from maskformer_jax.config import Config
from maskformer_jax.config.comments import field_comments, first_docstring_line
from maskformer_jax.config.fields import describe_type, section_hints
from maskformer_jax.config.kinds import section_kinds
from maskformer_jax.config.origins import Place, nearest_line, recipe_lines

WIDTH = 100  # characters of a line
_VALUE_COLUMN = 27
_ORIGIN_COLUMN = 70
_TYPE_COLUMN = 60


class Section(NamedTuple):
    """A section of a config and the defaults of its fields."""

    path: str  # such as "model.backbone"; empty for the whole config
    values: Any
    defaults: dict[str, Any]  # single values only
    kinds: tuple[str, ...]  # the values that its `type` may have, if any


def show_config(config: Config, *, file: Path, overrides: Iterable[str]) -> str:
    """Describe every field of a config, section by section, in lines of 100 characters.

    Args:
        config: The config, overrides applied.
        file: The recipe or `config.json` that it was loaded from.
        overrides: Those from the command line, as `A.B=VALUE`.

    Returns:
        The text, without a line end behind the last line.
    """
    overridden = {override.partition("=")[0] for override in overrides}
    lines = recipe_lines(file) if file.suffix == ".py" else {}
    text = [f"config file: {file}"]
    for section in walk_sections(config):
        where = f"config.{section.path}" if section.path else "config"
        kind: type = type(section.values)
        title = f"{where}: {first_docstring_line(kind)}"
        text += ["", *textwrap.wrap(title, WIDTH, subsequent_indent=" " * 4)]
        comments = field_comments(kind)
        for name, default in section.defaults.items():
            path = f"{section.path}.{name}".lstrip(".")
            value = getattr(section.values, name)
            if path in overridden:
                origin = "command line"
            else:
                origin = _describe_origin(path, value == default, file=file, lines=lines)
            text += _field_lines(name, value, origin, comments.get(name, ""))
    return "\n".join(text)


def list_fields(config: Config) -> str:
    """Every field of a config as a flag with its value and its type, one a line."""
    text = []
    for section in walk_sections(config):
        for name, hint in section_hints(type(section.values)).items():
            if name not in section.defaults:
                continue
            path = f"{section.path}.{name}".lstrip(".")
            flag = f"  --config.{path}={_value_text(getattr(section.values, name))}"
            is_kind = name == "type" and section.kinds
            kind = f"one of {', '.join(section.kinds)}" if is_kind else describe_type(hint)
            if len(flag) > _TYPE_COLUMN:
                text.append(flag)
                flag = ""
            text.append(f"{flag:{_TYPE_COLUMN}}  {kind}")
    return "\n".join(text)


def walk_sections(config: Config) -> Iterator[Section]:
    """A config and all its sections, each before those inside it."""
    return _walk(config, path="", usual_kind=None, kinds=())


def _walk(
    values: Any, *, path: str, usual_kind: str | None, kinds: tuple[str, ...]
) -> Iterator[Section]:
    usual = type(values)()
    hints = section_hints(type(values))
    defaults = {name: getattr(usual, name) for name in hints if not section_kinds(hints[name])}
    if usual_kind is not None:
        defaults["type"] = usual_kind
    yield Section(path, values, defaults, kinds)
    for name, hint in hints.items():
        inner = section_kinds(hint)
        if inner:
            yield from _walk(
                getattr(values, name),
                path=f"{path}.{name}".lstrip("."),
                usual_kind=getattr(getattr(usual, name), "type", None),
                kinds=tuple(kind for kind in inner if kind),
            )


def _describe_origin(path: str, is_default: bool, *, file: Path, lines: Mapping[str, Place]) -> str:
    if path not in lines and is_default:
        return "default"
    place = nearest_line(path, dict(lines))
    this_file = "config file" if file.suffix == ".py" else file.name
    if place is None:
        return this_file
    return f"{this_file if place.file == file else place.file.name}, line {place.line}"


def _field_lines(name: str, value: Any, origin: str, comment: str) -> list[str]:
    indent = " " * _VALUE_COLUMN
    width = _ORIGIN_COLUMN - _VALUE_COLUMN - 1
    text = _value_text(value)
    if max(map(len, text.split())) > width:  # below the origin rather than broken
        first, rest = "", textwrap.wrap(text, WIDTH - _VALUE_COLUMN, break_long_words=False)
    else:
        first, *rest = textwrap.wrap(text, width)
    lines = [f"  {name:{_VALUE_COLUMN - 3}} {first:{width}} {origin}"]
    lines += [indent + line for line in rest]
    if comment:
        lines += textwrap.wrap(
            f"# {comment}", WIDTH, initial_indent=indent, subsequent_indent=f"{indent}# "
        )
    return lines


def _value_text(value: Any) -> str:
    """A value as it is typed on the command line."""
    return str(value) if value != "" else '""'
