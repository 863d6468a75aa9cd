"""The training batch of a golden file, and the gradient of its losses."""

import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from compiled_as_users_do import FUSED_AS_USERS_DO
from golden_cases import Case
from jax import numpy as jnp

from maskformer_jax.config import Config
from maskformer_jax.criterion.criterion import compute_losses
from maskformer_jax.types import Batch

SIZE = (64, 96)
SLOTS = 8  # more than there are segments: empty slots must change nothing
VOID = 255  # in the label maps of the fixture

# Exactly zero in exact arithmetic, rounding noise here (README section 4, reading the update rows).
ZERO_GRADIENT = r"decoder\.layers\.0\.self_attn\.in_proj_weight"
ZERO_GRADIENT_PLUS = ZERO_GRADIENT + r"|mask_embed\.layers\.2\.bias"  # of one query for each class


def make_batch(golden: dict[str, np.ndarray], targets: tuple[bool, bool] = (True, True)) -> Batch:
    """The training batch of the fixture; an image whose flag is False gets no targets."""
    image = np.zeros((2, *SIZE, 3), np.uint8)
    valid = np.zeros((2, *SIZE), bool)
    segment_map = np.full((2, *SIZE), -1, np.int16)
    labels = np.zeros((2, SLOTS), np.int32)
    segment_valid = np.zeros((2, SLOTS), bool)
    for b in range(2):
        height, width = golden[f"T/image{b}"].shape[:2]
        image[b, :height, :width] = golden[f"T/image{b}"]
        valid[b, :height, :width] = True
        if targets[b]:
            own_labels, masks = find_segments(golden, b)
            for slot, mask in enumerate(masks):
                segment_map[b, :height, :width][mask] = slot
            labels[b, : len(own_labels)] = own_labels
            segment_valid[b, : len(own_labels)] = True
    return jax.tree.map(jnp.asarray, Batch(image, valid, segment_map, labels, segment_valid))


def find_segments(golden: dict[str, np.ndarray], b: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and masks of an image; the files of the baselines have the label map alone."""
    if f"T/labels{b}" in golden:
        return golden[f"T/labels{b}"], golden[f"T/masks{b}"]
    label_map = golden[f"T/sem_seg{b}"]
    labels = np.setdiff1d(label_map, [VOID])
    return labels, labels[:, None, None] == label_map


def make_differentiate(model: Any, config: Config, num_classes: int) -> Callable:
    """Function of (params, constants, batch) to ((total, (terms, predictions)), gradient)."""

    def loss(params: Any, constants: Any, batch: Batch) -> tuple:
        predictions = model.apply(
            {"params": params, "constants": constants},
            batch.image,
            batch.image_valid,
            train=True,
            rngs={"dropout": jax.random.key(0)},
        )
        total, terms = compute_losses(
            predictions,
            batch,
            config.loss,
            num_classes=num_classes,
            size_divisibility=config.model.size_divisibility,
        )
        return total, (terms, predictions)

    return jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=FUSED_AS_USERS_DO)


def zero_gradient(case: Case) -> re.Pattern:
    return re.compile(ZERO_GRADIENT_PLUS if case.head == "per_pixel_plus" else ZERO_GRADIENT)
