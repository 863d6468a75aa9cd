"""Loading a checkpoint of any kind: a workdir, a published file, a Hugging Face folder."""

from pathlib import Path
from typing import Any

import jax

from maskformer_jax.checkpoints import workdir
from maskformer_jax.config import Config, ModelConfig
from maskformer_jax.config.io import list_config_names
from maskformer_jax.config.paths import is_class_file
from maskformer_jax.convert import huggingface, official
from maskformer_jax.convert.huggingface_config import (
    CONFIG_FILE,
    is_huggingface_folder,
    read_labels,
)
from maskformer_jax.convert.huggingface_config import read_config as read_huggingface_config
from maskformer_jax.convert.readers import READERS, read_tensors
from maskformer_jax.data.label_names import read_id2label
from maskformer_jax.data.registry import find_dataset, load_dataset_info
from maskformer_jax.errors import UserError


def read_variables(path: Path, template: Any, model: ModelConfig) -> dict[str, Any]:
    """Load the variables of a checkpoint onto the default device.

    Args:
        path: a workdir or one checkpoint in it; a published `.pkl`, or its tensors in a `.pth`,
            `.safetensors` or `.npz`; or a Hugging Face folder.
        template: the shapes, as `jax.eval_shape(model.init, key, images)` gives them.
        model: the config of the model.

    Raises:
        UserError: there is no checkpoint, it is damaged, or it does not fit the template; lists
            all tensors that are missing, unexpected or of the wrong shape.
    """
    if is_huggingface_folder(path):
        tensors = huggingface.read_folder(path)
        return jax.device_put(huggingface.to_variables(tensors, template, model, source=str(path)))
    if workdir.is_checkpoint(path):
        return workdir.restore_model_variables(path, template)
    require_published_file(path)
    tensors = read_tensors(path)
    kind = huggingface if huggingface.has_our_names(tensors) else official
    return jax.device_put(kind.to_variables(tensors, template, model, source=str(path)))


def find_config(path: Path) -> Config:
    """Find the recipe of a checkpoint, in a workdir's or Hugging Face folder's `config.json`.

    For a Hugging Face folder, `data.dataset` is the data set with the same class names. If there
    is none, it is the folder's `config.json`, which has the names.

    Raises:
        UserError: there is no checkpoint, or it does not say which recipe it belongs to.
    """
    names = find_label_names(path)
    if names is not None:
        converted = read_huggingface_config(path)
        converted.data.dataset = find_dataset(names) or str(path / CONFIG_FILE)
        return converted
    if workdir.is_checkpoint(path):
        config = workdir.read_config(path)
        if config is not None:
            return config
        raise UserError(
            f"{path}: there is no {workdir.CONFIG_FILE} beside the checkpoints; give the name of "
            f"its config, such as {list_config_names()[0]}"
        )
    require_published_file(path)
    raise UserError(
        f"{path} does not say which model it is; give the name of its config, such as "
        f"{list_config_names()[0]}"
    )


def find_label_names(path: Path) -> tuple[str, ...] | None:
    """Read the class names in a Hugging Face folder; None for other kinds of checkpoint.

    Raises:
        UserError: the labels are not numbered 0..K-1.
    """
    if not is_huggingface_folder(path):
        return None
    try:
        return read_id2label(read_labels(path))
    except ValueError as error:
        raise UserError(f"{path / CONFIG_FILE}: {error}") from error


def find_class_names(path: Path) -> tuple[str, ...] | None:
    """Read the class names that a checkpoint has: a Hugging Face folder's, or a workdir's.

    Raises:
        UserError: the file with the names is damaged.
    """
    names = find_label_names(path)
    if names is not None or not workdir.is_checkpoint(path):
        return names
    info = workdir.read_classes(path)
    config = workdir.read_config(path)
    if info is None and config is not None and not is_class_file(config.data.dataset):
        info = load_dataset_info(config.data.dataset)  # of an older workdir
    return None if info is None else tuple(category.name for category in info.categories)


def require_published_file(path: Path) -> None:
    """Raise a UserError unless a path is a file of a kind in which checkpoints are published."""
    if not path.exists():
        raise UserError(f"{path}: there is no such checkpoint")
    if path.suffix not in READERS or not path.is_file():
        raise UserError(
            f"{path} is not a checkpoint; it must be a workdir, a checkpoint in it, a Hugging Face "
            f"folder or a published file ({', '.join(READERS)})"
        )
