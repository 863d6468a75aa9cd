"""The three sizes that an image has on its way through the network."""

from typing import NamedTuple

from maskformer_jax.types import Size


class ImageSizes(NamedTuple):
    """Sizes of one image as (height, width) in pixels.

    Mask logits cover the padded input at a fraction of its size (usually a quarter). To get masks
    of the output's size, post-processing resizes to `padded_size`, crops to `image_size`, and
    resizes to `output_size`.
    """

    padded_size: Size  # of the network's input, padding included
    image_size: Size  # of the network's input without the padding at the bottom and on the right
    output_size: Size  # of the result, usually that of the original image
