"""The three sizes that an image has on its way through the network."""

from typing import Any, NamedTuple

import jax

from maskformer_jax.types import Size


class MapWork(NamedTuple):
    """How a device works on the maps of an image (docs/benchmarks.md)."""

    # Of the float32 maps that are computed at a time, at the width of the output.
    band_bytes: int = 4 * 2**20
    # The rows of a band are a multiple of it.
    row_multiple: int = 1
    # Columns of a result that are mixed in one product, at least.
    block: int = 64
    read_by_block: bool = False  # what is read from a result, before its columns are joined
    precision: jax.lax.Precision = jax.lax.Precision.HIGHEST  # of products


def map_work(platform: str, precision: jax.lax.Precision) -> MapWork:
    """How devices of a platform work on maps, given the precision of their products.

    Caches hold 4 MiB, which halves the time on a CPU. A TPU loses time with every turn of a loop;
    it keeps 32 rows of booleans together, and multiplies matrices of 128 rows: those that 125
    columns are mixed from.
    """
    if platform == "tpu":
        return MapWork(
            band_bytes=64 * 2**20,
            row_multiple=32,
            block=125,
            read_by_block=True,
            precision=precision,
        )
    return MapWork(precision=precision)


class SizeBounds(NamedTuple):
    """What a program must know of images whose sizes are data.

    The arrays have the largest sizes; what lies outside of an image's own has no meaning.
    """

    padded_size: Size  # of the batch that went through the network
    output_size: Size  # at least that of every result
    shrinkage: float  # at least each side of every image over that of its result
    work: MapWork = MapWork()


class ImageSizes(NamedTuple):
    """Sizes of one image as (height, width) in pixels.

    Mask logits cover the padded input at a fraction of its size (usually a quarter). To get masks
    of the output's size, post-processing resizes to `padded_size`, crops to `image_size`, and
    resizes to `output_size`.

    With `bounds`, the three sizes are int32 scalars, known only when the program runs.
    """

    padded_size: tuple[Any, Any]  # of the network's input, padding included
    image_size: tuple[Any, Any]  # of its input without the padding at the bottom and on the right
    output_size: tuple[Any, Any]  # of the result, usually that of the original image
    bounds: SizeBounds | None = None

    @property
    def output_bound(self) -> Size:
        """The size of the arrays that hold results."""
        return self.output_size if self.bounds is None else self.bounds.output_size

    @property
    def work(self) -> MapWork:
        """How the device works on maps."""
        return MapWork() if self.bounds is None else self.bounds.work
