"""Reading the workdir of a run: its config, and the model variables in its checkpoints.

A workdir holds `config.json`, `categories.json` and `checkpoints/STEP/`; it names no absolute
path. Each checkpoint has the items `model` (the collections "params" and "constants"), `opt`
(optimizer state) and `meta` (JSON: step and config).
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.categories import DatasetInfo
from maskformer_jax.checkpoints.digests import find_damage
from maskformer_jax.checkpoints.named_steps import is_named_step, order_steps
from maskformer_jax.config import Config
from maskformer_jax.config.io import read_json, to_json
from maskformer_jax.config.paths import is_class_file, relative_to_workdir
from maskformer_jax.data.label_names import to_json as classes_to_json
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError

CHECKPOINTS = "checkpoints"
CONFIG_FILE = "config.json"
CATEGORIES_FILE = "categories.json"


def is_checkpoint(path: Path) -> bool:
    """Whether the path is a workdir, its `checkpoints` folder, or one checkpoint in it."""
    return bool(_candidates(path))


def read_config(path: Path) -> Config | None:
    """Read the config of the run that a checkpoint or workdir comes from; None if there is none.

    Raises:
        UserError: the file cannot be read or is not a config; names the file.
    """
    file = _find_file(path, CONFIG_FILE)
    if file is None:
        return None
    config, classes = read_json(file), _find_file(path, CATEGORIES_FILE)
    if classes is not None and is_class_file(config.data.dataset):
        # Its own copy, whatever has become of the file that it was made from.
        config.data.dataset = str(classes)
    return config


def read_classes(path: Path) -> DatasetInfo | None:
    """Read the classes of the run that a checkpoint or workdir comes from; None in older workdirs.

    Raises:
        UserError: the file cannot be read or is not a list of classes; names the file.
    """
    file = _find_file(path, CATEGORIES_FILE)
    return None if file is None else load_dataset_info(str(file))


def write_description(workdir: Path, config: Config, info: DatasetInfo) -> None:
    """Write `categories.json` and, last, `config.json`, both atomically.

    Raises:
        UserError: a file cannot be written.
    """
    write_atomically(workdir / CATEGORIES_FILE, classes_to_json(info))
    write_atomically(workdir / CONFIG_FILE, describe_config(workdir, config))


def describe_config(workdir: Path, config: Config) -> str:
    """The config as a workdir keeps it: with its own copy of the classes, paths relative to it."""
    if is_class_file(config.data.dataset):
        classes = str(workdir.absolute() / CATEGORIES_FILE)
        config = replace(config, data=replace(config.data, dataset=classes))
    return to_json(relative_to_workdir(config, workdir))


def _find_file(path: Path, name: str) -> Path | None:
    path = path.absolute()
    files = (folder / name for folder in (path, path.parent, path.parent.parent))
    return next((file for file in files if file.is_file()), None)


def restore_model_variables(path: Path, template: Any) -> dict[str, Any]:
    """Restore the variables of a checkpoint as arrays on the default device.

    Args:
        path: a single checkpoint, or a workdir or its `checkpoints` folder. Of the latter, the
            newest readable checkpoint is used; a warning names those that are damaged. `best` and
            `last` stand for a step.
        template: the shapes and dtypes, as `jax.eval_shape(model.init, ...)` gives them.

    Raises:
        UserError: there is no checkpoint, none can be read, or its tensors do not fit.
    """
    return _restore_newest(path, lambda item: restore_item(item, template))


def _restore_newest(path: Path, read: Callable[[Path], Any]) -> Any:
    candidates = _candidates(path)
    if not candidates:
        raise UserError(
            f"{path}: there is no checkpoint here; give a workdir, or a folder such as "
            f"WORKDIR/{CHECKPOINTS}/5000"
        )
    errors = []
    for step in candidates:
        damage = find_damage(step, item="model")
        if damage:
            errors += damage
            logging.warning("%s is damaged, trying the previous one:\n%s", step, "\n".join(damage))
            continue
        try:
            return read(step / "model")
        except UserError:
            raise
        except Exception as error:  # its type depends on which file is damaged
            errors.append(f"{step}: {first_line(error)}")
            logging.warning("%s cannot be read, trying the previous one: %s", step, error)
    raise UserError("no checkpoint could be read:\n" + "\n".join(errors))


def restore_all_variables(path: Path) -> dict[str, Any]:
    """Read all variables of the newest readable checkpoint as NumPy arrays, whatever their shapes.

    Raises:
        UserError: as `restore_model_variables`.
    """
    return _restore_newest(path, _read_arrays)


def _read_arrays(item: Path) -> dict[str, Any]:
    handler = ocp.StandardCheckpointHandler()
    item = item.absolute()
    shapes = jax.tree.map(
        lambda leaf: np.empty(leaf.shape, leaf.dtype), handler.metadata(item).tree
    )
    arrays: dict[str, Any] = handler.restore(item, args=ocp.args.StandardRestore(shapes))
    return arrays


def restore_item(path: Path, template: Any) -> Any:
    """Restore one item of a checkpoint, if its names, shapes and dtypes are the template's.

    Args:
        path: the item's folder.
        template: a tree of arrays or `jax.ShapeDtypeStruct`s; leaves without a sharding go to the
            default device.

    Raises:
        UserError: tensors are missing, unexpected, or of another shape or dtype; lists all.
    """
    handler = ocp.StandardCheckpointHandler()
    path = path.absolute()
    compare_trees(dict(_leaves(handler.metadata(path).tree)), dict(_leaves(template)), name=path)
    return handler.restore(path, args=ocp.args.StandardRestore(_with_shardings(template)))


def compare_trees(saved: dict[str, Any], wanted: dict[str, Any], *, name: Path) -> None:
    """Compare two flat trees of arrays.

    Raises:
        UserError: they differ; lists all differences in names, shapes and dtypes.
    """
    problems = [f"missing: {key}" for key in sorted(wanted.keys() - saved.keys())]
    problems += [f"unexpected: {key}" for key in sorted(saved.keys() - wanted.keys())]
    for key in sorted(wanted.keys() & saved.keys()):
        found = (tuple(saved[key].shape), str(saved[key].dtype))
        needed = (tuple(wanted[key].shape), str(wanted[key].dtype))
        if found != needed:
            problems.append(
                f"{key}: the file has {found[0]} {found[1]}, the model {needed[0]} {needed[1]}"
            )
    if problems:
        raise UserError(f"{name} does not fit the model:\n  " + "\n  ".join(problems))


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def checkpoint_steps(folder: Path) -> list[Path]:
    """List the complete checkpoints in a `checkpoints` folder, newest first."""
    if not folder.is_dir():
        return []
    steps = [entry for entry in folder.iterdir() if entry.name.isdigit() and entry.is_dir()]
    return sorted(steps, key=lambda entry: int(entry.name), reverse=True)


def newest_step(path: Path) -> int | None:
    """The step of a checkpoint, or of the newest in a workdir; None for other files."""
    candidates = _candidates(path)
    return int(candidates[0].name) if candidates else None


def _candidates(path: Path) -> list[Path]:
    """The checkpoints that a path means, the first of which is to be used if it can be read."""
    if path.name.isdigit() and (path / "model").is_dir():
        return [path]
    if is_named_step(path):
        return order_steps(path.name, _candidates(path.parent))
    return checkpoint_steps(path / CHECKPOINTS) or checkpoint_steps(path)


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(key, simple=True, separator="/"), leaf) for key, leaf in flat]


def _with_shardings(template: Any) -> Any:
    """Add the default device to leaves without a sharding."""
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def one(leaf: Any) -> jax.ShapeDtypeStruct:
        sharding = getattr(leaf, "sharding", None) or device
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(one, template)
