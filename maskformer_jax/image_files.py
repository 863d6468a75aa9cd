"""Encoding pictures and label maps as image files."""

import io
from typing import Literal

import numpy as np
from PIL import Image

JPEG_QUALITY = 92


def encode_image(picture: np.ndarray, kind: Literal["png", "jpg", "tif"] = "png") -> bytes:
    """Encode an RGB picture [h, w, 3] or a map [h, w], losslessly as PNG or TIFF, or as JPEG.

    Args:
        picture: uint8; maps may also be uint16.
        kind: the suffix of the format; "jpg" is for pictures only.
    """
    buffer = io.BytesIO()
    if kind == "jpg":
        Image.fromarray(picture).save(buffer, "JPEG", quality=JPEG_QUALITY)
    else:
        Image.fromarray(picture).save(buffer, "TIFF" if kind == "tif" else "PNG")
    return buffer.getvalue()


def encode_palette(values: np.ndarray, palette: np.ndarray) -> bytes:
    """Encode a map uint8 [h, w] as a PNG that shows the colours of a palette uint8 [256, 3].

    Programs that read palettes as values get the map back.
    """
    image = Image.fromarray(values)
    image.putpalette(palette.ravel().tolist())
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
