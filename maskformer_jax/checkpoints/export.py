"""Exporting a model's variables: to a published file, a Hugging Face folder, or a workdir.

`MaskFormerForInstanceSegmentation.from_pretrained` of transformers loads the folder.
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
from maskformer_jax.categories import Category
from maskformer_jax.checkpoints.workdir import CHECKPOINTS, write_description
from maskformer_jax.config import Config
from maskformer_jax.convert import huggingface, official
from maskformer_jax.convert.huggingface_config import (
    CONFIG_FILE,
    PREPROCESSOR_FILE,
    describe_model,
    describe_preprocessing,
)
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError

FORMATS = (".pkl", ".npz", ".safetensors")


def write_published(
    variables: Any,
    config: Config,
    file: Path,
    *,
    naming: Literal["current", "released"] = "released",
) -> None:
    """Write the tensors under their published names to a `.pkl`, `.npz` or `.safetensors` file.

    Args:
        variables: of the model.
        config: its recipe.
        file: whose suffix is the format; `.pkl` is detectron2's.
        naming: "released" for the names in the released files, which the published code loads;
            "current" for those of the modules in the published code, which it does not load.

    Raises:
        UserError: the suffix is another, or the file cannot be written.
    """
    if file.suffix not in FORMATS:
        raise UserError(f"{file}: must end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    tensors = official.from_variables(
        jax.tree.map(np.asarray, variables),
        config.model,
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
    """Write `model.safetensors`, `preprocessor_config.json` and, last, `config.json`.

    Args:
        variables: of the model.
        config: its recipe.
        folder: new or empty.
        label_names: of the K classes, in label order.

    Raises:
        UserError: Hugging Face's MaskFormer does not support the model, or the folder is not empty
            or cannot be written.
    """
    description = describe_model(config, label_names)
    _require_empty(folder)
    tensors = huggingface.from_variables(
        jax.tree.map(np.asarray, variables),
        config.model,
        no_object_weight=config.loss.no_object_weight,
    )
    tensors = {name: np.require(tensor, requirements="C") for name, tensor in tensors.items()}
    content = safetensors.numpy.save(tensors, metadata={"format": "pt"})
    write_atomically(folder / "model.safetensors", content)
    preprocessing = describe_preprocessing(config)
    write_atomically(folder / PREPROCESSOR_FILE, json.dumps(preprocessing, indent=2) + "\n")
    write_atomically(folder / CONFIG_FILE, json.dumps(description, indent=2) + "\n")


def write_workdir(
    variables: Any, config: Config, folder: Path, categories: Sequence[Category] | None = None
) -> None:
    """Write a workdir: its description, and `checkpoints/0` without optimizer state.

    Args:
        variables: of the model.
        config: its recipe.
        folder: new or empty.
        categories: its classes; by default those of `data.dataset`.

    Raises:
        UserError: the folder is not empty, or cannot be written.
    """
    _require_empty(folder)
    info = load_dataset_info(config.data.dataset)
    if categories is not None:
        info = dataclasses.replace(info, categories=tuple(categories))
    step = folder.absolute() / CHECKPOINTS / "0"
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(step / "model", dict(variables))
        write_description(folder, config, info)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists already; remove it or choose another folder")
