"""A small panoptic data set drawn in code: coloured shapes on a textured background.

For tests, tutorials and smoke runs: no download, small images, learnable in minutes on a CPU, yet
with the traits of real data: stuff and things, several instances of a class, occlusion, void pixels
along outlines, and classes that cannot be told apart by colour alone.
"""

import zlib
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32

from maskformer_jax.data.example import VOID_ID, PanopticLabels, PanopticSegment
from maskformer_jax.types import VOID

IMAGE_SIZE = (96, 128)  # (height, width)
STUFF = ("sky", "grass", "water", "brick")  # labels 0..3, as in metadata/shapes.json
THINGS = ("circle", "square", "triangle", "star", "ring")  # labels 4..8

_NUM_THINGS = (2, 6)  # in one image, both included
_RADIUS = (11.0, 24.0)  # pixels, half the extent of a thing
_MIN_VISIBLE = 25  # pixels; a segment with fewer visible pixels becomes void
# Hues (degrees) of the things and their spread: neighbours overlap, so shape matters too.
_THING_HUES = (0.0, 55.0, 110.0, 275.0, 330.0)
_HUE_SPREAD = 30.0


class Drawing(NamedTuple):
    """One example; void pixels lie along the outlines of things."""

    image: Any  # uint8 [96, 128, 3], RGB
    label_map: Any  # int32 [96, 128], 0..8, -1 void
    panoptic: PanopticLabels  # the ids are 1, 2, ...; all pixels of a stuff class are one segment


def draw_example(split: str, index: int) -> Drawing:
    """Draw example `index` of a split; the same arguments always give the same drawing."""
    rng = np.random.default_rng([zlib.crc32(split.encode()), index])
    image, label_map = _draw_background(rng)
    instance_map = np.zeros(IMAGE_SIZE, np.int32)
    for number in range(1, int(rng.integers(*_NUM_THINGS, endpoint=True)) + 1):
        kind = int(rng.integers(len(THINGS)))
        mask = _draw_mask(THINGS[kind], rng)
        color = _draw_thing_color(kind, rng)
        shade = rng.uniform(0.85, 1.15, size=IMAGE_SIZE)[..., None]
        image = np.where(mask[..., None], color * shade, image).astype(np.float32)
        outline = _outline(mask)
        label_map = np.where(outline, VOID, np.where(mask, len(STUFF) + kind, label_map))
        instance_map = np.where(outline, 0, np.where(mask, number, instance_map))
    image = cv2.GaussianBlur(image, (3, 3), 0.6)
    image = image * rng.uniform(0.8, 1.15) + rng.normal(0, 6, size=image.shape)
    panoptic = _find_segments(label_map, instance_map)
    label_map = np.where(panoptic.id_map != VOID_ID, label_map, VOID).astype(np.int32)
    return Drawing(image.clip(0, 255).astype(np.uint8), label_map, panoptic)


def _find_segments(
    label_map: Int32[np.ndarray, "h w"], instance_map: Int32[np.ndarray, "h w"]
) -> PanopticLabels:
    """Number the visible segments: stuff by class, things by instance; tiny ones become void."""
    keys = np.where(label_map == VOID, -1, label_map * (_NUM_THINGS[1] + 1) + instance_map)
    id_map = np.full_like(label_map, VOID_ID)
    segments: list[PanopticSegment] = []
    for key in np.unique(keys[keys >= 0]):
        mask = keys == key
        if mask.sum() < _MIN_VISIBLE:
            continue
        segment = PanopticSegment(
            segment_id=len(segments) + 1,
            label=int(key) // (_NUM_THINGS[1] + 1),
            is_crowd=False,
            area=int(mask.sum()),
        )
        id_map[mask] = segment.segment_id
        segments.append(segment)
    return PanopticLabels(id_map, tuple(segments))


