"""Encoding pictures and label maps as image files."""

import io
from typing import Literal

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image


def encode_image(
    picture: UInt8[np.ndarray, "h w 3"] | Integer[np.ndarray, "h w"],
    kind: Literal["png", "jpg"] = "png",
) -> bytes:
    """Encode an RGB picture as PNG or JPEG, or a uint8 or uint16 map as PNG."""
    buffer = io.BytesIO()
    if kind == "jpg":
        Image.fromarray(picture).save(buffer, "JPEG", quality=92)
    else:
        Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
