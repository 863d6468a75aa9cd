"""Photometric distortion as in SSD (Liu et al., arXiv 1512.02325, section 2.2).

Bit for bit equal to the published code: brightness and contrast are a float32 multiply-add, clipped
to 0..255 and truncated; saturation and hue act on OpenCV's 8-bit HSV. Each operation maps 8-bit
values to 8-bit values, so a 256-entry table replaces the arithmetic on the image.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

_MAX_BRIGHTNESS = 32.0  # of 255
_MULTIPLIER_RANGE = (0.5, 1.5)  # of contrast and saturation
_MAX_HUE = 18  # of 180
_NUM_HUES = 180  # OpenCV halves degrees to fit 8 bits


class ColorDistortion(NamedTuple):
    """The strength of each operation; None skips it."""

    brightness: float | None = None  # added, -32..32
    contrast: float | None = None  # factor, 0.5..1.5
    saturation: float | None = None  # factor, 0.5..1.5
    hue: int | None = None  # added in OpenCV's half degrees, -18..18
    contrast_first: bool = True  # contrast before saturation and hue, or after them


def draw_distortion(rng: np.random.Generator) -> ColorDistortion:
    """Draw each operation with probability 1/2, and one of the two orders."""

    def coin() -> bool:
        return rng.random() < 0.5

    return ColorDistortion(
        brightness=rng.uniform(-_MAX_BRIGHTNESS, _MAX_BRIGHTNESS) if coin() else None,
        contrast=rng.uniform(*_MULTIPLIER_RANGE) if coin() else None,
        saturation=rng.uniform(*_MULTIPLIER_RANGE) if coin() else None,
        hue=int(rng.integers(-_MAX_HUE, _MAX_HUE, endpoint=True)) if coin() else None,
        contrast_first=coin(),
    )


def distort_color(
    image: UInt8[np.ndarray, "h w 3"], distortion: ColorDistortion
) -> UInt8[np.ndarray, "h w 3"]:
    """Apply a distortion to an RGB image; brightness always comes first."""
    if distortion.brightness is not None:
        image = cv2.LUT(image, _affine_table(add=distortion.brightness))
    contrast = _affine_table(multiply=distortion.contrast)
    if distortion.contrast_first and distortion.contrast is not None:
        image = cv2.LUT(image, contrast)
    image = _distort_hsv(image, saturation=distortion.saturation, hue=distortion.hue)
    if not distortion.contrast_first and distortion.contrast is not None:
        image = cv2.LUT(image, contrast)
    return image


def _distort_hsv(
    image: UInt8[np.ndarray, "h w 3"], *, saturation: float | None, hue: int | None
) -> UInt8[np.ndarray, "h w 3"]:
    if saturation is not None:
        image = _map_channel(image, channel=1, table=_affine_table(multiply=saturation))
    if hue is not None:
        hues = (np.arange(256) + hue) % _NUM_HUES
        image = _map_channel(image, channel=0, table=hues.astype(np.uint8))
    return image


def _map_channel(
    image: UInt8[np.ndarray, "h w 3"], *, channel: int, table: UInt8[np.ndarray, "256"]
) -> UInt8[np.ndarray, "h w 3"]:
    # Each operation converts to HSV and back, as in the published code: the 8-bit round trip loses
    # information that a joint conversion would keep.
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., channel] = cv2.LUT(hsv[..., channel], table)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _affine_table(*, multiply: float | None = None, add: float = 0.0) -> UInt8[np.ndarray, "256"]:
    factor = np.float32(1.0 if multiply is None else multiply)
    values = np.arange(256, dtype=np.float32) * factor + np.float32(add)
    return values.clip(0, 255).astype(np.uint8)
