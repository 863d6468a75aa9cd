"""Starting from an ImageNet backbone."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from maskformer_jax.config import Config
from maskformer_jax.convert.readers import read_tensors
from maskformer_jax.parts.backbones.weights import ImageFormat, backbone_weights
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
    return backbone_weights(type(model.backbone)).import_imagenet(
        read_tensors(Path(source)),
        template,
        model.backbone,
        image_format=ImageFormat(
            config.train.init_backbone_format, model.pixel_mean, model.pixel_std
        ),
        source=source,
    )
