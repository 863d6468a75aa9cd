"""The training loss: published numbers and gradients, properties, and four devices as one."""

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from scipy.optimize import linear_sum_assignment

from maskformer_jax.config import LossConfig
from maskformer_jax.criterion.denominators import Denominators, count_denominators
from maskformer_jax.criterion.ground_truth import GroundTruth, make_ground_truth
from maskformer_jax.criterion.mask_losses import compare_masks
from maskformer_jax.criterion.total import assign_queries, compute_losses, make_label_map
from maskformer_jax.errors import UserError
from maskformer_jax.losses import dice_loss, sigmoid_focal_loss
from maskformer_jax.resize import resize_bilinear
from maskformer_jax.types import Batch, Predictions

COMPONENTS = np.load(Path(__file__).parents[1] / "golden" / "components.npz")
CASES = ["plain", "one_empty", "both_empty", "surplus", "extreme", "odd"]
TERMS = ("loss_class", "loss_mask", "loss_dice")
NUM_CLASSES = 5
SLOTS = 8  # more than any case has segments: empty slots must change nothing


def make_batch(segment_map: np.ndarray, labels: list, *, slots: int = SLOTS) -> Batch:
    """A batch without picture; `labels` of each image's segments."""
    shape = segment_map.shape
    padded = np.zeros((len(labels), slots), np.int32)
    for row, values in zip(padded, labels, strict=True):
        row[: len(values)] = values
    valid = np.arange(slots)[None] < np.array([[len(values)] for values in labels])
    image = np.zeros((*shape, 3), np.uint8)
    return Batch(image, np.ones(shape, bool), segment_map, padded, valid)


