"""The images with the lowest scores, kept for a report: picture, prediction and ground truth."""

import heapq
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Integer

from maskformer_jax.categories import Category
from maskformer_jax.data.eval_examples import EvalExample
from maskformer_jax.data.panoptic import encode_ids
from maskformer_jax.data.transforms import resize_id_map, resize_image, shortest_edge_size
from maskformer_jax.evaluation.drawing import segments_of_view, true_segments
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.result import to_result
from maskformer_jax.image_files import encode_image
from maskformer_jax.types import Size
from maskformer_jax.visualize.segments import segment_shades

_SHORT_SIDE, _LONG_SIDE = 480, 800  # pixels of a kept picture, at most


class ShownLayer(NamedTuple):
    """Segments of one image: "prediction" or "ground truth"."""

    name: str
    id_map: bytes  # PNG of ids as COCO writes them
    segments: list[dict[str, Any]]  # id, name, color, and the score of predicted ones


class ShownExample(NamedTuple):
    """One image of a report."""

    image_id: str
    score: float  # of this image alone, in percent
    image: bytes  # JPEG
    layers: tuple[ShownLayer, ...]


class WorstExamples:
    """Keeps the images with the lowest scores, encoded.

    Args:
        categories: K categories in label order.
        most: number of images to keep; 0: none.
    """

    def __init__(self, categories: Sequence[Category], *, most: int) -> None:
        self._categories = tuple(categories)
        self.most = most
        self._kept: list[tuple[float, str, ShownExample]] = []  # a heap, the best on top

    def add(self, example: EvalExample, outputs: Outputs, score: float) -> None:
        """Keep the image if its score, in percent, is among the lowest; nan is left out."""
        if not self.most or np.isnan(score):
            return
        key = (-score, example.image_id)
        if len(self._kept) >= self.most and key <= self._kept[0][:2]:
            return
        heapq.heappush(
            self._kept, (*key, encode_example(example, outputs, score, self._categories))
        )
        if len(self._kept) > self.most:
            heapq.heappop(self._kept)

    def take_over(self, examples: Iterable[ShownExample]) -> None:
        """Add what another process has kept."""
        self._kept += [(-example.score, example.image_id, example) for example in examples]

    def worst_first(self) -> list[ShownExample]:
        """The images kept, the lowest score first."""
        examples = [example for *_, example in self._kept]
        return sorted(examples, key=lambda one: (one.score, one.image_id))[: self.most]


def encode_example(
    example: EvalExample, outputs: Outputs, score: float, categories: Sequence[Category]
) -> ShownExample:
    """Encode an image with its prediction and its ground truth, at most 480 x 800 pixels.

    Args:
        example: the image as the network sees it, and its annotation.
        outputs: of this image.
        score: of this image, in percent.
        categories: K categories in label order.
    """
    size = shortest_edge_size(example.original_size, _SHORT_SIDE, _LONG_SIDE)
    if min(size) > min(example.original_size):
        size = example.original_size
    predicted = segments_of_view(to_result(outputs).main_view, example.original_size)
    layers = [_layer("prediction", *predicted, categories, size=size)]
    truth = true_segments(example, like=outputs)
    if truth is not None:
        layers.append(_layer("ground truth", *truth, {}, categories, size=size))
    return ShownExample(
        image_id=example.image_id,
        score=score,
        image=encode_image(resize_image(example.image, size), "jpg"),
        layers=tuple(layers),
    )


def _layer(
    name: str,
    id_map: Integer[np.ndarray, "h w"],
    labels: dict[int, int],
    scores: dict[int, float],
    categories: Sequence[Category],
    *,
    size: Size,
) -> ShownLayer:
    ids = list(labels)
    shades = segment_shades([labels[one] for one in ids], categories)
    segments = [
        {
            "id": one,
            "name": shade.name,
            "color": list(shade.color),
            **({"score": round(scores[one], 3)} if one in scores else {}),
        }
        for one, shade in zip(ids, shades, strict=True)
    ]
    small = resize_id_map(id_map.astype(np.int32), size)
    return ShownLayer(name, encode_image(encode_ids(small)), segments)
