"""The variables of a checkpoint of any kind: ours, a published file, a Hugging Face folder."""

from pathlib import Path
from typing import Any

import jax

from maskformer_jax.checkpoints import workdir
from maskformer_jax.config import Config
from maskformer_jax.config.io import list_config_names
from maskformer_jax.convert import huggingface, official
from maskformer_jax.convert.huggingface_config import (
    CONFIG_FILE,
    is_huggingface_folder,
    read_labels,
)
from maskformer_jax.convert.huggingface_config import read_config as read_huggingface_config
from maskformer_jax.convert.readers import READERS, read_tensors
from maskformer_jax.data.label_names import parse_id2label
from maskformer_jax.data.registry import find_dataset
from maskformer_jax.errors import UserError


def read_variables(path: Path, template: Any) -> dict[str, Any]:
    """The variables of a checkpoint of any kind, on the default device.

    Args:
        path: A workdir of ours or one checkpoint in it, or a published `.pkl` (or its tensors in
            a `.pth`, `.safetensors` or `.npz`), or a Hugging Face folder.
        template: Their shapes, as `jax.eval_shape(model.init, key, images)` gives them.

    Raises:
        UserError: there is no checkpoint, it is damaged, or it does not fit the template; tensors
            that are missing, unexpected or mis-shaped are all listed.
    """
    if is_huggingface_folder(path):
        tensors = huggingface.read_folder(path)
        return jax.device_put(huggingface.to_variables(tensors, template, source=str(path)))
    if workdir.is_checkpoint(path):
        return workdir.restore_model_variables(path, template)
    _require_published_file(path)
    return jax.device_put(official.to_variables(read_tensors(path), template, source=str(path)))


def find_config(path: Path) -> Config:
    """The recipe that lies beside a checkpoint of ours, or that of a Hugging Face folder.

    The latter's data set is the one whose classes have the names of its labels; where there is
    none, `data.dataset` is the folder's `config.json`, which names them.

    Raises:
        UserError: there is no checkpoint, or it is one that does not say its recipe.
    """
    names = find_label_names(path)
    if names is not None:
        theirs = read_huggingface_config(path)
        theirs.data.dataset = find_dataset(names) or str(path / CONFIG_FILE)
        return theirs
    if workdir.is_checkpoint(path):
        config = workdir.read_config(path)
        if config is not None:
            return config
        raise UserError(
            f"{path}: there is no {workdir.CONFIG_FILE} beside the checkpoints; say which "
            f"config it belongs to, such as {list_config_names()[0]}"
        )
    _require_published_file(path)
    raise UserError(
        f"{path} does not say which model it is; give the name of its config, such as "
        f"{list_config_names()[0]}"
    )


def find_label_names(path: Path) -> tuple[str, ...] | None:
    """The names of the classes in a Hugging Face folder; None for all other checkpoints.

    Raises:
        UserError: the labels are not numbered 0..K-1.
    """
    if not is_huggingface_folder(path):
        return None
    try:
        return parse_id2label(read_labels(path))
    except ValueError as error:
        raise UserError(f"{path / CONFIG_FILE}: {error}") from error


def _require_published_file(path: Path) -> None:
    if not path.exists():
        raise UserError(f"{path}: there is no such checkpoint")
    if path.suffix not in READERS or not path.is_file():
        raise UserError(
            f"{path} is no checkpoint: it should be a workdir, a checkpoint in it, a Hugging Face "
            f"folder or a published file ({', '.join(READERS)})"
        )
