"""Reading our own checkpoints: which one a path means, its config, its model variables.

A workdir holds `config.json` and `checkpoints/<step>/`; each step has the items `model` (params
and constants), `opt` (optimizer state) and `meta` (JSON: step and config).
"""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging

from maskformer_jax.checkpoints.digests import find_damage
from maskformer_jax.config import Config
from maskformer_jax.config.io import read_json
from maskformer_jax.errors import UserError

CHECKPOINTS = "checkpoints"
CONFIG_FILE = "config.json"


def is_checkpoint(path: Path) -> bool:
    """Whether the path is a workdir of ours, its `checkpoints` folder, or one checkpoint in it."""
    return bool(_candidates(path))


def read_config(path: Path) -> Config | None:
    """The config of the run that a checkpoint or workdir comes from; None where there is none.

    Raises:
        UserError: the file cannot be read or is no config; names the file.
    """
    path = path.absolute()
    for folder in (path, path.parent, path.parent.parent):
        file = folder / CONFIG_FILE
        if file.is_file():
            return read_json(file)
    return None


def restore_model_variables(path: Path, template: Any) -> dict[str, Any]:
    """The variables of a checkpoint, as arrays on the default device.

    Args:
        path: A workdir (its newest checkpoint that can be read is taken; one that cannot be read
            is named in a warning), its `checkpoints` folder, or a single checkpoint.
        template: The tree of the variables, as `jax.eval_shape(model.init, ...)` gives it.

    Raises:
        UserError: there is no checkpoint, none can be read, or its tensors do not fit.
    """
    candidates = _candidates(path)
    if not candidates:
        raise UserError(
            f"{path}: no checkpoint here; give a workdir, or a folder such as "
            f"WORKDIR/{CHECKPOINTS}/5000"
        )
    errors = []
    for step in candidates:
        damage = find_damage(step, item="model")
        if damage:
            errors += damage
            logging.warning("%s is damaged, trying the one before:\n%s", step, "\n".join(damage))
            continue
        try:
            return restore_item(step / "model", template)
        except UserError:
            raise
        except Exception as error:  # what a damaged file raises depends on where it is damaged
            errors.append(f"{step}: {first_line(error)}")
            logging.warning("%s cannot be read, trying the one before: %s", step, error)
    raise UserError("no checkpoint could be read:\n" + "\n".join(errors))


def restore_item(path: Path, template: Any) -> Any:
    """One saved tree, after comparing every name, shape and dtype with the template's.

    Raises:
        UserError: tensors are missing, unexpected, of another shape or dtype; all are listed.
    """
    handler = ocp.StandardCheckpointHandler()
    path = path.absolute()
    compare_trees(dict(_leaves(handler.metadata(path).tree)), dict(_leaves(template)), name=path)
    return handler.restore(path, args=ocp.args.StandardRestore(_with_shardings(template)))


def compare_trees(saved: dict[str, Any], wanted: dict[str, Any], *, name: Path) -> None:
    """Raises one UserError that lists all differences between two flat trees of arrays."""
    problems = [f"missing: {key}" for key in sorted(wanted.keys() - saved.keys())]
    problems += [f"unexpected: {key}" for key in sorted(saved.keys() - wanted.keys())]
    for key in sorted(wanted.keys() & saved.keys()):
        has = (tuple(saved[key].shape), str(saved[key].dtype))
        wants = (tuple(wanted[key].shape), str(wanted[key].dtype))
        if has != wants:
            problems.append(f"{key}: the file has {has[0]} {has[1]}, wanted {wants[0]} {wants[1]}")
    if problems:
        raise UserError(f"{name} does not fit the model:\n  " + "\n  ".join(problems))


def first_line(error: Exception) -> str:
    """The part of an error's message that fits on a line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def checkpoint_steps(folder: Path) -> list[Path]:
    """The finished checkpoints in a `checkpoints` folder, newest first."""
    if not folder.is_dir():
        return []
    steps = [entry for entry in folder.iterdir() if entry.name.isdigit() and entry.is_dir()]
    return sorted(steps, key=lambda entry: int(entry.name), reverse=True)


def _candidates(path: Path) -> list[Path]:
    if path.name.isdigit() and (path / "model").is_dir():
        return [path]
    return checkpoint_steps(path / CHECKPOINTS) or checkpoint_steps(path)


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(key, simple=True, separator="/"), leaf) for key, leaf in flat]


def _with_shardings(template: Any) -> Any:
    """Adds the default device to the leaves that do not say where they belong."""
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def one(leaf: Any) -> jax.ShapeDtypeStruct:
        sharding = getattr(leaf, "sharding", None) or device
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(one, template)
