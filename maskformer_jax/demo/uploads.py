"""From the bytes of an upload to an image, within bounds."""

import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from maskformer_jax.data.images import decode_image
from maskformer_jax.data.transforms import resize_image, shortest_edge_size
from maskformer_jax.errors import UserError

NAME = "the upload"  # its own name is not used for anything


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an upload may be."""

    megabytes: float = 20.0  # of the file
    megapixels: float = 40.0  # of the image in it
    side: int = 1600  # pixels; larger images are shrunk before they are segmented

    @property
    def most_bytes(self) -> int:
        """Of the file."""
        return int(self.megabytes * 1e6)


class TooLargeError(UserError):
    """An upload exceeds a limit."""


def decode_upload(data: bytes, limits: Limits) -> UInt8[np.ndarray, "h w 3"]:
    """Decode an image and shrink it to the largest side allowed.

    The number of pixels is read from the header first, so that a small file which would fill the
    memory is refused before it is decoded.

    Raises:
        TooLargeError: the image has too many pixels.
        UserError: the data is not an image, or is damaged.
    """
    pixels = _count_pixels(data)
    if pixels is None or pixels > 1e6 * limits.megapixels:
        count = "too many" if pixels is None else f"{pixels / 1e6:.0f}"
        raise TooLargeError(
            f"{NAME}: has {count} megapixels, but at most {limits.megapixels:g} are taken"
        )
    image = decode_image(data, name=NAME)
    if max(image.shape[:2]) <= limits.side:
        return image
    size = shortest_edge_size(image.shape[:2], limits.side, limits.side)
    return resize_image(image, size)


def _count_pixels(data: bytes) -> int | None:
    """The pixels that the header announces, 0 without a header; None above Pillow's own limit."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.width * image.height
    except Image.DecompressionBombError:
        return None
    except Exception:  # decoders raise almost anything; decoding will say what is wrong
        return 0
