"""Decoding of image files: photographs to 8-bit RGB, label maps to their stored values.

Pillow decodes and resizes because the published models were trained and evaluated with it.
"""

import io
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageOps

from maskformer_jax.data.orientation import swaps_sides
from maskformer_jax.errors import UserError
from maskformer_jax.types import Size

_GREY_MODES = ("L", "1", "I", "I;16", "I;16B", "I;16L")
_LABEL_MODES = (*_GREY_MODES, "P")
_LOSSY = ("JPEG", "MPO")


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        UserError: the file is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def decode_image(data: bytes, *, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a photograph to upright RGB, applying its EXIF orientation.

    Greyscale is repeated over the channels, CMYK and palettes are converted, alpha is dropped
    (as in the published pipeline), and of 16-bit values the high byte is kept.

    Args:
        data: a JPEG, PNG or any other format that Pillow reads.
        name: of the image in error messages, normally its path.

    Raises:
        UserError: the data is truncated or damaged, not an image, or has floating-point pixels.
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
    """Read a photograph as upright RGB.

    Raises:
        UserError: the file is missing or damaged.
    """
    return decode_image(read_bytes(path), name=str(path))


def read_image_size(source: Path | bytes, *, name: str) -> Size:
    """Return the (height, width) that `decode_image` would give, from the file's header alone.

    Raises:
        UserError: the file is missing or not an image.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            transposed = swaps_sides(image)
            return (image.width, image.height) if transposed else (image.height, image.width)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {name}") from error
    except Exception as error:  # as in `_load`
        raise _undecodable(name, error) from error


def decode_label_map(data: bytes, *, name: str) -> Integer[np.ndarray, "h w"]:
    """Decode a label map to its stored values; for a palette image, to the palette indices.

    Raises:
        UserError: the data is truncated or damaged, or the image has colour channels.
    """
    image = _load(data, name=name, upright=False)
    if image.mode not in _LABEL_MODES:
        raise UserError(
            f"{name}: the image mode is {image.mode}, but a label map must have one channel (8 or "
            "16 bit, or a palette) with the class of each pixel; for masks whose colours are "
            "classes, give a colour table (docs/datasets.md)"
        )
    values = np.array(image)
    return values.astype(np.uint8) if values.dtype == bool else values


def decode_color_map(data: bytes, *, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a label map whose colours are classes.

    Raises:
        UserError: the data is truncated or damaged, or the image is lossy: JPEG changes colours.
    """
    image = _load(data, name=name, upright=False)
    if image.format in _LOSSY:
        raise UserError(
            f"{name}: is a {image.format}, which does not keep the colours of classes; save label "
            "maps as PNG"
        )
    return np.array(image.convert("RGB"))


def is_grey(data: bytes, *, name: str) -> bool:
    """Whether an image has one channel of values; a palette's are colours.

    Raises:
        UserError: the data is not an image.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.mode in _GREY_MODES
    except Exception as error:  # as in `_load`
        raise _undecodable(name, error) from error


def check_same_size(image_size: tuple[int, ...], label_size: tuple[int, ...], *, name: str) -> None:
    """Raise a UserError unless an image and its annotation have the same (height, width)."""
    if image_size == label_size:
        return
    (height, width), (label_height, label_width) = image_size, label_size
    swapped = (width, height) == (label_height, label_width)
    hint = " (is the image rotated by its EXIF tag?)" if swapped else ""
    raise UserError(
        f"{name}: the image is {height} x {width} (height x width), but its label map is "
        f"{label_height} x {label_width}; they must be the same size{hint}"
    )


def _load(data: bytes, *, name: str, upright: bool) -> Image.Image:
    try:
        image: Image.Image = Image.open(io.BytesIO(data))
        image.load()
        if upright:
            image = ImageOps.exif_transpose(image)
    # On damaged data decoders raise almost anything: OSError, SyntaxError, ValueError,
    # struct.error, DecompressionBombError, ...
    except Exception as error:
        raise _undecodable(name, error) from error
    return image


def _undecodable(name: str, error: Exception) -> UserError:
    if isinstance(error, Image.DecompressionBombError):
        return UserError(
            f"{name}: is too large ({error}); cut it into tiles, or shrink it. Pillow refuses such "
            "images because a small file could fill the memory"
        )
    reason = "unknown image format" if "cannot identify" in str(error) else str(error)
    return UserError(f"{name}: cannot be decoded ({reason}); the file is damaged")
