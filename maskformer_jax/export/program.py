"""What an exported file computes: from an image of any size in a bucket to its segmentation."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array
from jaxtyping import Int, UInt8

from maskformer_jax.categories import Category
from maskformer_jax.config import Config
from maskformer_jax.evaluation.buckets import Bucket
from maskformer_jax.evaluation.inference import make_inference, make_network
from maskformer_jax.export.pillow_resize import resize_image
from maskformer_jax.models.build import inference_model
from maskformer_jax.packed_masks import unpack_masks
from maskformer_jax.postprocess.image_sizes import MapWork, SizeBounds
from maskformer_jax.precision import precision_of_masks, resolve_precision
from maskformer_jax.resize import padded_size

ExportedProgram = Callable[[Any, Array, Array, Array], dict[str, Array]]


def make_program(
    model: Any, config: Config, categories: Sequence[Category], bucket: Bucket
) -> ExportedProgram:
    """A function from variables, an image, its size and the network's size to results.

    The image is uint8 RGB of the bucket's output size; it stands in the upper left corner. Results
    are cut to its size by whoever calls. Names and values of results:

    - `semantic`: int32 [H, W], labels 0..K-1, -1 for none;
    - `panoptic`: int32 [H, W], segment ids 1..n, 0 for none; `segment_valid`, `segment_label`,
      `segment_is_thing` and `segment_score` have one entry for each id, from 1;
    - `instance_masks`: bool [N, H, W]; `instance_valid`, `instance_label`, `instance_score`.

    Args:
        model: a MaskFormer or a per-pixel baseline.
        config: its recipe.
        categories: K categories in label order.
        bucket: the largest sizes.
    """
    divisor = config.model.size_divisibility
    precision = resolve_precision(
        config.model.matmul_precision, compute_dtype=config.model.compute_dtype, train=False
    )
    bounds = SizeBounds(
        padded_size(bucket.image_size, divisor),
        bucket.output_size,
        bucket.shrinkage,
        MapWork(precision=precision_of_masks(precision)),
    )
    inference = make_inference(
        make_network(inference_model(model).apply, precision=precision),
        config.eval,
        categories,
        sizes=bounds,
        exact=False,
        one_by_one=False,
    )
    reduction = largest_reduction(bucket, config)

    def program(
        variables: Any,
        image: UInt8[Array, "h w 3"],
        size: Int[Array, "2"],
        network_size: Int[Array, "2"],
    ) -> dict[str, Array]:
        resized = resize_image(
            image, size, network_size, bounds=bucket.image_size, reduction=reduction
        )
        padded = network_size
        if divisor:
            padded = (network_size + divisor - 1) // divisor * divisor
        sizes = jnp.stack([padded, network_size, size]).astype(jnp.int32)
        outputs = inference(variables, (resized[None], sizes[None]))
        results = {"semantic": outputs.semantic}
        if outputs.panoptic is not None:
            found = outputs.panoptic
            results |= {
                "panoptic": found.id_map,
                "segment_valid": found.valid,
                "segment_label": found.label,
                "segment_is_thing": found.is_thing,
                "segment_score": found.score,
            }
        if outputs.instances is not None:
            results |= {
                "instance_masks": unpack_masks(outputs.instances.masks, bucket.output_size[1]),
                "instance_valid": outputs.instances.valid,
                "instance_label": outputs.instances.label,
                "instance_score": outputs.instances.score,
            }
        return {name: value[0] for name, value in results.items() if value is not None}

    return program


def largest_reduction(bucket: Bucket, config: Config) -> float:
    """At least each side of an image in the bucket over that of the network's input."""
    if not config.eval.short_edge:
        return 1.0
    height, width = bucket.output_size
    # One more pixel than the limits, since sizes are rounded.
    shorter = min(height, width) / max(config.eval.short_edge - 1, 1)
    longer = max(height, width) / max(config.eval.max_size - 1, 1)
    return max(shorter, longer, 1.0)
