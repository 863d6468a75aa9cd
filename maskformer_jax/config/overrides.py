"""Changing single fields of a config from the command line."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from maskformer_jax.config import Config
from maskformer_jax.config.fields import (
    choose_kind,
    did_you_mean,
    first_field,
    parse_value,
    section_hints,
    walk_fields,
)
from maskformer_jax.config.kinds import section_kinds
from maskformer_jax.errors import UserError


def apply_overrides(config: Config, overrides: Iterable[str]) -> Config:
    """A copy of the config with fields set from texts such as `optim.learning_rate=6e-5`.

    Args:
        config: Stays as it is.
        overrides: `path=value`, with or without a leading `config.` or `--config.`; where a
            field comes twice, the later value counts. A part's `type` makes it another kind,
            which keeps the fields that both have; it is applied before all others.

    Raises:
        UserError: there is no such field, it is a section, or the value has the wrong type.
    """
    result = copy.deepcopy(config)
    settings: list[tuple[str, str]] = []
    for override in overrides:
        path, equals, text = override.partition("=")
        path = path.removeprefix("--").removeprefix("config.")
        if not equals:
            raise UserError(f"config.{path} needs a value: config.{path}=VALUE")
        settings.append((path, text))
    # The kind of a part first: it says which fields there are.
    for path, text in sorted(settings, key=lambda setting: not setting[0].endswith(".type")):
        _set_field(result, path, text)
    return result


def _set_field(config: Config, path: str, text: str) -> None:
    *parents, name = path.split(".")
    section: Any = config
    walked = ""
    for parent in parents:
        hint = _find(config, section, parent, walked, path)
        walked += parent + "."
        if not section_kinds(hint):
            raise UserError(f"config.{walked[:-1]} is a single value; it has no field {name!r}")
        holder, section = section, getattr(section, parent)
    if name == "type" and parents:
        kinds = section_kinds(section_hints(type(holder))[parents[-1]])
        setattr(holder, parents[-1], _switch(section, kinds, text, path=path))
        return
    hint = _find(config, section, name, walked, path)
    kinds = section_kinds(hint)
    if kinds:
        raise UserError(
            f"config.{path} is a section, not a single value; set its fields, such as "
            f"config.{path}.{first_field(next(iter(kinds.values())))}=VALUE"
        )
    setattr(section, name, parse_value(text, hint, path=path))


def _switch(section: Any, kinds: Mapping[str, type], text: str, *, path: str) -> Any:
    """Return a section of another kind, with the values of the fields that both have."""
    kind = choose_kind(kinds, text, path=path.rpartition(".")[0])
    if kind is type(section):
        return section
    shared = [name for name in section_hints(kind) if name in section_hints(type(section))]
    return kind(**{name: getattr(section, name) for name in shared if name != "type"})


def _find(config: Config, section: Any, name: str, walked: str, path: str) -> Any:
    """The type of the section's field `name`, or an error that suggests what was meant."""
    hints = section_hints(type(section))
    if name in hints:
        return hints[name]
    last = path.rpartition(".")[2]
    elsewhere = [field.path for field in walk_fields(config) if field.path.endswith("." + last)]
    other_kinds = _kinds_with(config, walked, name)
    if other_kinds:
        advice = " or ".join(f"config.{walked}type={kind}" for kind in other_kinds) + " has it"
    elif elsewhere:
        advice = "did you mean " + " or ".join(f"config.{other}" for other in elsewhere) + "?"
    else:
        advice = did_you_mean(name, hints, prefix=f"config.{walked}")
    raise UserError(f"there is no field config.{path}; {advice}")


def _kinds_with(config: Config, walked: str, name: str) -> list[str]:
    """The other kinds of the section at `walked` that have a field `name`."""
    section: Any = config
    kinds: Mapping[str, type] = {}
    for parent in walked.split(".")[:-1]:
        kinds = section_kinds(section_hints(type(section))[parent])
        section = getattr(section, parent)
    return [kind for kind, option in kinds.items() if name in section_hints(option)]
