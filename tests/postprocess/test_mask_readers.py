"""Labels, segments and instances that are read in one pass, against each on its own."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from maskformer_jax.categories import Category
from maskformer_jax.config import EvalConfig
from maskformer_jax.evaluation.inference import Outputs, crop_outputs, make_postprocess
from maskformer_jax.postprocess import (
    ImageSizes,
    general_semantic_labels,
    instance_inference,
    mask_readers,
    panoptic_inference,
    semantic_labels,
)

Q, K = 7, 4
SIZES = ImageSizes(padded_size=(32, 36), image_size=(30, 33), output_size=(50, 41))
CATEGORIES = [Category(name=str(k), color=(k, k, k), is_thing=k < 2) for k in range(K)]
IS_THING = np.arange(K) < 2
SETTINGS = {"object_mask_threshold": 0.4, "overlap_threshold": 0.3, "max_instances": 9}


@pytest.fixture(scope="module")
def logits() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    classes = rng.normal(size=(Q, K + 1)) * 2
    return classes.astype(np.float32), rng.normal(size=(Q, 8, 9)).astype(np.float32) * 3


def apart(task: str, rule: str) -> Callable[[Any, Any], Outputs]:
    def infer(classes: Any, masks: Any) -> Outputs:
        sizes = SIZES._asdict()
        instances = instance_inference(classes, masks, IS_THING, **sizes, max_instances=9)
        if task == "instance":
            return Outputs(instances=instances)
        labels = (
            general_semantic_labels(classes, masks, sizes=SIZES, score_threshold=0.3)
            if rule == "general"
            else semantic_labels(classes, masks, sizes=SIZES, resize_before_inference=True)
        )
        segments = panoptic_inference(
            classes, masks, IS_THING, **sizes, object_mask_threshold=0.4, overlap_threshold=0.3
        )
        return Outputs(labels, segments, instances)

    return infer


@pytest.mark.parametrize(
    ("task", "rule"),
    [("panoptic", "class_sum"), ("panoptic", "general"), ("instance", "class_sum")],
)
def test_one_pass_gives_what_each_gives_alone(
    logits: tuple[np.ndarray, np.ndarray], task: str, rule: str
) -> None:
    settings = EvalConfig(task=task, semantic_rule=rule, general_threshold=0.3, **SETTINGS)
    together = jax.jit(make_postprocess(settings, CATEGORIES), static_argnums=2)(*logits, SIZES)
    together = crop_outputs(jax.tree.map(np.asarray, together), SIZES.output_size)
    expected = jax.jit(apart(task, rule))(*logits)
    if task == "panoptic":
        assert expected.panoptic.valid.sum() > 1
        assert len(np.unique(expected.semantic)) > 1
    assert jax.tree.structure(together) == jax.tree.structure(expected)
    # Scores are sums over pixels; how a sum is cut up is the compiler's choice.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), together, expected)


def test_masks_are_resized_once(
    logits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = mask_readers.output_masks
    monkeypatch.setattr(
        mask_readers, "output_masks", lambda *args: calls.append(1) or original(*args)
    )
    settings = EvalConfig(task="panoptic", **SETTINGS)
    jax.eval_shape(lambda *args: make_postprocess(settings, CATEGORIES)(*args, SIZES), *logits)
    assert calls == [1]
