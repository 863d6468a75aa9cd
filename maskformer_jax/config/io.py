"""Configs as files: Python recipes under configs/, and the `config.json` of a run."""

import dataclasses
import importlib.util
import json
import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskformer_jax import config as config_module
from maskformer_jax.config import Config
from maskformer_jax.config.check import check_config
from maskformer_jax.config.fields import (
    check_json_value,
    choose_kind,
    did_you_mean,
    section_hints,
)
from maskformer_jax.config.kinds import section_kinds
from maskformer_jax.config.paths import resolve_workdir
from maskformer_jax.errors import UserError
from maskformer_jax.json_files import read_text

_PACKAGE = Path(__file__).parents[1]


def list_config_names() -> list[str]:
    """The names of all recipes that come with the package, such as "camvid/maskformer_R50"."""
    root = configs_folder()
    return sorted(config_name(file) for file in root.rglob("[!_]*.py"))


def load_config(path_or_name: str | Path) -> Config:
    """Runs a recipe, or reads the config of a run, and checks the values.

    Args:
        path_or_name: A Python file with `get_config() -> Config`, the `config.json` of a run, or
            the name of a recipe that comes with the package.

    Raises:
        UserError: there is no such config, its file has an error (the message names file and
            line), or a value is wrong.
    """
    file = find_config_file(path_or_name)
    if file.suffix == ".json":
        config = read_json(file)
    else:
        config = _run_recipe(file)
        config.name = config_name(file)
    try:
        check_config(config)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    return config


def find_config_file(path_or_name: str | Path) -> Path:
    """The file of a config that is given as a path or by its name.

    Raises:
        UserError: there is no such file or name, or the file is of another kind.
    """
    path = Path(path_or_name).expanduser()
    if path.is_file():
        if path.suffix in (".py", ".json"):
            return path
        raise UserError(f"{path} is no config: it should be a .py file or the config.json of a run")
    name = str(path_or_name).removesuffix(".py")
    named = configs_folder() / f"{name}.py"
    if named.is_file():
        return named
    names = list_config_names()
    advice = did_you_mean(name.removeprefix("configs/"), names)
    raise UserError(f"there is no config {str(path_or_name)!r}: no such file or name; {advice}")


def configs_folder() -> Path:
    """The folder of the recipes: inside an installed package, beside it in the repository."""
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _PACKAGE.parent / "configs"


def config_name(file: Path) -> str:
    """A recipe's name from its place: what follows `configs/`, without the suffix."""
    parts = file.absolute().with_suffix("").parts
    if "configs" in parts[:-1]:
        start = len(parts) - 1 - parts[::-1].index("configs", 1)
        return "/".join(parts[start + 1 :])
    return "/".join(parts[-2:])


def to_json(config: Config) -> str:
    """The config as JSON text; `from_json` gives back an equal config."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str) -> Config:
    """The config that `to_json` wrote. A field that the text lacks has its default value.

    Raises:
        UserError: not JSON, an unknown field, or a value of the wrong type.
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise UserError(f"not a config in JSON: {error}") from None
    return _from_values(Config, values, "")


def read_json(file: Path) -> Config:
    """`from_json` of a file, which the error messages name.

    Raises:
        UserError: as `from_json`, and where the file cannot be read.
    """
    text = read_text(file)
    try:
        return resolve_workdir(from_json(text), file.parent)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None


def _run_recipe(file: Path) -> Config:
    spec = importlib.util.spec_from_file_location("_maskformer_jax_recipe", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not hasattr(module, "get_config"):
            raise UserError(f"{file}: a config file needs a function get_config() -> Config")
        config = module.get_config()
    except UserError:
        raise
    except Exception as error:
        raise UserError(_explain(error, file)) from error
    if not isinstance(config, Config):
        raise UserError(f"{file}: get_config() must return a Config, not {config!r}")
    return config


def _explain(error: Exception, file: Path) -> str:
    """Describe an error in a recipe, with file, line, and for a typo the nearest name."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename) == file.absolute()]
    # A mistake may come up below the recipe, but it is the recipe's line that has to change.
    place = f"{file}, line {ours[-1].lineno}" if ours else str(file)
    unknown = re.match(
        r"'?(\w+)'?(?:\.__init__\(\)| object)"
        r" (?:got an unexpected keyword argument|has no attribute) '(\w+)'",
        str(error),
    )
    section = getattr(config_module, unknown[1], None) if unknown else None
    if unknown and section is not None:
        advice = did_you_mean(unknown[2], section_hints(section))
        return f"{place}: {unknown[1]} has no field {unknown[2]!r}; {advice}"
    return f"{place}: {type(error).__name__}: {error}"


def _from_values(section_type: type, values: Any, prefix: str) -> Any:
    where = f"config.{prefix}"[:-1] if prefix else "the config"
    if not isinstance(values, dict):
        raise UserError(f"{where} is {values!r}, but must be a JSON object")
    hints = section_hints(section_type)
    retired = getattr(section_type, "retired_fields", ())
    fields = {}
    for name, value in values.items():
        path = prefix + name
        if name in retired:
            continue
        if name not in hints:
            raise UserError(f"there is no field config.{path}; {did_you_mean(name, hints)}")
        kinds = section_kinds(hints[name])
        if kinds:
            kind = _find_kind(kinds, value, path=path)
            fields[name] = _from_values(kind, value, path + ".")
        else:
            fields[name] = check_json_value(value, hints[name], path=path)
    return section_type(**fields)


def _find_kind(kinds: Mapping[str, type], values: Any, *, path: str) -> type:
    """Which kind of section the values are of, by their `type`; without one, the first kind."""
    name = values.get("type") if isinstance(values, dict) else None
    return next(iter(kinds.values())) if name is None else choose_kind(kinds, name, path=path)
