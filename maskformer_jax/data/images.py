"""Encoded files to arrays: photographs as 8-bit RGB, label maps with their stored values.

Pillow decodes and resizes because the published models were trained and tested on its pixels.
"""

import io
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageOps

from maskformer_jax.config import Size
from maskformer_jax.errors import UserError

_EXIF_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # orientations that swap height and width
_LABEL_MODES = ("L", "P", "1", "I", "I;16", "I;16B", "I;16L")


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        UserError: it is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def decode_image(data: bytes, *, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes a photograph to RGB as it is meant to be seen: the EXIF orientation is applied.

    Greyscale is repeated over the channels, CMYK and palettes are converted, alpha is dropped
    (as in the published pipeline), and 16-bit values keep their high byte.

    Args:
        data: a JPEG, PNG or another format that Pillow knows.
        name: what error messages call it, normally the path.

    Raises:
        UserError: the data is truncated, damaged, or no image of integers.
    """
    image = _load(data, name=name, upright=True)
    if image.mode == "F":
        raise UserError(f"{name}: holds floating-point pixels; save it as 8-bit RGB")
    if image.mode.startswith("I"):
        # Pillow's own conversion clips at 255, which would turn nearly all pixels white.
        high_byte = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(high_byte[..., None], 3, axis=2)
    return np.array(image.convert("RGB"))


def load_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Reads a photograph as upright RGB.

    Raises:
        UserError: it is missing or damaged.
    """
    return decode_image(read_bytes(path), name=str(path))


def read_image_size(source: Path | bytes, *, name: str) -> Size:
    """(height, width) of a photograph as `decode_image` gives it, from the file's header alone.

    Raises:
        UserError: it is missing, or no image.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            turned = image.getexif().get(_EXIF_ORIENTATION, 1) in _TURNED
            return (image.width, image.height) if turned else (image.height, image.width)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {name}") from error
    except Exception as error:  # as in `_load`
        raise _undecodable(name, error) from error


def decode_label_map(data: bytes, *, name: str) -> Integer[np.ndarray, "h w"]:
    """Decodes a label map to its stored values; of a palette image these are the indices.

    Raises:
        UserError: the data is truncated or damaged, or is a picture with colour channels.
    """
    image = _load(data, name=name, upright=False)
    if image.mode not in _LABEL_MODES:
        raise UserError(
            f"{name}: a label map has one channel with the class of each pixel (8 or 16 bit, or a "
            f"palette), but this is a {image.mode} picture"
        )
    values = np.array(image)
    return values.astype(np.uint8) if values.dtype == bool else values


def _load(data: bytes, *, name: str, upright: bool) -> Image.Image:
    try:
        image: Image.Image = Image.open(io.BytesIO(data))
        image.load()
        if upright:
            image = ImageOps.exif_transpose(image)
    # Damaged data makes the decoders raise almost anything: OSError, SyntaxError, ValueError,
    # struct.error, DecompressionBombError, ...
    except Exception as error:
        raise _undecodable(name, error) from error
    return image


def _undecodable(name: str, error: Exception) -> UserError:
    reason = "no known image format" if "cannot identify" in str(error) else str(error)
    return UserError(f"{name}: cannot be decoded ({reason}); the file is damaged")
