"""Geometric augmentation of the COCO recipe, drawn before any image is read.

A flip, a resize and a crop of random size for some of the images, and a resize, in the order of the
published COCO panoptic mapper (after DETR, arXiv 2005.12872, appendix A.4). Everything follows from
image sizes and random numbers, so images can be batched by shape, and every process knows the shape
of a batch of which it reads only a part.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from maskformer_jax.config import AugmentConfig
from maskformer_jax.data.color import distort_color, draw_distortion
from maskformer_jax.data.transforms import resize_id_map, resize_image, shortest_edge_sizes
from maskformer_jax.types import Size

_MAX_COLOR_SEED = 2**63


class Crop(NamedTuple):
    """A window of the image after a resize to `resized`."""

    resized: Size
    rows: slice
    columns: slice


class Geometry(NamedTuple):
    """The geometric operations on one image, in this order."""

    flip: bool
    crop: Crop | None
    size: Size  # of the result
    color_seed: int  # of the colour distortion, if the recipe has one


class Geometries(NamedTuple):
    """The geometric operations on n images, as arrays."""

    flip: Any  # bool [n]
    is_cropped: Any  # bool [n]
    resized: Any  # int64 [n, 2], before the crop
    crop_start: Any  # int64 [n, 2]
    crop_size: Any  # int64 [n, 2]
    size: Any  # int64 [n, 2]
    color_seed: Any  # int64 [n]

    def take(self, index: int) -> Geometry:
        """Return the operations on one image."""
        crop = None
        if self.is_cropped[index]:
            top, left = self.crop_start[index].tolist()
            height, width = self.crop_size[index].tolist()
            resized = tuple(self.resized[index].tolist())
            crop = Crop(resized, slice(top, top + height), slice(left, left + width))
        height, width = self.size[index].tolist()
        return Geometry(bool(self.flip[index]), crop, (height, width), int(self.color_seed[index]))


def draw_geometries(
    sizes: Int[np.ndarray, "n 2"], config: AugmentConfig, rng: np.random.Generator
) -> Geometries:
    """Draw the operations on n images; `sizes` are their (height, width)."""
    n = len(sizes)
    flip = rng.random(n) < (0.5 if config.flip else 0.0)
    edges = config.pre_crop_short_edges
    is_cropped = (rng.random(n) < config.crop_probability) & bool(edges)
    resized = sizes
    if edges:
        resized = shortest_edge_sizes(sizes, rng.choice(edges, n), np.inf)
    smallest, largest = config.crop_size, config.crop_size
    if config.crop_kind == "absolute_range":
        smallest, largest = (config.crop_size[0],) * 2, (config.crop_size[1],) * 2
    crop_size = rng.integers(
        np.minimum(resized, smallest), np.minimum(resized, largest), endpoint=True
    )
    crop_start = rng.integers(0, resized - crop_size, endpoint=True)
    unscaled = np.where(is_cropped[:, None], crop_size, sizes)
    size = shortest_edge_sizes(unscaled, rng.choice(config.short_edges, n), float(config.max_size))
    color_seed = rng.integers(_MAX_COLOR_SEED, size=n)
    return Geometries(flip, is_cropped, resized, crop_start, crop_size, size, color_seed)


def transform_image(
    image: UInt8[np.ndarray, "h w 3"], geometry: Geometry, *, color: bool
) -> UInt8[np.ndarray, "new_h new_w 3"]:
    """Flip, crop and resize an image; with `color`, distort its colours."""
    image = _transform(image, geometry, resize_image)
    if color:
        distortion = draw_distortion(np.random.default_rng(geometry.color_seed))
        image = distort_color(np.ascontiguousarray(image), distortion)
    return image


def transform_map(
    values: Shaped[np.ndarray, "h w"], geometry: Geometry
) -> Shaped[np.ndarray, "new_h new_w"]:
    """Flip, crop and resize an id map (int32) or a mask (uint8), by nearest pixel."""
    return _transform(values, geometry, resize_id_map)


def _transform(
    array: np.ndarray, geometry: Geometry, resize: Callable[[np.ndarray, Size], np.ndarray]
) -> np.ndarray:
    if geometry.flip:
        array = array[:, ::-1]
    if geometry.crop is not None:
        array = resize(array, geometry.crop.resized)
        array = array[geometry.crop.rows, geometry.crop.columns]
    return resize(array, geometry.size)
