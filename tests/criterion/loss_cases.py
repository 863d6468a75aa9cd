"""Drawn predictions and ground truth, and the loss compiled once for each group of settings."""

from functools import cache
from typing import Any

import jax
import numpy as np

from maskformer_jax.config import LossConfig
from maskformer_jax.criterion.criterion import compute_losses
from maskformer_jax.types import Batch, Predictions

NUM_CLASSES = 5
SLOTS = 8  # more than any case has segments: empty slots must change nothing


def make_batch(segment_map: np.ndarray, labels: list, *, slots: int = SLOTS) -> Batch:
    """A batch with blank images, given the labels of each image's segments."""
    shape = segment_map.shape
    padded = np.zeros((len(labels), slots), np.int32)
    for row, values in zip(padded, labels, strict=True):
        row[: len(values)] = values
    valid = np.arange(slots)[None] < np.array([[len(values)] for values in labels])
    image = np.zeros((*shape, 3), np.uint8)
    return Batch(image, np.ones(shape, bool), segment_map, padded, valid)


def draw(seed: int = 0, *, images: int = 2, layers: int = 2) -> tuple[Predictions, Batch]:
    """Random predictions of 6 queries, and 64x64 ground truth with 3 segments and void."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(-1, 3, (images, 8, 8)).astype(np.int16)
    segment_map = blocks.repeat(8, 1).repeat(8, 2)
    labels = [rng.integers(0, NUM_CLASSES, 3) for _ in range(images)]
    class_logits = rng.normal(size=(layers, images, 6, NUM_CLASSES + 1)).astype(np.float32)
    mask_logits = rng.normal(size=(layers, images, 6, 16, 16)).astype(np.float32) * 3
    return Predictions(class_logits, mask_logits), make_batch(segment_map, labels)


def pack(batch: Batch, dense: np.ndarray) -> Batch:
    """The batch with dense masks as packed bits in place of its map."""
    return batch._replace(segment_map=None, masks=np.packbits(dense, axis=-1))


@cache
def compile_loss(size_divisibility: int, **settings: Any) -> Any:
    """The loss and its gradient, compiled once for all tests with the same settings."""
    config = LossConfig(**settings)

    def loss(predictions: Predictions, batch: Batch) -> tuple:
        return compute_losses(
            predictions,
            batch,
            config,
            num_classes=NUM_CLASSES,
            size_divisibility=size_divisibility,
        )

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def evaluate(
    predictions: Predictions, batch: Batch, *, size_divisibility: int = 0, **settings: Any
) -> tuple:
    """((total, terms), gradient of the total) with these settings of the loss."""
    (total, terms), gradient = compile_loss(size_divisibility, **settings)(predictions, batch)
    terms.pop("finite_images")
    return (total, terms), gradient


def assert_same(ours: Any, expected: Any, *, rtol: float = 1e-6, atol: float = 1e-8) -> None:
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=atol), ours, expected
    )
