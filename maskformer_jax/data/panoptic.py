"""Panoptic annotations: segment ids as colours, checks, and what follows from them."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from maskformer_jax.categories import Category
from maskformer_jax.data.example import Instance, PanopticLabels, PanopticSegment
from maskformer_jax.data.run_lengths import bounding_box, encode_masks
from maskformer_jax.errors import UserError

_VOID = -1
_SHOWN = 5  # ids that a message lists


def decode_ids(rgb: UInt8[np.ndarray, "h w 3"]) -> Int32[np.ndarray, "h w"]:
    """Segment ids R + 256 G + 65536 B."""
    red, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    return red + (green << 8) + (blue << 16)


def encode_ids(id_map: Int32[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """The inverse of `decode_ids`, for ids in 0..2^24 - 1."""
    return np.stack([(id_map >> shift) & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)


def check_segments(panoptic: PanopticLabels, *, name: str, may_hide: bool = False) -> None:
    """Holds the ids in the map against the list of segments.

    Args:
        panoptic: the annotation.
        name: of its files, for messages.
        may_hide: whether a listed segment may have no pixel.

    Raises:
        UserError: an id other than 0 is in one of them only, or the list has one twice.
    """
    ids = [segment.segment_id for segment in panoptic.segments]
    if len(set(ids)) < len(ids):
        twice = sorted({value for value in ids if ids.count(value) > 1})
        raise UserError(f"{name}: several segments have the id {_list(twice)}; ids must differ")
    # Counting is several times faster than np.unique, which sorts.
    place = replace_ids(panoptic.id_map, ids, range(len(ids)))
    unlisted = panoptic.id_map[(place == _VOID) & (panoptic.id_map != 0)]
    if unlisted.size:
        raise UserError(
            f"{name}: the picture has segment ids that segments_info does not list: "
            f"{_list(np.unique(unlisted).tolist())}; each pixel must hold a listed id or 0 (void)"
        )
    drawn = np.bincount(place.ravel() + 1, minlength=len(ids) + 1)[1:]
    if not may_hide and (undrawn := sorted(np.array(ids)[drawn == 0].tolist())):
        raise UserError(
            f"{name}: segments_info lists segment ids that no pixel has: {_list(undrawn)}"
        )


def to_label_map(panoptic: PanopticLabels) -> Int32[np.ndarray, "h w"]:
    """The class of every pixel, -1 where it is void or crowd."""
    segments = [segment for segment in panoptic.segments if not segment.is_crowd]
    values = [segment.label for segment in segments]
    return replace_ids(panoptic.id_map, [segment.segment_id for segment in segments], values)


def replace_ids(
    id_map: Int32[np.ndarray, "h w"], ids: Iterable[int], values: Iterable[int]
) -> Int32[np.ndarray, "h w"]:
    """The value that belongs to each pixel's id, -1 for ids that are not listed."""
    known = np.fromiter(ids, np.int64)
    order = np.argsort(known)
    known, wanted = known[order], np.fromiter(values, np.int32)[order]
    if not len(known) or not id_map.size:
        return np.full_like(id_map, _VOID)
    # Ids hardly change along a row, and looking up where they do is twenty times less work.
    flat = id_map.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    numbers = flat[starts]
    place = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    found = np.where(known[place] == numbers, wanted[place], np.int32(_VOID))
    return np.repeat(found, np.diff(starts, append=flat.size)).reshape(id_map.shape)


def to_instances(panoptic: PanopticLabels, categories: Sequence[Category]) -> tuple[Instance, ...]:
    """The things of a panoptic annotation."""
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
    """An instance with the box around its mask."""
    [rle] = encode_masks(mask[None])
    return Instance(
        label=label, is_crowd=is_crowd, area=float(area), bbox=bounding_box(rle), rle=rle
    )


def draw_segments(
    id_map: Int32[np.ndarray, "h w"], labels: dict[int, int]
) -> tuple[PanopticSegment, ...]:
    """The segments that a map shows, with their areas as counted; `labels` by segment id."""
    ids, areas = np.unique(id_map, return_counts=True)
    return tuple(
        PanopticSegment(segment_id=value, label=labels[value], is_crowd=False, area=area)
        for value, area in zip(ids.tolist(), areas.tolist(), strict=True)
        if value
    )


def _list(values: list[int]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(map(str, values[:_SHOWN])) + more