def draw(seed: int = 0, *, images: int = 2, layers: int = 2) -> tuple[Predictions, Batch]:
    """Random predictions of 6 queries, and 64x64 ground truth of 3 segments and void."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(-1, 3, (images, 8, 8)).astype(np.int16)
    segment_map = blocks.repeat(8, 1).repeat(8, 2)
    labels = [rng.integers(0, NUM_CLASSES, 3) for _ in range(images)]
    class_logits = rng.normal(size=(layers, images, 6, NUM_CLASSES + 1)).astype(np.float32)
    mask_logits = rng.normal(size=(layers, images, 6, 16, 16)).astype(np.float32) * 3
    return Predictions(class_logits, mask_logits), make_batch(segment_map, labels)


@cache
def compile_loss(size_divisibility: int, **settings: Any) -> Any:
    """The loss and its gradient, compiled once for all tests that share the settings."""
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
    labels, segment_valid = jnp.asarray(batch.labels), jnp.asarray(batch.segment_valid)
    return assign_queries(predictions, truth, labels, segment_valid, LossConfig())[0]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_published(case: str, dtype: str) -> None:
    golden, batch = published_case(case)
    with jax.enable_x64(dtype == "float64"):
        predictions = Predictions(
            jnp.asarray(golden["pred_logits"], dtype), jnp.asarray(golden["pred_masks"], dtype)
        )
        # The published weight of no-object is a float32 even where all else is float64.
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


def test_masks_are_compared_as_by_the_plain_formula() -> None:
    predictions, batch = draw()
    mask_logits, segment_map = jnp.asarray(predictions.mask_logits), jnp.asarray(batch.segment_map)
    # Not front-packed, and unmatched slots between matched ones.
    assignment = jnp.array([[[-1, 3, 0, -1], [2, -1, 5, -1]], [[1, 0, -1, -1], [-1, -1, -1, -1]]])

    def plain(mask_logits: jax.Array) -> tuple:
        enlarged = resize_bilinear(mask_logits, segment_map.shape[1:])
        focal, dice = [0.0, 0.0], [0.0, 0.0]
        for image, layer, slot in np.argwhere(np.asarray(assignment) >= 0):
            logits = enlarged[layer, image, assignment[image, layer, slot]]
            focal[layer] += sigmoid_focal_loss(logits, segment_map[image] == slot).mean()
            dice[layer] += dice_loss(logits, segment_map[image] == slot)
        return jnp.stack(focal), jnp.stack(dice)

    cotangents = (jnp.array([2.0, 3.0]), jnp.array([5.0, 7.0]))
    truth = GroundTruth(segment_map, None, None, segment_map.shape[1:])
    ours, pull_back = jax.vjp(lambda x: compare_masks(x, assignment, truth), mask_logits)
    expected, plain_pull_back = jax.vjp(plain, mask_logits)
    assert_same(ours, expected)
    assert_same(pull_back(cotangents), plain_pull_back(cotangents), atol=1e-7)


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
    # Nearest shrinking takes the left pixel of each cell, so targets must be whole cells.
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
    if segments == 0:  # nothing to segment: only the class loss is left
        assert terms["loss_mask"] == terms["loss_dice"] == 0
        assert total == pytest.approx(terms["loss_class"] + terms["loss_class_0"])
        assert not gradient.mask_logits.any()
    else:  # segments that lost all their pixels still ask for empty masks
        assert terms["loss_mask"] > 0


@pytest.mark.parametrize("field", ["class_logits", "mask_logits"])
def test_nan_reaches_the_loss(field: str) -> None:
    predictions, batch = draw()
    broken = predictions._replace(**{field: np.full_like(getattr(predictions, field), np.nan)})
    (total, _), _ = evaluate(broken, batch)
    assert np.isnan(total)


def test_weights() -> None:
    predictions, batch = draw()
    # The matching must stay: class_cost, and mask to dice weight, are kept in proportion.
    weights = {"class_weight": 3.0, "mask_weight": 40.0, "dice_weight": 2.0, "class_cost": 2.0}
    (total, terms), _ = evaluate(predictions, batch, **weights)
    (_, stock), _ = evaluate(predictions, batch)
    factors = {"loss_class": 3, "loss_mask": 2, "loss_dice": 2}
    expected = {name: factors[name.removesuffix("_0")] * stock[name] for name in stock}
    assert_same(terms, expected)
    assert total == pytest.approx(sum(expected.values()))


def test_no_object_weight() -> None:
    predictions, batch = draw(layers=1)
    batch = batch._replace(segment_valid=np.zeros_like(batch.segment_valid))
    uniform = predictions._replace(class_logits=np.zeros_like(predictions.class_logits))
    (total, _), _ = evaluate(uniform, batch, no_object_weight=0.3)
    assert total == pytest.approx(np.log(NUM_CLASSES + 1))  # a mean: one weight cancels


def test_bfloat16_predictions_are_compared_in_float32() -> None:
    predictions, batch = draw()
    low = Predictions(*(jnp.asarray(x, jnp.bfloat16) for x in predictions))
    high = Predictions(*(x.astype(jnp.float32) for x in low))
    loss, gradient = evaluate(low, batch)
    assert loss[0].dtype == jnp.float32
    assert_same(loss, evaluate(high, batch)[0])
    assert gradient.mask_logits.dtype == jnp.bfloat16


def test_label_map_is_what_the_segments_say() -> None:
    _, batch = draw()
    label_map = make_label_map(jnp.asarray(batch.segment_map), jnp.asarray(batch.labels))
    for b, y, x in [(0, 0, 0), (0, 63, 9), (1, 30, 30), (1, 8, 63)]:
        segment = batch.segment_map[b, y, x]
        assert label_map[b, y, x] == (-1 if segment < 0 else batch.labels[b, segment])
    np.testing.assert_array_equal(label_map == -1, batch.segment_map == -1)


def test_per_pixel_losses_leave_void_out_and_sum_over_layers() -> None:
    _, batch = draw()
    maps = np.random.default_rng(1).normal(size=(2, 2, NUM_CLASSES, 16, 16)).astype(np.float32)
    (total, terms), gradient = evaluate(Predictions(None, maps), batch)
    assert sorted(terms) == ["loss_sem_seg", "loss_sem_seg_0"]
    label_map = make_label_map(jnp.asarray(batch.segment_map), jnp.asarray(batch.labels))
    for layer, name in enumerate(["loss_sem_seg_0", "loss_sem_seg"]):
        enlarged = resize_bilinear(jnp.asarray(maps[layer]), (64, 64))
        nll = -jax.nn.log_softmax(enlarged, axis=1)
        chosen = [nll[b, label_map[b, y, x], y, x] for b, y, x in np.argwhere(label_map >= 0)[::97]]
        some = np.zeros_like(batch.segment_map) - 1
        for b, y, x in np.argwhere(label_map >= 0)[::97]:
            some[b, y, x] = batch.segment_map[b, y, x]
        (_, few), _ = evaluate(Predictions(None, maps), batch._replace(segment_map=some))
        np.testing.assert_allclose(few[name], np.mean(chosen), rtol=1e-5)
    np.testing.assert_allclose(total, sum(terms.values()), rtol=1e-6)
    assert gradient.class_logits is None


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

    differentiate = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(spread, spread_batch)
    compiled = differentiate.compile()
    assert "all-gather" not in compiled.as_text()  # only sums travel
    ours = compiled(spread, spread_batch)
    assert ours[0][1].pop("finite_images").all()
    assert_same(ours, evaluate(predictions, batch), rtol=1e-5, atol=1e-7)


def pack(batch: Batch, dense: np.ndarray) -> Batch:
    return batch._replace(segment_map=None, masks=np.packbits(dense, axis=-1))


def test_packed_masks_give_what_the_map_gives() -> None:
    predictions, batch = draw()
    dense = batch.segment_map[:, None] == np.arange(SLOTS)[:, None, None]
    assert_same(evaluate(predictions, pack(batch, dense)), evaluate(predictions, batch))


def test_overlapping_masks_against_the_dense_formula() -> None:
    predictions, batch = draw(layers=1)
    rng = np.random.default_rng(3)
    width = 52  # the last byte of a row is not full; the model pads to 64
    dense = rng.random((2, SLOTS, 8, 13)).repeat(8, 2).repeat(4, 3) < 0.5
    assert (dense[:, :3].sum(1) > 1).any()
    batch = pack(batch, dense)._replace(image=np.zeros((2, 64, width, 3), np.uint8))
    (_, terms), _ = evaluate(predictions, batch, size_divisibility=64)

    padded = np.pad(dense, ((0, 0), (0, 0), (0, 0), (0, 12)))
    small = padded[:, :3, ::4, ::4]
    logits = jnp.asarray(predictions.mask_logits[0])
    enlarged = resize_bilinear(logits, (64, 64))
    expected_focal, expected_dice = 0.0, 0.0
    for image in range(2):
        probabilities = np.asarray(jax.nn.softmax(predictions.class_logits[0, image]))
        cost = np.zeros((6, 3))
        for q, n in np.ndindex(6, 3):
            x, y = logits[image, q], jnp.asarray(small[image, n])
            cost[q, n] = 20 * sigmoid_focal_loss(x, y).mean() + dice_loss(x, y)
            cost[q, n] -= probabilities[q, batch.labels[image, n]]
        for q, n in zip(*linear_sum_assignment(cost), strict=True):
            x, y = enlarged[image, q], jnp.asarray(padded[image, n])
            expected_focal += float(sigmoid_focal_loss(x, y).mean()) / 6
            expected_dice += float(dice_loss(x, y)) / 6
    np.testing.assert_allclose(terms["loss_mask"], 20 * expected_focal, rtol=1e-5)
    np.testing.assert_allclose(terms["loss_dice"], expected_dice, rtol=1e-5)


def test_both_matchers_train_alike() -> None:
    predictions, batch = draw()
    assert_same(evaluate(predictions, batch, matcher="jax"), evaluate(predictions, batch))


def test_boxes_are_matched_by_their_place() -> None:
    predictions, batch = draw(layers=1)
    batch = make_batch(np.where(batch.segment_map == 0, 0, -1).astype(np.int16), [[1], [1]])
    rows, columns = np.nonzero(batch.segment_map[0, ::4, ::4] == 0)
    masks = np.full((1, 2, 6, 16, 16), -5.0, np.float32)
    for image in range(2):
        rows, columns = np.nonzero(batch.segment_map[image, ::4, ::4] == 0)
        # Query 4 has the segment's box, if not its mask; query 2 a box of the same size elsewhere.
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        masks[0, image, 4][box] = 5
        masks[0, image, 2, :3, :3] = 5
    same_classes = np.zeros_like(predictions.class_logits)
    config = LossConfig(matching="boxes")
    truth = make_ground_truth(batch, config, size_divisibility=0)
    assignment, finite = assign_queries(
        Predictions(same_classes, jnp.asarray(masks)),
        truth,
        jnp.asarray(batch.labels),
        jnp.asarray(batch.segment_valid),
        config,
    )
    np.testing.assert_array_equal(assignment[:, 0, 0], [4, 4])
    assert finite.all()


def test_fixed_matching_needs_a_query_for_each_class() -> None:
    predictions, batch = draw()
    with pytest.raises(UserError, match=r"num_queries is 6, but .* set it to 5"):
        evaluate(predictions, batch, matching="fixed")
    five = Predictions(*(x[:, :, :NUM_CLASSES] for x in predictions))
    one = make_batch(batch.segment_map, [[3], [2]])
    (_, terms), gradient = evaluate(five, one, matching="fixed")
    touched = np.asarray(gradient.mask_logits).any((0, 3, 4))
    np.testing.assert_array_equal(np.argwhere(touched), [[0, 3], [1, 2]])
    assert terms["loss_class"] > 0


def test_ignored_pixels_do_not_matter() -> None:
    predictions, batch = draw(layers=1)
    settings = {"ignore_void": True, "ignore_padding": True}
    valid = np.ones_like(batch.image_valid)
    valid[0, :, 40:] = False
    segment_map = np.where(valid, batch.segment_map, -1).astype(np.int16)
    batch = batch._replace(image_valid=valid, segment_map=segment_map)
    ours, gradient = evaluate(predictions, batch, **settings)
    # Whole cells of ignored pixels, two cells from any that counts: enlarging mixes neighbours.
    counted = (segment_map >= 0)[:, ::4, ::4]
    near = np.zeros_like(counted)
    for y, x in np.ndindex(3, 3):
        near |= np.roll(counted, (y - 1, x - 1), (1, 2))
    assert not near.all()
    assert not np.asarray(gradient.mask_logits)[0][
        np.broadcast_to(~near[:, None], (2, 6, 16, 16))
    ].any()
    masks = np.where(near[None, :, None], predictions.mask_logits, 77.0).astype(np.float32)
    assert_same(evaluate(predictions._replace(mask_logits=masks), batch, **settings)[0], ours)
    assert evaluate(predictions, batch)[0][0] != ours[0]


def test_class_losses_by_groups_are_averaged() -> None:
    predictions, batch = draw(images=4)
    few = batch.segment_valid.copy()
    few[:2] = False
    batch = batch._replace(segment_valid=few)
    (_, terms), _ = evaluate(predictions, batch, class_groups=2)
    (_, whole), _ = evaluate(predictions, batch)
    halves = []
    for part in (slice(0, 2), slice(2, 4)):
        split = jax.tree.map(lambda x, part=part: x[part], batch)
        one = Predictions(*(x[:, part] for x in predictions))
        halves.append(evaluate(one, split)[0][1]["loss_class"])
    np.testing.assert_allclose(terms["loss_class"], np.mean(halves), rtol=1e-6)
    assert abs(whole["loss_class"] - np.mean(halves)) > 1e-3
    np.testing.assert_allclose(terms["loss_mask"], whole["loss_mask"], rtol=1e-6)


def test_parts_of_a_batch_add_up() -> None:
    predictions, batch = draw(images=4)
    few = batch.segment_valid.copy()
    few[1] = False
    batch = batch._replace(segment_valid=few)
    whole = evaluate(predictions, batch)[0]
    denominators = count_denominators(batch, LossConfig(), num_queries=6)

    @jax.jit
    def loss(predictions: Predictions, batch: Batch, denominators: Denominators) -> jax.Array:
        return compute_losses(
            predictions,
            batch,
            LossConfig(),
            num_classes=NUM_CLASSES,
            size_divisibility=0,
            denominators=denominators,
        )[0]

    total = 0.0
    for image in range(4):
        part, divide_by = jax.tree.map(lambda x, i=image: x[i : i + 1], (batch, denominators))
        one = Predictions(*(x[:, image : image + 1] for x in predictions))
        total += loss(one, part, divide_by)
    np.testing.assert_allclose(total, whole[0], rtol=1e-6)


def test_images_that_are_not_finite_are_named() -> None:
    predictions, batch = draw(images=4)
    masks, classes = predictions.mask_logits.copy(), predictions.class_logits.copy()
    masks[0, 1, 2, 3, 4], classes[1, 2, 0, 0] = np.nan, np.inf
    masks[1, 3, 0] = 3e38  # finite, but costs of it are not
    broken = Predictions(classes, masks)
    (_, terms), _ = compile_loss(0)(broken, batch)
    np.testing.assert_array_equal(terms["finite_images"], [True, False, False, False])


def test_points_in_place_of_pixels() -> None:
    predictions, batch = draw(layers=1)
    full = make_batch(np.zeros_like(batch.segment_map), [[1], [2]])
    level = np.random.default_rng(0).normal(size=(1, 2, 6, 1, 1)).astype(np.float32)
    flat = predictions._replace(mask_logits=np.broadcast_to(level, predictions.mask_logits.shape))
    points = LossConfig(num_points=60, num_cost_points=50)

    def loss(predictions: Predictions, batch: Batch, key: jax.Array) -> tuple:
        return compute_losses(
            predictions, batch, points, num_classes=NUM_CLASSES, size_divisibility=0, key=key
        )

    run = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, terms), _ = run(flat, full, jax.random.key(0))
    (_, expected), _ = evaluate(flat, full)
    np.testing.assert_allclose(terms["loss_mask"], expected["loss_mask"], rtol=1e-5)
    # Real masks: a draw is reproducible, and its mean over draws is near the mean over pixels but
    # for the preference of uncertain points.
    (one, _), gradient = run(predictions, batch, jax.random.key(1))
    (again, _), _ = run(predictions, batch, jax.random.key(1))
    (other, _), _ = run(predictions, batch, jax.random.key(2))
    assert one == again != other
    step = 1e-2 * gradient.mask_logits / np.linalg.norm(gradient.mask_logits)
    moved = predictions._replace(mask_logits=predictions.mask_logits - np.asarray(step))
    (lower, _), _ = run(moved, batch, jax.random.key(1))
    # The points move a little with the logits, so the slope is met but roughly.
    assert lower < one
