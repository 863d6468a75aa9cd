"""The training loss: published numbers and gradients, properties, and four devices as one."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from loss_cases import (
    NUM_CLASSES,
    SLOTS,
    assert_same,
    compile_loss,
    draw,
    evaluate,
    make_batch,
)

from maskformer_jax.config import LossConfig
from maskformer_jax.criterion.criterion import compute_losses
from maskformer_jax.criterion.ground_truth import make_ground_truth
from maskformer_jax.criterion.matching import assign_queries
from maskformer_jax.types import Batch, Predictions

COMPONENTS = np.load(Path(__file__).parents[1] / "golden" / "components.npz")
CASES = ["plain", "one_empty", "both_empty", "surplus", "extreme", "odd"]
TERMS = ("loss_class", "loss_mask", "loss_dice")


def published_case(case: str) -> tuple[dict[str, np.ndarray], Batch]:
    prefix = f"loss/{case}/"
    golden = {
        key.removeprefix(prefix): COMPONENTS[key]
        for key in COMPONENTS.files
        if key.startswith(prefix)
    }
    segment_map = np.full((2, *golden["masks0"].shape[1:]), -1, np.int16)
    for image in range(2):
        for slot, mask in enumerate(golden[f"masks{image}"]):
            segment_map[image][mask] = slot
    return golden, make_batch(segment_map, [golden["labels0"], golden["labels1"]])


@jax.jit
def assign(predictions: Predictions, batch: Batch) -> jax.Array:
    truth = make_ground_truth(batch, LossConfig(), size_divisibility=0)
    return assign_queries(predictions, truth, LossConfig())[0]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_published(case: str, dtype: str) -> None:
    golden, batch = published_case(case)
    with jax.enable_x64(dtype == "float64"):
        predictions = Predictions(
            jnp.asarray(golden["pred_logits"], dtype), jnp.asarray(golden["pred_masks"], dtype)
        )
        # The published no-object weight is a float32, even where everything else is float64.
        (total, terms), gradient = jax.device_get(
            evaluate(predictions, batch, no_object_weight=float(np.float32(0.1)))
        )
        assignment = np.asarray(assign(predictions, batch))
    assert total.dtype == dtype
    loss_bound, gradient_bound = (1e-6, 5e-6) if dtype == "float32" else (1e-12, 1e-12)
    layers = len(golden["losses"])
    suffixes = [f"_{layer}" for layer in range(layers - 1)] + [""]
    assert set(terms) == {name + suffix for name in TERMS for suffix in suffixes}
    ours = np.array([[terms[name + suffix] for name in TERMS] for suffix in suffixes])
    np.testing.assert_allclose(ours, golden["losses"] * [1, 20, 1], rtol=loss_bound, atol=1e-12)
    np.testing.assert_allclose(total, golden["total"], rtol=loss_bound)
    for ours, name in zip(gradient, ("grad_logits", "grad_masks"), strict=True):
        bound = gradient_bound * np.abs(golden[name]).max()
        np.testing.assert_allclose(ours, golden[name], rtol=0, atol=bound, err_msg=name)
    for image, layer in np.ndindex(2, layers):
        queries, segments = golden[f"match{image}"][layer].T
        expected = np.full(SLOTS, -1)
        expected[segments] = queries
        np.testing.assert_array_equal(assignment[image, layer], expected)


def test_extra_slots_change_nothing() -> None:
    predictions, batch = draw()
    labels = [row[:3] for row in batch.labels]
    assert_same(
        evaluate(predictions, make_batch(batch.segment_map, labels, slots=3)),
        evaluate(predictions, make_batch(batch.segment_map, labels, slots=11)),
    )


def test_permuting_queries_permutes_the_gradient() -> None:
    predictions, batch = draw()
    order = np.array([3, 0, 5, 1, 4, 2])
    loss, gradient = evaluate(predictions, batch)
    permuted_loss, permuted = evaluate(Predictions(*(x[:, :, order] for x in predictions)), batch)
    assert_same(permuted_loss, loss)
    assert_same(permuted, Predictions(*(x[:, :, order] for x in gradient)))


def test_flipping_prediction_and_target_changes_nothing() -> None:
    predictions, batch = draw()
    # Nearest downsampling takes the left pixel of each cell, so cells must be uniform.
    flipped = Predictions(predictions.class_logits, predictions.mask_logits[..., ::-1])
    loss, gradient = evaluate(predictions, batch)
    flipped_loss, flipped_gradient = evaluate(
        flipped, batch._replace(segment_map=batch.segment_map[..., ::-1])
    )
    assert_same(flipped_loss, loss, rtol=1e-5)
    assert_same(flipped_gradient.mask_logits[..., ::-1], gradient.mask_logits, atol=1e-7)


def test_padding_counts_as_outside_of_every_mask() -> None:
    predictions, batch = draw()
    cropped = batch._replace(segment_map=batch.segment_map[:, :50, :40])
    padded = np.full_like(batch.segment_map, -1)
    padded[:, :50, :40] = batch.segment_map[:, :50, :40]
    assert_same(
        evaluate(predictions, cropped, size_divisibility=32),
        evaluate(predictions, batch._replace(segment_map=padded)),
    )


@pytest.mark.parametrize("segments", [0, 2])
def test_all_void_is_finite(segments: int) -> None:
    predictions, batch = draw()
    void = np.full_like(batch.segment_map, -1)
    (total, terms), gradient = evaluate(predictions, make_batch(void, [[1] * segments, []]))
    assert np.isfinite(total)
    assert all(np.isfinite(x).all() for x in gradient)
    if segments == 0:  # no segments: only the class loss is left
        assert terms["loss_mask"] == terms["loss_dice"] == 0
        assert total == pytest.approx(terms["loss_class"] + terms["loss_class_0"])
        assert not gradient.mask_logits.any()
    else:  # the masks of segments without pixels should be empty
        assert terms["loss_mask"] > 0


@pytest.mark.parametrize("field", ["class_logits", "mask_logits"])
def test_nan_reaches_the_loss(field: str) -> None:
    predictions, batch = draw()
    broken = predictions._replace(**{field: np.full_like(getattr(predictions, field), np.nan)})
    (total, _), _ = evaluate(broken, batch)
    assert np.isnan(total)


def test_weights() -> None:
    predictions, batch = draw()
    # The matching must not change, so costs keep their proportions.
    weights = {"class_weight": 3.0, "mask_weight": 40.0, "dice_weight": 2.0, "class_cost": 2.0}
    (total, terms), _ = evaluate(predictions, batch, **weights)
    (_, stock), _ = evaluate(predictions, batch)
    factors = {"loss_class": 3, "loss_mask": 2, "loss_dice": 2}
    expected = {name: factors[name.removesuffix("_0")] * stock[name] for name in stock}
    assert_same(terms, expected)
    assert total == pytest.approx(sum(expected.values()))


def test_bfloat16_predictions_are_compared_in_float32() -> None:
    predictions, batch = draw()
    low = Predictions(*(jnp.asarray(x, jnp.bfloat16) for x in predictions))
    high = Predictions(*(x.astype(jnp.float32) for x in low))
    loss, gradient = evaluate(low, batch)
    assert loss[0].dtype == jnp.float32
    assert_same(loss, evaluate(high, batch)[0])
    assert gradient.mask_logits.dtype == jnp.bfloat16


@pytest.mark.skipif(jax.device_count() < 4, reason="needs four devices, see conftest.py")
def test_four_devices_give_the_numbers_of_one() -> None:
    predictions, batch = draw(images=4)
    few = batch.segment_valid.copy()
    few[1:3] = False  # uneven: two images have nothing
    batch = batch._replace(segment_valid=few)
    mesh = jax.make_mesh((2, 2), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)
    axes = ("data", "fsdp")
    split = NamedSharding(mesh, PartitionSpec(None, axes))
    spread = jax.device_put(predictions, split)
    spread_batch = jax.device_put(batch, NamedSharding(mesh, PartitionSpec(axes)))

    def loss(predictions: Predictions, batch: Batch) -> tuple:
        return compute_losses(
            predictions,
            batch,
            LossConfig(),
            num_classes=NUM_CLASSES,
            size_divisibility=0,
            mesh=mesh,
        )

    compiled = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(spread, spread_batch).compile()
    assert "all-gather" not in compiled.as_text()  # only sums travel
    ours = compiled(spread, spread_batch)
    assert ours[0][1].pop("finite_images").all()
    assert_same(ours, evaluate(predictions, batch), rtol=1e-5, atol=1e-7)


def test_both_matchers_train_alike() -> None:
    predictions, batch = draw()
    on_host = evaluate(predictions, batch, matcher="scipy")
    assert_same(evaluate(predictions, batch, matcher="jax"), on_host)


def test_images_that_are_not_finite_are_named() -> None:
    predictions, batch = draw(images=4)
    masks, classes = predictions.mask_logits.copy(), predictions.class_logits.copy()
    masks[0, 1, 2, 3, 4], classes[1, 2, 0, 0] = np.nan, np.inf
    masks[1, 3, 0] = 3e38  # finite, but costs of it are not
    broken = Predictions(classes, masks)
    (_, terms), _ = compile_loss(0)(broken, batch)
    np.testing.assert_array_equal(terms["finite_images"], [True, False, False, False])
