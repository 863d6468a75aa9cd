"""Writing a config as a recipe that people read and edit."""

import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from maskformer_jax import config as config_module
from maskformer_jax.config import Config

_INDENT = "    "
_PATHS = ("data.root", "data.dataset", "train.init_checkpoint", "train.init_backbone")


def recipe_text(config: Config, folder: Path, *, title: str, comments: Mapping[str, str]) -> str:
    """A recipe as Python code: all fields that are not at their default.

    Args:
        config: to write; its absolute paths become relative to `folder`.
        folder: in which the file will lie.
        title: the first line of its docstring.
        comments: by field, such as "train.batch_size".
    """
    used: set[str] = set()
    body = _section(config, "", folder, comments, used, depth=1)
    names = ",\n".join(f"{_INDENT}{name}" for name in sorted(used, key=str.lower))
    return (
        f'"""{title}\n\nEdit it and train again:\n\n'
        f"    python train.py --config={folder.name}/recipe.py --workdir=NEW_FOLDER\n"
        '"""\n\n'
        "from pathlib import Path\n\n"
        f"from maskformer_jax.config import (\n{names},\n)\n\n"
        "HERE = Path(__file__).absolute().parent\n\n\n"
        "def get_config() -> Config:\n"
        f'{_INDENT}"""Build this recipe, a new object at each call."""\n'
        f"{_INDENT}return {body}\n"
    )


def _section(
    section: Any,
    path: str,
    folder: Path,
    comments: Mapping[str, str],
    used: set[str],
    *,
    depth: int,
) -> str:
    kind = type(section)
    used.add(kind.__name__)
    assert hasattr(config_module, kind.__name__), kind
    usual = kind()
    indent = _INDENT * (depth + 1)
    lines = []
    for field in fields(section):
        name = f"{path}.{field.name}".lstrip(".")
        value = getattr(section, field.name)
        if value == getattr(usual, field.name) or name in ("name", "distributed", "mesh"):
            continue
        if is_dataclass(value):
            text = _section(value, name, folder, comments, used, depth=depth + 1)
        elif name in _PATHS and Path(value).is_absolute():
            inside = os.path.relpath(value, folder.absolute())
            text = f"str((HERE / {inside!r}).resolve())".replace("'", '"')
        else:
            text = _literal(value)
        lines += [f"{indent}# {comments[name]}"] if name in comments else []
        lines.append(f"{indent}{field.name}={text},")
    if not lines:
        return f"{kind.__name__}()"
    return "\n".join([f"{kind.__name__}(", *lines, f"{_INDENT * depth})"])


def _literal(value: Any) -> str:
    text = repr(value)
    return text.replace("'", '"') if '"' not in text else text
