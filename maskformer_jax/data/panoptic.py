"""Panoptic annotations: segment ids as colours, consistency checks, label maps and instances."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Int32, Integer, UInt8

from maskformer_jax.categories import Category
from maskformer_jax.data.example import VOID_ID, Instance, PanopticLabels, PanopticSegment
from maskformer_jax.data.images import decode_image, decode_label_map, is_grey
from maskformer_jax.data.run_lengths import bounding_box, encode_masks
from maskformer_jax.errors import UserError
from maskformer_jax.types import VOID

_MAX_LISTED = 5  # ids in a message


def decode_ids(rgb: UInt8[np.ndarray, "h w 3"]) -> Int32[np.ndarray, "h w"]:
    """Decode the colours of a panoptic PNG to segment ids, R + 256 G + 65536 B."""
    red, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    return red + (green << 8) + (blue << 16)


def decode_id_map(data: bytes, *, name: str) -> Int32[np.ndarray, "h w"]:
    """Decode a panoptic PNG to segment ids; the values of a grey one are the ids themselves.

    Raises:
        UserError: the data is truncated or damaged, or no image.
    """
    if is_grey(data, name=name):
        return decode_label_map(data, name=name).astype(np.int32)
    return decode_ids(decode_image(data, name=name))


def encode_ids(id_map: Integer[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Encode segment ids 0..2^24 - 1 as the colours of a panoptic PNG; inverts `decode_ids`."""
    return np.stack([(id_map >> shift) & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)


def check_segments(panoptic: PanopticLabels, *, name: str, allow_hidden: bool = False) -> None:
    """Check that the id map and the list of segments have the same ids.

    Args:
        panoptic: the annotation.
        name: of its files, for messages.
        allow_hidden: whether a listed segment may have no pixels.

    Raises:
        UserError: an id other than 0 is in only one of the two, 0 is listed, or an id is listed
            twice.
    """
    ids = [segment.segment_id for segment in panoptic.segments]
    if VOID_ID in ids:
        raise UserError(
            f"{name}: a segment has id {VOID_ID}, which marks void pixels; number segments from 1"
        )
    if len(set(ids)) < len(ids):
        repeated = sorted({value for value in ids if ids.count(value) > 1})
        raise UserError(f"{name}: several segments have id {_join(repeated)}; ids must be unique")
    # Counting is several times faster than np.unique, which sorts.
    index = replace_ids(panoptic.id_map, ids, range(len(ids)))
    unlisted = panoptic.id_map[(index == VOID) & (panoptic.id_map != VOID_ID)]
    if unlisted.size:
        raise UserError(
            f"{name}: the PNG has segment ids that segments_info does not list: "
            f"{_join(np.unique(unlisted).tolist())}; every pixel must have a listed id or 0 (void)"
        )
    pixels = np.bincount(index.ravel() + 1, minlength=len(ids) + 1)[1:]
    if not allow_hidden and (hidden := sorted(np.array(ids)[pixels == 0].tolist())):
        raise UserError(
            f"{name}: segments_info lists segment ids that no pixel has: {_join(hidden)}"
        )


def fill_areas(panoptic: PanopticLabels) -> PanopticLabels:
    """Give segments without a stated area (-1) the number of their pixels."""
    if all(segment.area >= 0 for segment in panoptic.segments):
        return panoptic
    ids, counts = np.unique(panoptic.id_map, return_counts=True)
    areas = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    segments = tuple(
        segment if segment.area >= 0 else segment._replace(area=areas.get(segment.segment_id, 0))
        for segment in panoptic.segments
    )
    return PanopticLabels(panoptic.id_map, segments)


def to_label_map(panoptic: PanopticLabels) -> Int32[np.ndarray, "h w"]:
    """Return the label of every pixel, -1 where it is void or crowd."""
    segments = [segment for segment in panoptic.segments if not segment.is_crowd]
    values = [segment.label for segment in segments]
    return replace_ids(panoptic.id_map, [segment.segment_id for segment in segments], values)


def replace_ids(
    id_map: Int32[np.ndarray, "h w"], ids: Iterable[int], values: Iterable[int]
) -> Int32[np.ndarray, "h w"]:
    """Replace `ids[i]` by `values[i]`, and ids that are not listed by -1."""
    known = np.fromiter(ids, np.int64)
    order = np.argsort(known)
    known, replacement = known[order], np.fromiter(values, np.int32)[order]
    if not len(known) or not id_map.size:
        return np.full_like(id_map, VOID)
    # Along a row ids rarely change: looking up one id per run is twenty times less work.
    flat = id_map.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    run_ids = flat[starts]
    index = np.minimum(np.searchsorted(known, run_ids), len(known) - 1)
    found = np.where(known[index] == run_ids, replacement[index], np.int32(VOID))
    return np.repeat(found, np.diff(starts, append=flat.size)).reshape(id_map.shape)


def to_instances(panoptic: PanopticLabels, categories: Sequence[Category]) -> tuple[Instance, ...]:
    """Return the things of a panoptic annotation as instances."""
    return tuple(
        make_instance(
            panoptic.id_map == segment.segment_id,
            segment.label,
            is_crowd=segment.is_crowd,
            area=segment.area,
        )
        for segment in panoptic.segments
        if categories[segment.label].is_thing
    )


def make_instance(
    mask: Bool[np.ndarray, "h w"], label: int, *, is_crowd: bool, area: int
) -> Instance:
    """Return an instance with the bounding box of its mask."""
    [rle] = encode_masks(mask[None])
    return Instance(
        label=label, is_crowd=is_crowd, area=float(area), bbox=bounding_box(rle), rle=rle
    )


def segments_in_map(
    id_map: Int32[np.ndarray, "h w"], labels: dict[int, int]
) -> tuple[PanopticSegment, ...]:
    """List the segments of an id map in the order of their ids, with `labels` by segment id."""
    ids, areas = np.unique(id_map, return_counts=True)
    return tuple(
        PanopticSegment(segment_id=value, label=labels[value], is_crowd=False, area=area)
        for value, area in zip(ids.tolist(), areas.tolist(), strict=True)
        if value != VOID_ID
    )


def segment_box(mask: Bool[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """Return top, left, bottom, right of a mask, the last two exclusive; zeros if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _join(values: list[int]) -> str:
    more = f" and {len(values) - _MAX_LISTED} more" if len(values) > _MAX_LISTED else ""
    return ", ".join(map(str, values[:_MAX_LISTED])) + more
