"""Writing a model's variables for others: as a checkpoint of ours, a published file, or a folder.

The folder is Hugging Face's: `MaskFormerForInstanceSegmentation.from_pretrained` loads it.
"""

import dataclasses
import io
import json
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp
import safetensors.numpy

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.categories import DatasetInfo
from maskformer_jax.checkpoints.workdir import CHECKPOINTS, CONFIG_FILE
from maskformer_jax.config import Config
from maskformer_jax.config.io import to_json
from maskformer_jax.convert import huggingface, official
from maskformer_jax.convert.huggingface_config import (
    PREPROCESSOR_FILE,
    describe_model,
    describe_preprocessing,
)
from maskformer_jax.data import label_names as labels
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError

CATEGORIES_FILE = "categories.json"
FORMATS = (".pkl", ".npz", ".safetensors")


def write_published(
    variables: Any,
    config: Config,
    file: Path,
    *,
    naming: Literal["current", "released"] = "released",
) -> None:
    """Writes the tensors under their published names, to a `.pkl`, `.npz` or `.safetensors`.

    The published code loads the `.pkl` (detectron2's form) with the released names; with the
    current ones it does not, but that is what its modules are called.

    Raises:
        UserError: another suffix, or the file cannot be written.
    """
    if file.suffix not in FORMATS:
        raise UserError(f"{file}: should end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    tensors = official.from_variables(
        jax.tree.map(np.asarray, variables),
        naming=naming,
        no_object_weight=config.loss.no_object_weight,
    )
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    buffer = io.BytesIO()
    if file.suffix == ".pkl":
        pickle.dump({"model": tensors, "__author__": "maskformer-jax"}, buffer, protocol=4)
    elif file.suffix == ".npz":
        np.savez(buffer, allow_pickle=False, **tensors)
    else:
        buffer.write(safetensors.numpy.save(tensors))
    write_atomically(file, buffer.getvalue())


def write_huggingface(
    variables: Any, config: Config, folder: Path, *, label_names: Sequence[str]
) -> None:
    """Writes `model.safetensors`, `preprocessor_config.json` and, last, `config.json`.

    Args:
        variables: of the model.
        config: its recipe.
        folder: new or empty.
        label_names: of the K classes.

    Raises:
        UserError: Hugging Face's MaskFormer has no such parts, the folder holds something already,
            or it cannot be written.
    """
    description = describe_model(config, label_names)
    _require_empty(folder)
    tensors = huggingface.from_variables(
        jax.tree.map(np.asarray, variables), no_object_weight=config.loss.no_object_weight
    )
    tensors = {name: np.require(tensor, requirements="C") for name, tensor in tensors.items()}
    content = safetensors.numpy.save(tensors, metadata={"format": "pt"})
    write_atomically(folder / "model.safetensors", content)
    preprocessing = describe_preprocessing(config)
    write_atomically(folder / PREPROCESSOR_FILE, json.dumps(preprocessing, indent=2) + "\n")
    write_atomically(folder / CONFIG_FILE, json.dumps(description, indent=2) + "\n")


def write_workdir(variables: Any, config: Config, folder: Path) -> None:
    """Writes `config.json` and `checkpoints/0` with the variables, but no optimizer state.

    Where the classes are described in a file of their own, `categories.json` becomes a copy.

    Raises:
        UserError: the folder holds something already, or cannot be written.
    """
    _require_empty(folder)
    step = folder.absolute() / CHECKPOINTS / "0"
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(step / "model", dict(variables))
        if config.data.dataset.endswith(".json"):
            config = _keep_categories(config, load_dataset_info(config.data.dataset), folder)
        write_atomically(folder / CONFIG_FILE, to_json(config))
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error


def _keep_categories(config: Config, info: DatasetInfo, folder: Path) -> Config:
    file = folder.absolute() / CATEGORIES_FILE
    write_atomically(file, labels.to_json(info))
    return dataclasses.replace(config, data=dataclasses.replace(config.data, dataset=str(file)))


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists already; remove it or choose another folder")
