"""Binary masks as COCO run-length encodings, by pycocotools."""

import threading
import warnings
from typing import Any

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco_mask

RunLengths = dict[str, Any]  # {"size": [h, w], "counts": bytes}, COCO's compressed form
_WARNINGS = threading.Lock()  # warning filters are global to the process, not to the thread


def encode_masks(masks: Bool[np.ndarray, "n h w"]) -> list[RunLengths]:
    """Encode each of n masks."""
    if not len(masks):
        return []
    return coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))


def decode_mask(rle: RunLengths) -> Bool[np.ndarray, "h w"]:
    """Decode one mask."""
    with _WARNINGS, warnings.catch_warnings():
        # pycocotools 2.0.11 does not accept the `copy` argument that NumPy 2 passes to __array__.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return coco_mask.decode(rle).view(bool)


def mask_area(rle: RunLengths) -> int:
    """Count the pixels of a mask."""
    return int(coco_mask.area(rle))


def bounding_box(rle: RunLengths) -> tuple[float, float, float, float]:
    """Return left, top, width and height of a mask in pixels; zeros for an empty mask."""
    left, top, width, height = coco_mask.toBbox(rle).tolist()
    return left, top, width, height
