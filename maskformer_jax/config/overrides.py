"""Changing single fields of a config from the command line."""

import copy
from collections.abc import Iterable
from typing import Any

from maskformer_jax.config import Config
from maskformer_jax.config.fields import (
    did_you_mean,
    first_field,
    parse_value,
    section_hints,
    section_types,
    walk_fields,
)
from maskformer_jax.errors import UserError


def apply_overrides(config: Config, overrides: Iterable[str]) -> Config:
    """A copy of the config with fields set from texts such as `optim.learning_rate=6e-5`.

    Args:
        config: Stays as it is.
        overrides: `path=value`, with or without a leading `config.` or `--config.`; where a
            field comes twice, the later value counts.

    Raises:
        UserError: there is no such field, it is a section, or the value has the wrong type.
    """
    result = copy.deepcopy(config)
    for override in overrides:
        path, equals, text = override.partition("=")
        path = path.removeprefix("--").removeprefix("config.")
        if not equals:
            raise UserError(f"config.{path} needs a value: config.{path}=VALUE")
        _set_field(result, path, text)
    return result


def _set_field(config: Config, path: str, text: str) -> None:
    *parents, name = path.split(".")
    section: Any = config
    walked = ""
    for parent in parents:
        hint = _find(config, section, parent, walked, path)
        walked += parent + "."
        if not section_types(hint):
            raise UserError(f"config.{walked[:-1]} is a single value; it has no field {name!r}")
        section = getattr(section, parent)
    hint = _find(config, section, name, walked, path)
    wanted = section_types(hint)
    if wanted:
        raise UserError(
            f"config.{path} is a section, not a single value; set its fields, such as "
            f"config.{path}.{first_field(wanted[0])}=VALUE"
        )
    setattr(section, name, parse_value(text, hint, path=path))


def _find(config: Config, section: Any, name: str, walked: str, path: str) -> Any:
    """The type of the section's field `name`, or an error that suggests what was meant."""
    hints = section_hints(type(section))
    if name in hints:
        return hints[name]
    last = path.rpartition(".")[2]
    elsewhere = [field.path for field in walk_fields(config) if field.path.endswith("." + last)]
    if elsewhere:
        advice = "did you mean " + " or ".join(f"config.{other}" for other in elsewhere) + "?"
    else:
        advice = did_you_mean(name, hints, prefix=f"config.{walked}")
    raise UserError(f"there is no field config.{path}; {advice}")
