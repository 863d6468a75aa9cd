"""What a model costs: its parameters and the multiply-adds of segmenting one image."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from maskformer_jax.config import Config, Size
from maskformer_jax.models.build import build_model
from maskformer_jax.zoo.multiply_adds import count_multiply_adds

# ResizeShortestEdge (800, 1333) makes about this area of the images of COCO val2017.
COCO_SIZE = (800, 1120)


class ModelCost(NamedTuple):
    """Size and cost of a model."""

    parameters: int  # trained ones; frozen batch norms are constants
    multiply_adds: int  # of one image of `input_size`
    input_size: Size


def measure_cost(config: Config, *, num_classes: int) -> ModelCost:
    """Count the parameters of a recipe's model and the multiply-adds of its inference.

    The image has the size at which the paper's table 1 counts, the training crop; for COCO
    panoptic, where table 3 averages over a hundred validation images, one of their usual size.

    Counted is what inference needs: the network with the heads on its last decoder layer, and the
    sum over queries of class times mask probability (paper section 3.4) at the size of the image.
    Resizes are not. Only traced, in about a second.

    Args:
        config: the recipe.
        num_classes: K.
    """
    model_config = dataclasses.replace(
        config.model,
        transformer_decoder=dataclasses.replace(
            config.model.transformer_decoder, deep_supervision=False
        ),
    )
    model = build_model(model_config, num_classes=num_classes)
    input_size = config.data.augment.crop_size
    if config.data.augment.crop_kind == "absolute_range":
        input_size = COCO_SIZE
    shapes: dict[str, Any] = {}

    def start(images: jax.Array) -> jax.Array:
        # Initialising runs the network once; nothing random is a product.
        outputs, variables = model.init_with_output(jax.random.key(0), images)
        shapes["params"] = variables["params"]
        return outputs.mask_logits

    images = jax.ShapeDtypeStruct((1, *input_size, 3), jnp.uint8)
    multiply_adds = count_multiply_adds(start, images)
    if config.model.head == "mask_classification":
        num_queries = config.model.transformer_decoder.num_queries
        multiply_adds += num_queries * num_classes * math.prod(input_size)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
    return ModelCost(parameters, multiply_adds, input_size)
