"""Writing a model's variables for others: as a checkpoint of ours, or as a published file."""

import io
import pickle
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.checkpoint_io import CHECKPOINTS, CONFIG_FILE
from maskformer_jax.config import Config
from maskformer_jax.config_io import to_json
from maskformer_jax.convert.official import from_variables
from maskformer_jax.errors import UserError


def write_published(variables: Any, config: Config, file: Path) -> None:
    """Writes the tensors under their published names, to a `.pkl` or `.npz`.

    The published code loads the `.pkl` (detectron2's form, released names).

    Raises:
        UserError: another suffix, or the file cannot be written.
    """
    tensors = from_variables(
        jax.tree.map(np.asarray, variables), no_object_weight=config.loss.no_object_weight
    )
    buffer = io.BytesIO()
    if file.suffix == ".pkl":
        pickle.dump({"model": tensors, "__author__": "maskformer-jax"}, buffer, protocol=4)
    elif file.suffix == ".npz":
        np.savez(buffer, allow_pickle=False, **tensors)
    else:
        raise UserError(f"{file}: should end in .pkl or .npz")
    write_atomically(file, buffer.getvalue())


def write_workdir(variables: Any, config: Config, folder: Path) -> None:
    """Writes `config.json` and `checkpoints/0` with the variables, but no optimizer state.

    Raises:
        UserError: the folder holds something already, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists already; remove it or choose another folder")
    step = folder.absolute() / CHECKPOINTS / "0"
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(step / "model", dict(variables))
        write_atomically(folder / CONFIG_FILE, to_json(config))
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
