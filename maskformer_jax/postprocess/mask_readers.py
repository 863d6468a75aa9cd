"""Reading the masks of all queries at the size of the output, in one pass over bands of rows.

Panoptic, instance and general inference, and semantic inference of the panoptic models, read the
same masks. Resizing them costs more than all that is read from them, so a `MaskReader` says what an
inference makes of a band, and several of them share one pass.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax import Array
from jaxtyping import Bool, Float

from maskformer_jax.postprocess.image_sizes import ImageSizes
from maskformer_jax.postprocess.masks import output_masks
from maskformer_jax.postprocess.row_bands import map_bands


class MaskBand(NamedTuple):
    """The masks of all queries in n rows of the output."""

    logits: Float[Array, "q n w"]
    probabilities: Float[Array, "q n w"]
    is_output: Bool[Array, "n _"]  # False outside of the output


class MaskReader(NamedTuple):
    """What an inference reads from masks."""

    # To two trees of arrays: rows of maps, and what is added up over bands (`map_bands`).
    read: Callable[[MaskBand], tuple[Any, Any]]
    finish: Callable[[Any, Any], Any]  # from whole maps and sums
    channels: int  # how many maps `read` holds at once


def read_masks(
    mask_logits: Float[Array, "q h w"],
    readers: Sequence[MaskReader],
    *,
    sizes: ImageSizes,
    rows_per_band: int | None = None,
) -> tuple[Any, ...]:
    """The results of all readers.

    Args:
        mask_logits: of one image, before the sigmoid, covering the padded input.
        readers: any number.
        sizes: of the image.
        rows_per_band: output rows computed at once; by default chosen to bound memory.
    """
    masks = output_masks(mask_logits, sizes)

    def read_band(rows: Array, is_output: Array) -> tuple[Any, Any]:
        logits = masks(rows)
        band = MaskBand(logits, jax.nn.sigmoid(logits), is_output)
        maps, sums = zip(*(reader.read(band) for reader in readers), strict=True)
        return maps, sums

    maps, sums = map_bands(
        read_band,
        sizes=sizes,
        channels=max(len(mask_logits), *(reader.channels for reader in readers)),
        rows_per_band=rows_per_band,
    )
    return tuple(reader.finish(*read) for reader, *read in zip(readers, maps, sums, strict=True))
