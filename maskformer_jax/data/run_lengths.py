"""Binary masks as COCO run-length encodings, by pycocotools."""

import threading
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco_mask

RunLengths = dict[str, Any]  # {"size": [h, w], "counts": bytes}, COCO's compressed form
_WARNINGS = threading.Lock()  # warning filters are global to the process, not to the thread
# A character of COCO's compressed form holds 5 bits, a flag for more, and starts at "0".
_FIRST_CHARACTER, _BITS, _MORE, _SIGN = 48, 5, 0x20, 0x10


def encode_masks(masks: Bool[np.ndarray, "n h w"]) -> list[RunLengths]:
    """Encode each of n masks."""
    if not len(masks):
        return []
    return coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))


def decode_mask(rle: RunLengths) -> Bool[np.ndarray, "h w"]:
    """Decode one mask, which `check_run_lengths` has accepted."""
    with _WARNINGS, warnings.catch_warnings():
        # pycocotools 2.0.11 does not accept the `copy` argument that NumPy 2 passes to __array__.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return coco_mask.decode(rle).view(bool)


def check_run_lengths(rle: RunLengths) -> None:
    """Check that compressed run lengths fill their image, which pycocotools takes for granted.

    It reads memory that is not the mask's where they do not.

    Raises:
        ValueError: a run is negative, the text is cut off, or the runs have another sum.
    """
    check_runs(_decompress(rle["counts"]), rle["size"])


def check_runs(runs: Sequence[int], size: Sequence[int]) -> None:
    """Check that uncompressed run lengths fill an image of a (height, width).

    Raises:
        ValueError: a run is not a whole number from 0, or the runs have another sum.
    """
    if any(run < 0 or run != int(run) for run in runs):
        raise ValueError("a run length is negative or not a whole number")
    pixels = size[0] * size[1]
    if sum(runs) != pixels:
        raise ValueError(
            f"its run lengths add up to {int(sum(runs))}, but the image has {size[0]} x {size[1]} "
            f"= {pixels} pixels; was the mask made for an image of another size?"
        )


def mask_area(rle: RunLengths) -> int:
    """Count the pixels of a mask."""
    return int(coco_mask.area(rle))


def bounding_box(rle: RunLengths) -> tuple[float, float, float, float]:
    """Return left, top, width and height of a mask in pixels; zeros for an empty mask."""
    left, top, width, height = coco_mask.toBbox(rle).tolist()
    return left, top, width, height


def _decompress(counts: bytes) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        code = character - _FIRST_CHARACTER
        if not 0 <= code < 2 * _MORE:
            raise ValueError(f"byte {character:#04x} cannot be in compressed run lengths")
        value |= (code & (_MORE - 1)) << shift
        shift += _BITS
        if code & _MORE:
            continue
        if code & _SIGN:
            value -= 1 << shift
        # From the fourth run on, the difference to the run before the last is stored.
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("its run lengths are cut off")
    return runs
