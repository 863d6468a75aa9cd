"""Starting from an ImageNet backbone."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from maskformer_jax.config import Config
from maskformer_jax.convert.backbones import InputFormat, resnet_to_variables
from maskformer_jax.convert.readers import read_tensors
from maskformer_jax.training.state import TrainState


def load_backbone(config: Config, state: TrainState) -> TrainState:
    """The state with the backbone of `train.init_backbone`; all else stays as it was.

    Raises:
        UserError: the file is missing or damaged, or is another network's.
    """
    variables = {"params": state.params["backbone"], "constants": state.constants["backbone"]}
    source = config.train.init_backbone
    formats: dict[str, InputFormat] = {"torchvision": "rgb_normalized", "caffe": "bgr_mean"}
    loaded = resnet_to_variables(
        read_tensors(Path(source)),
        jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), variables),
        input_format=formats[config.train.init_backbone_format],
        stride_in_1x1=config.model.backbone.stride_in_1x1,
        pixel_mean=config.model.pixel_mean,
        pixel_std=config.model.pixel_std,
        source=source,
    )
    placed: Any = jax.tree.map(
        lambda array, old: jax.device_put(array, old.sharding), loaded, variables
    )
    return state._replace(
        params={**state.params, "backbone": placed["params"]},
        constants={**state.constants, "backbone": placed["constants"]},
    )
