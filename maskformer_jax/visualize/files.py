"""Pictures and maps as the bytes of an image file."""

import io
from typing import Literal

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image


def encode_image(
    picture: UInt8[np.ndarray, "h w 3"] | Integer[np.ndarray, "h w"],
    kind: Literal["png", "jpg"] = "png",
) -> bytes:
    """A PNG or JPEG of an RGB picture, or a PNG of a map of uint8 or uint16."""
    buffer = io.BytesIO()
    if kind == "jpg":
        Image.fromarray(picture).save(buffer, "JPEG", quality=92)
    else:
        Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
