"""The three sizes that an image has on its way through the network."""

from typing import Any, NamedTuple

from maskformer_jax.types import Size

# Of the float32 maps that are computed at a time, at the width of the output. Caches hold 4 MiB,
# which halves the time on a CPU; a TPU loses time with every turn of a loop (docs/benchmarks.md).
BAND_BYTES = {"cpu": 4 * 2**20, "tpu": 64 * 2**20}
DEFAULT_BAND_BYTES = BAND_BYTES["cpu"]


class SizeBounds(NamedTuple):
    """What a program must know of images whose sizes are data.

    The arrays have the largest sizes; what lies outside of an image's own has no meaning.
    """

    padded_size: Size  # of the batch that went through the network
    output_size: Size  # at least that of every result
    shrinkage: float  # at least each side of every image over that of its result
    band_bytes: int = DEFAULT_BAND_BYTES  # of the maps that are computed at a time


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
