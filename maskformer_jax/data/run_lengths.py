"""Masks in COCO's run lengths, by pycocotools."""

import threading
import warnings
from typing import Any

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco_mask

RunLengths = dict[str, Any]  # {"size": [h, w], "counts": bytes}
_WARNINGS = threading.Lock()  # the filters of warnings are the whole program's, not a thread's


def encode_masks(masks: Bool[np.ndarray, "n h w"]) -> list[RunLengths]:
    """Run lengths of each mask."""
    if not len(masks):
        return []
    return coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))


def decode_mask(rle: RunLengths) -> Bool[np.ndarray, "h w"]:
    """The mask of which these are the run lengths."""
    with _WARNINGS, warnings.catch_warnings():
        # pycocotools 2.0.11 knows nothing of an argument that NumPy 2 passes.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return coco_mask.decode(rle).view(bool)


def bounding_box(rle: RunLengths) -> tuple[float, float, float, float]:
    """Left, top, width and height in pixels."""
    left, top, width, height = coco_mask.toBbox(rle).tolist()
    return left, top, width, height
