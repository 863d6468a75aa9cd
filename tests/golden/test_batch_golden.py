"""Both golden images in one batch that is larger than either, their sizes as data."""

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from compiled_as_users_do import FUSED_AS_USERS_DO
from golden_cases import CASES, WITH_CLASSES, assert_within

from maskformer_jax.categories import Category
from maskformer_jax.config import Config, EvalConfig
from maskformer_jax.evaluation.buckets import Bucket
from maskformer_jax.evaluation.devices import LocalDevices
from maskformer_jax.evaluation.inference import image_sizes, make_network, make_postprocess
from maskformer_jax.evaluation.programs import Programs
from maskformer_jax.models.build import inference_model

# Both backbones, both pixel decoders, all tasks.
BY_DEFAULT = ("maskformer_swin_tiny", "maskformer_panoptic_R50", "per_pixel_baseline_R50")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case.name in BY_DEFAULT else pytest.mark.slow, id=case.name)
        for case in CASES
    ],
    indirect=True,
    scope="session",
)
def test_both_images_in_one_larger_batch(case, model, variables, golden):
    """The published predictions and results, from the program of a bucket with sizes as data."""
    images = [golden[f"{name}/image"] for name in "AB"]
    outputs = [golden[f"{name}/sem_seg_argmax"].shape for name in "AB"]
    largest, largest_output = np.max([image.shape[:2] for image in images], 0), np.max(outputs, 0)
    bucket = Bucket(
        (int(largest[0]) + 7, int(largest[1]) + 13),
        (int(largest_output[0]) + 3, int(largest_output[1]) + 5),
        shrinkage=2.0,
        exact=False,
    )
    config = Config(eval=EvalConfig(batch_size=2, task="panoptic" if case.panoptic else "semantic"))
    config.model.size_divisibility = case.size_divisibility
    if case.panoptic:
        thresholds = golden["A/panoptic/thresholds"][0].tolist()
        config.eval.object_mask_threshold, config.eval.overlap_threshold = thresholds
    things = 80 if case.panoptic else 0
    categories = [
        Category(name=str(i), color=(0, 0, 0), is_thing=i < things)
        for i in range(133 if case.panoptic else 150)
    ]
    programs = Programs(model, config, categories=categories, devices=LocalDevices())
    network = make_network(inference_model(model).apply, precision="highest")
    postprocess = make_postprocess(config.eval, categories)

    @partial(jax.jit, compiler_options=FUSED_AS_USERS_DO)
    def run(variables: Any, batch: Any, sizes: Any) -> Any:
        predictions = network(variables, (batch, sizes[:, 1]))
        results = jax.lax.map(
            lambda one: postprocess(*one[0], image_sizes(programs.sizes(bucket), one[1])),
            (predictions, sizes),
        )
        return predictions, results

    batch = np.full((2, *bucket.image_size, 3), 200, np.uint8)
    sizes = np.zeros((2, 3, 2), np.int32)
    for i, (image, output) in enumerate(zip(images, outputs, strict=True)):
        batch[i, : image.shape[0], : image.shape[1]] = image
        sizes[i] = programs.padded(image.shape[:2]), image.shape[:2], output
    predictions, results = run(variables, batch, sizes)
    for i, name in enumerate("AB"):
        rows, columns = -(-sizes[i, 0] // 4)
        masks = np.asarray(predictions.mask_logits[i, :, :rows, :columns])
        if case.head == "per_pixel":
            assert_within(golden.part(f"{name}/logits", masks), 5e-5)
        else:
            parts = golden.part(f"{name}/pred_masks", masks)
            assert_within(parts, case.bounds.masks, rms=case.bounds.masks_rms)
        if case.name in WITH_CLASSES:
            parts = golden.part(f"{name}/pred_logits", np.asarray(predictions.class_logits[i]))
            assert_within(parts, case.bounds.logits, rms=case.bounds.logits_rms)
        height, width = outputs[i]
        labels = np.asarray(results.semantic[i, :height, :width])
        differs = labels != golden[f"{name}/sem_seg_argmax"]
        assert differs.sum() <= 3
        assert (golden[f"{name}/sem_seg_gap"][differs] < 1e-3).all()
        if case.panoptic:
            found = jax.tree.map(lambda x, i=i: np.asarray(x[i]), results.panoptic)
            table = np.stack([found.is_thing, found.label], axis=1)[found.valid]
            np.testing.assert_array_equal(table, golden[f"{name}/panoptic/0/segments"][:, 1:])
            id_map = found.id_map[:height, :width]
            assert (id_map != golden[f"{name}/panoptic/0/seg"]).sum() <= 3
