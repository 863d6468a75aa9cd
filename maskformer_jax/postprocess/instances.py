"""Instance inference: the most confident (query, class) pairs, each with its query's mask."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from maskformer_jax.packed_masks import pack_masks, unpack_masks
from maskformer_jax.postprocess.check_logits import check_logits
from maskformer_jax.postprocess.image_sizes import ImageSizes, SizeBounds
from maskformer_jax.postprocess.mask_readers import MaskBand, MaskReader, read_masks
from maskformer_jax.postprocess.pixel_counts import count_pixels
from maskformer_jax.precision import at_least_float32_dtype


class Instances(NamedTuple):
    """Masks that may overlap, in descending order of class probability."""

    masks: Any  # bool [n, H, W]; of an `instance_reader` packed, uint8 [n, H, ceil(W / 8)]
    label: Any  # int32 [n], class 0..K-1
    score: Any  # float32 [n], class probability times mean mask probability inside the mask
    valid: Any  # bool [n], False where the class is stuff or the mask is empty


def instance_inference(
    class_logits: Float[Array, "q classes"],
    mask_logits: Float[Array, "q h w"],
    is_thing: Bool[Array | np.ndarray, " k"],
    *,
    padded_size: tuple[Any, Any],
    image_size: tuple[Any, Any],
    output_size: tuple[Any, Any],
    bounds: SizeBounds | None = None,
    max_instances: int = 100,
    rows_per_band: int | None = None,
) -> Instances:
    """Find instances the way Mask2Former does (arXiv 2112.01527).

    The `max_instances` largest of all query x class probabilities are taken, so one query can give
    several instances of different classes. Those of stuff classes are invalid.

    Args:
        class_logits: of one image and the last decoder layer, no-object last.
        mask_logits: before the sigmoid, covering the padded input.
        is_thing: which of the K classes are things.
        padded_size: of the input after padding.
        image_size: of the input before padding.
        output_size: usually that of the original image.
        bounds: where the three sizes are data: what is known of them beforehand.
        max_instances: n, clipped to Q times K.
        rows_per_band: output rows computed at once; by default chosen to bound memory.
    """
    check_logits(class_logits, mask_logits, is_thing)
    sizes = ImageSizes(padded_size, image_size, output_size, bounds)
    reader = instance_reader(
        class_logits.astype(at_least_float32_dtype(mask_logits.dtype)),
        is_thing,
        max_instances=max_instances,
    )
    (found,) = read_masks(mask_logits, [reader], sizes=sizes, rows_per_band=rows_per_band)
    return found._replace(masks=unpack_masks(found.masks, sizes.output_bound[1]))


def instance_reader(
    class_logits: Float[Array, "q classes"],
    is_thing: Bool[Array | np.ndarray, " k"],
    *,
    max_instances: int,
) -> MaskReader:
    """`instance_inference` as a reader of masks, which packs those of the instances.

    Args:
        class_logits: at least float32.
        is_thing: which of the K classes are things.
        max_instances: n, clipped to Q times K.
    """
    num_classes = class_logits.shape[1] - 1
    probabilities = jax.nn.softmax(class_logits, axis=-1)[:, :-1]
    num_instances = min(max_instances, probabilities.size)
    class_score, pair = jax.lax.top_k(probabilities.ravel(), num_instances)
    query, label = pair // num_classes, (pair % num_classes).astype(jnp.int32)

    def read(band: MaskBand) -> tuple[Array, tuple[Array, Array]]:
        inside = (band.logits > 0) & band.is_output[None]
        total = jnp.where(inside, band.probabilities, 0).sum(axis=(1, 2))
        return pack_masks(inside)[query], (total, count_pixels(inside))

    def finish(packed: Array, sums: tuple[Array, Array]) -> Instances:
        total, area = sums
        area = area[query]
        # The small constant keeps an empty mask from dividing by zero.
        mask_score = total[query] / (area.astype(class_logits.dtype) + 1e-6)
        return Instances(
            masks=packed,
            label=label,
            score=class_score * mask_score,
            valid=jnp.asarray(is_thing)[label] & (area > 0),
        )

    return MaskReader(read, finish, channels=max(len(class_logits), num_instances))
