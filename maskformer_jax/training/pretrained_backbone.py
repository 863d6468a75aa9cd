"""Starting from a backbone: of ImageNet, or of a whole model in any form."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from maskformer_jax.checkpoints.partial import match_checkpoint
from maskformer_jax.checkpoints.workdir import is_checkpoint
from maskformer_jax.config import Config, ModelConfig
from maskformer_jax.convert import huggingface
from maskformer_jax.convert.huggingface_config import is_huggingface_folder
from maskformer_jax.convert.official import BACKBONE, HEAD
from maskformer_jax.convert.readers import read_tensors
from maskformer_jax.errors import UserError
from maskformer_jax.parts.backbones.weights import ImageFormat, backbone_weights
from maskformer_jax.tensor_rules.transfer import nest
from maskformer_jax.training.state import TrainState


def load_backbone(config: Config, state: TrainState) -> TrainState:
    """Return the state with the backbone of `train.init_backbone`, otherwise unchanged.

    Raises:
        UserError: the file is missing or damaged, or is another network's.
    """
    collections = {"params": state.params, "constants": state.constants}
    variables = {name: tree["backbone"] for name, tree in collections.items() if "backbone" in tree}
    template = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), variables)
    placed: Any = jax.tree.map(
        lambda array, old: jax.device_put(array, old.sharding),
        _read_backbone(config, template),
        variables,
    )
    replaced = {name: {**collections[name], "backbone": tree} for name, tree in placed.items()}
    state = state._replace(**replaced)
    if state.ema_params is None:
        return state
    return state._replace(ema_params=jax.tree.map(jax.numpy.copy, state.params))


def _read_backbone(config: Config, template: Any) -> dict[str, Any]:
    source, model = config.train.init_backbone, config.model
    path = Path(source).expanduser()
    whole = _read_from_whole_model(path, template, model)
    if whole is not None:
        return whole
    return backbone_weights(type(model.backbone)).import_imagenet(
        read_tensors(path),
        template,
        model.backbone,
        image_format=ImageFormat(
            config.train.init_backbone_format, model.pixel_mean, model.pixel_std
        ),
        source=source,
    )


def _read_from_whole_model(path: Path, template: Any, model: ModelConfig) -> Any:
    """The backbone of a workdir, a Hugging Face folder or a published file; None for other files.

    Raises:
        UserError: the checkpoint has another backbone; lists what does not fit.
    """
    is_folder = is_huggingface_folder(path) or is_checkpoint(path)
    if not is_folder and not _is_published(path):
        return None
    below = {name: {"backbone": tree} for name, tree in template.items()}
    matched = match_checkpoint(path, below, model)
    groups = (matched.missing, matched.other_shape)
    problems = sorted({line for group in groups for lines in group.values() for line in lines})
    if problems:
        raise UserError("\n  ".join([f"{path} has another backbone:", *problems]))
    found = nest(matched.values)
    return {name: found[name]["backbone"] for name in template}


def _is_published(path: Path) -> bool:
    """Whether a file holds a whole model; ImageNet files have no names of heads."""
    if not path.is_file():
        return False
    tensors = read_tensors(path)
    published = all(any(name.startswith(part) for name in tensors) for part in (BACKBONE, HEAD))
    return published or huggingface.has_our_names(tensors)
