"""The fields of a config: walking over them, reading them from text, checking their types."""

import ast
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from maskformer_jax.config.kinds import section_kinds
from maskformer_jax.errors import UserError


class Field(NamedTuple):
    """One leaf of a config."""

    path: str  # such as "optim.learning_rate"
    hint: Any  # its type
    value: Any


def walk_fields(section: Any, prefix: str = "") -> Iterator[Field]:
    """All leaves of a config or of one of its sections, in the order they are written.

    Raises:
        UserError: a whole section was replaced by something else.
    """
    for name, hint in section_hints(type(section)).items():
        path = prefix + name
        value = getattr(section, name)
        kinds = tuple(section_kinds(hint).values())
        if not kinds:
            yield Field(path, hint, value)
        elif type(value) in kinds:
            yield from walk_fields(value, path + ".")
        else:
            names = " or ".join(kind.__name__ for kind in kinds)
            raise UserError(
                f"config.{path} is {value!r}, but must be a section of type {names}; set its "
                f"fields, such as config.{path}.{first_field(kinds[0])}"
            )


def section_hints(section_type: type) -> dict[str, Any]:
    """The resolved types of a section's fields, by name."""
    hints = get_type_hints(section_type)
    return {field.name: hints[field.name] for field in fields(section_type)}


def first_field(section_type: type) -> str:
    """A field of a section to give as an example: the first single value but its `type`."""
    hints = section_hints(section_type).items()
    return next(name for name, hint in hints if name != "type" and not section_kinds(hint))


def check_value(value: Any, hint: Any, *, path: str) -> Any:
    """Return the value if it has the field's type; integers are accepted for floats.

    Raises:
        UserError: names the field, the value and what would be right.
    """
    try:
        return _adapter(hint).validate_python(value, strict=True)
    except ValidationError:
        raise UserError(_wrong_type(path, value, hint)) from None


def check_json_value(value: Any, hint: Any, *, path: str) -> Any:
    """As `check_value`, for a value from a JSON file, where tuples are lists."""
    return check_value(_as_tuples(value), hint, path=path)


def parse_value(text: str, hint: Any, *, path: str) -> Any:
    """Parse a field's value as typed by users: `6e-5`, `true`, `512,512`, `(512, 512)`, `tfds`.

    Raises:
        UserError: none of the readings has the field's type.
    """
    for candidate in _readings(text, hint):
        try:
            return _adapter(hint).validate_python(candidate, strict=True)
        except ValidationError:
            continue
    raise UserError(_wrong_type(path, text, hint))


def describe_type(hint: Any) -> str:
    """A type in words short enough for an error message or a help line."""
    origin, options = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(str(option) for option in options)
    if origin is tuple and len(options) == 2 and options[1] is Ellipsis:
        return f"tuple of {describe_type(options[0])}"
    if origin is tuple:
        return "(" + ", ".join(describe_type(option) for option in options) + ")"
    if hint is bool:
        return "true or false"
    if options:
        return " or ".join(describe_type(option) for option in options)
    return "none" if hint is type(None) else hint.__name__


def choose_kind(kinds: Mapping[str, type], name: Any, *, path: str) -> type:
    """The kind of section called `name`.

    Raises:
        UserError: there is no such kind; names all of them.
    """
    if not isinstance(name, str) or name not in kinds:
        raise UserError(f"config.{path}.type is {name!r}, but must be one of {', '.join(kinds)}")
    return kinds[name]


def did_you_mean(name: str, choices: Iterable[str], *, prefix: str = "") -> str:
    """The end of a message about an unknown name: the nearest choice, or all of them."""
    known = list(choices)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {prefix}{near[0]}?"
    return "there are: " + ", ".join(known)


@cache
def _adapter(hint: Any) -> Any:
    return TypeAdapter(hint)


def _readings(text: str, hint: Any) -> Iterator[Any]:
    stripped = text.strip()
    try:
        literal = _as_tuples(ast.literal_eval(stripped))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass  # the errors that literal_eval is documented to raise
    else:
        yield literal
        yield (literal,)  # a single value where a tuple is meant
    lowered = stripped.lower()
    if lowered in ("true", "false"):
        yield lowered == "true"
    if lowered == "none":
        yield None
    yield text
    if get_origin(hint) is tuple:
        items = stripped.strip("()[]").split(",")
        yield tuple(item.strip() for item in items if item.strip())


def _as_tuples(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_as_tuples(item) for item in value)
    return value


def _wrong_type(path: str, value: Any, hint: Any) -> str:
    return f"config.{path} is {value!r}, but must be {describe_type(hint)}"
