"""Small drawn images whose annotations are known."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

SIZES = ((24, 32), (32, 24), (24, 40))  # of the images of a split


class Scene(NamedTuple):
    image: np.ndarray  # uint8 [h, w, 3]
    blocks: np.ndarray  # int [h, w], 0..3: quarters; the last is void or background


def draw_scene(number: int) -> Scene:
    """Draw four rectangles, each of a single grey."""
    height, width = SIZES[number % len(SIZES)]
    rows = (np.arange(height) >= height // 2).astype(int)[:, None]
    columns = (np.arange(width) >= width // 3).astype(int)[None]
    blocks = 2 * rows + columns
    image = np.repeat((60 * blocks + 10 + number).astype(np.uint8)[..., None], 3, axis=2)
    return Scene(image, blocks)


def save(path: Path, array: np.ndarray, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def write_json(path: Path, fields: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields))