def _draw_background(
    rng: np.random.Generator,
) -> tuple[Float32[np.ndarray, "h w 3"], Int32[np.ndarray, "h w"]]:
    """Draw two or three bands of stuff with wavy borders."""
    height, width = IMAGE_SIZE
    num_bands = int(rng.integers(2, 3, endpoint=True))
    kinds = rng.permutation(len(STUFF))[:num_bands]
    label_map = np.full(IMAGE_SIZE, kinds[0], np.int32)
    row, column = np.mgrid[:height, :width]
    for band in range(1, num_bands):
        border = height * (band + rng.uniform(-0.25, 0.25)) / num_bands
        wave = rng.uniform(0, 5) * np.sin(column / rng.uniform(6, 25) + rng.uniform(0, 6.3))
        label_map[row > border + wave] = kinds[band]
    image = np.zeros((*IMAGE_SIZE, 3), np.float32)
    for kind in kinds:
        texture = _TEXTURES[kind](rng) + rng.uniform(-14, 14, size=3)
        image = np.where((label_map == kind)[..., None], texture, image).astype(np.float32)
    return image, label_map


def _smooth_noise(
    rng: np.random.Generator, *, cells: tuple[int, int]
) -> Float32[np.ndarray, "h w 1"]:
    """Draw noise of about unit deviation, `cells` (down, across) blobs in the image."""
    coarse = rng.normal(size=cells).astype(np.float32)
    return cv2.resize(coarse, IMAGE_SIZE[::-1], interpolation=cv2.INTER_CUBIC)[..., None]


def _draw_sky(rng: np.random.Generator) -> np.ndarray:
    clouds = _smooth_noise(rng, cells=(5, 5)).clip(0, None)
    return np.array([110, 165, 215]) + clouds * np.array([45, 30, 15])


def _draw_grass(rng: np.random.Generator) -> np.ndarray:
    blades = _smooth_noise(rng, cells=(40, 100))
    return np.array([75, 140, 60]) + blades * np.array([18, 26, 12])


def _draw_water(rng: np.random.Generator) -> np.ndarray:
    ripples = _smooth_noise(rng, cells=(36, 10))
    return np.array([55, 120, 165]) + ripples * np.array([22, 26, 24])


def _draw_brick(rng: np.random.Generator) -> np.ndarray:
    row, column = np.mgrid[: IMAGE_SIZE[0], : IMAGE_SIZE[1]]
    height, width = int(rng.integers(6, 9)), int(rng.integers(12, 18))
    row, column = row + rng.integers(height), column + rng.integers(width)
    course = row // height
    joint = (row % height == 0) | ((column + course * (width // 2)) % width == 0)
    clay = np.array([165, 90, 70]) + _smooth_noise(rng, cells=(12, 9)) * 12
    return np.where(joint[..., None], np.array([185, 175, 165]), clay)


_TEXTURES = (_draw_sky, _draw_grass, _draw_water, _draw_brick)  # in the order of STUFF


def _draw_thing_color(kind: int, rng: np.random.Generator) -> Float32[np.ndarray, "3"]:
    hue = (_THING_HUES[kind] + rng.uniform(-_HUE_SPREAD, _HUE_SPREAD)) % 360
    pixel = np.array([[[hue, rng.uniform(0.6, 1.0), rng.uniform(0.65, 1.0)]]], np.float32)
    return 255 * cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]


def _draw_mask(kind: str, rng: np.random.Generator) -> Bool[np.ndarray, "h w"]:
    """Draw the mask of one thing with a random position, size and rotation."""
    height, width = IMAGE_SIZE
    radius = rng.uniform(*_RADIUS)
    center = np.array([rng.uniform(0.08, 0.92) * width, rng.uniform(0.08, 0.92) * height])
    rotation = rng.uniform(0, 2 * np.pi)
    mask = np.zeros(IMAGE_SIZE, np.uint8)
    if kind in ("circle", "ring"):
        middle = (round(center[0]), round(center[1]))
        cv2.circle(mask, middle, round(radius), 1, thickness=-1)
        if kind == "ring":
            cv2.circle(mask, middle, round(radius * 0.5), 0, thickness=-1)
        return mask.astype(bool)
    corners = {"square": 4, "triangle": 3, "star": 10}[kind]
    angles = rotation + 2 * np.pi * np.arange(corners) / corners
    reach = np.full(corners, radius)
    if kind == "star":
        reach[1::2] *= 0.45  # every other corner points inwards
    points = center + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
    return mask.astype(bool)


def _outline(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels on either side of the border of a mask."""
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    pixels = mask.astype(np.uint8)
    # Unlike the default, border replication draws no outline along the edge of the image.
    grown = cv2.dilate(pixels, cross, borderType=cv2.BORDER_REPLICATE)
    shrunk = cv2.erode(pixels, cross, borderType=cv2.BORDER_REPLICATE)
    return grown != shrunk
