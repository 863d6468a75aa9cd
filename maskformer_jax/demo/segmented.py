"""Images that were segmented lately, so that thresholds can be changed."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from maskformer_jax.categories import Category
from maskformer_jax.data.panoptic import encode_ids
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.drawing import segments_of_view
from maskformer_jax.evaluation.result import ClassesView, InstancesView, Result, SegmentsView
from maskformer_jax.image_files import encode_image
from maskformer_jax.pages.html import data_url
from maskformer_jax.prediction.records import (
    describe_classes,
    describe_instances,
    describe_panoptic,
)
from maskformer_jax.types import Size
from maskformer_jax.visualize.segments import segment_shades


@runtime_checkable
class Model(Protocol):
    """The interface of a loaded model that the demo needs."""

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes in label order."""

    def predict_adjustable(self, image: Any) -> Callable[[float, float], Result]:
        """Run the network; the function gives the result for two thresholds."""


class UnknownImageError(UserError):
    """An image is no longer kept."""


class SegmentedImages:
    """Segments images and keeps the logits of the latest, in memory alone.

    Args:
        model: for example from `load_pretrained`.
        most: number of images that are kept.
    """

    def __init__(self, model: Model, *, most: int = 8) -> None:
        self._model = model
        self._most = most
        self._kept: OrderedDict[str, tuple[Size, Callable[[float, float], Result]]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, image: np.ndarray) -> str:
        """Run the network on an image, uint8 RGB [H, W, 3]; returns the key of its results."""
        key = secrets.token_urlsafe(12)
        adjust = self._model.predict_adjustable(image)
        height, width = image.shape[:2]
        with self._lock:
            self._kept[key] = ((height, width), adjust)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return key

    def views(
        self, key: str, *, object_mask_threshold: float, overlap_threshold: float, score: float
    ) -> dict[str, Any]:
        """The results of an image as the page shows them, by task.

        Args:
            key: from `add`.
            object_mask_threshold: of panoptic segments, 0..1.
            overlap_threshold: likewise.
            score: that instances must have, 0..1.

        Raises:
            UnknownImageError: the image is no longer kept.
        """
        with self._lock:
            if key not in self._kept:
                raise UnknownImageError("this image is no longer kept; send it again")
            self._kept.move_to_end(key)
            size, adjust = self._kept[key]
        return describe_views(
            adjust(object_mask_threshold, overlap_threshold),
            self._model.categories,
            size=size,
            score=score,
        )


def describe_views(
    result: Result, categories: Sequence[Category], *, size: Size, score: float
) -> dict[str, Any]:
    """Each part of a result: `map` and `segments` for the viewer, `records` as `predict` has them.

    Args:
        result: of one image.
        categories: K categories in label order.
        size: (height, width) of the image.
        score: that instances must have, 0..1.
    """
    views: dict[str, Any] = {}
    if result.panoptic is not None and result.segments is not None:
        panoptic = SegmentsView(result.panoptic, result.segments)
        records: Sequence[Mapping[str, Any]] = describe_panoptic(panoptic, categories)
        views["panoptic"] = _layer(panoptic, categories, size) | {"records": records}
    if result.semantic is not None:
        semantic = ClassesView(result.semantic)
        records = describe_classes(result.semantic, categories)
        views["semantic"] = _layer(semantic, categories, size) | {"records": records}
    if result.instances is not None:
        instances = tuple(one for one in result.instances if one.score >= score)
        records = describe_instances(Result(instances=instances), categories)
        shown = _layer(InstancesView(instances), categories, size)
        views["instances"] = shown | {"records": records}
    return views


def _layer(
    view: SegmentsView | ClassesView | InstancesView, categories: Sequence[Category], size: Size
) -> dict[str, Any]:
    id_map, labels, scores = segments_of_view(view, size, least_score=0.0)
    shades = segment_shades(list(labels.values()), categories)
    return {
        "map": data_url(encode_image(encode_ids(id_map)), "image/png"),
        "segments": [
            {"id": one, "name": shade.name, "color": list(shade.color)}
            | ({"score": round(scores[one], 3)} if one in scores else {})
            for one, shade in zip(labels, shades, strict=True)
        ],
    }
