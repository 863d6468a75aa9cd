"""Panoptic inference: published id maps and segments, and the rules one by one."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maskformer_jax as mf
from maskformer_jax.postprocess import PanopticSegmentation

GOLDEN = Path(__file__).parents[1] / "golden"


def segments_of(result: PanopticSegmentation) -> list[list[int]]:
    """(id, is thing, label) as the golden files list them."""
    slots = np.flatnonzero(result.valid)
    return [[slot + 1, int(result.is_thing[slot]), int(result.label[slot])] for slot in slots]


class Published(NamedTuple):
    class_logits: Any
    mask_logits: Any
    is_thing: np.ndarray
    sizes: dict[str, tuple[int, int]]
    arrays: dict[str, np.ndarray]  # thresholds, 0/seg, 0/segments, ...


def things(num_classes: int, labels: Any) -> np.ndarray:
    return np.isin(np.arange(num_classes), labels)


def hand_made(name: str) -> Published:
    with np.load(GOLDEN / "components.npz") as archive:
        prefix = f"inference/{name}/"
        arrays = {
            key.removeprefix(prefix): archive[key]
            for key in archive.files
            if key.startswith(prefix)
        }
    size = arrays["pred_masks"].shape[1:]
    sizes = {"padded_size": size, "image_size": size, "output_size": size}
    is_thing = things(arrays["pred_logits"].shape[1] - 1, arrays["things"])
    return Published(arrays["pred_logits"], arrays["pred_masks"], is_thing, sizes, arrays)


def of_a_model(name: str) -> Published:
    with np.load(GOLDEN / f"{name}.npz") as archive:
        prefix = "A/panoptic/"
        arrays = {
            key.removeprefix(prefix): archive[key]
            for key in archive.files
            if key.startswith(prefix)
        }
        logits, masks = archive["A/pred_logits"], archive["A/pred_masks"]
    sizes = {"padded_size": (96, 128), "image_size": (96, 128), "output_size": (120, 150)}
    return Published(logits, masks, things(133, np.arange(80)), sizes, arrays)


def compare(published: Published, rows_per_band: int | None = None) -> Iterator[int]:
    """Number of pixels that differ, for each pair of thresholds; the segments are equal."""
    infer = jax.jit(
        partial(
            mf.panoptic_inference,
            is_thing=published.is_thing,
            **published.sizes,
            rows_per_band=rows_per_band,
        )
    )
    for i, (score, overlap) in enumerate(published.arrays["thresholds"]):
        result = infer(
            jnp.asarray(published.class_logits),
            jnp.asarray(published.mask_logits),
            object_mask_threshold=jnp.asarray(score),
            overlap_threshold=jnp.asarray(overlap),
        )
        assert segments_of(result) == published.arrays[f"{i}/segments"].tolist()
        assert result.id_map.dtype == jnp.int32
        yield int((np.asarray(result.id_map) != published.arrays[f"{i}/seg"]).sum())


@pytest.mark.parametrize("name", ["coco", "ade"])
@pytest.mark.parametrize("rows_per_band", [None, 7])
def test_published(name: str, rows_per_band: int | None) -> None:
    with jax.enable_x64(True):
        assert list(compare(hand_made(name), rows_per_band)) == [0] * 8


@pytest.mark.parametrize("name", ["maskformer_panoptic_R50", "maskformer_panoptic_swin_tiny"])
def test_published_models(name: str) -> None:
    # The stored logits were rounded to float32, the id maps computed before that.
    assert all(different <= 1 for different in compare(of_a_model(name)))


THING, STUFF, NO_OBJECT = 0, 1, 2
BELOW_HALF, ABOVE_HALF = np.nextafter(np.float32(0.5), np.float32([0, 1]))
SIZES = {"padded_size": (4, 6), "image_size": (4, 6), "output_size": (4, 6)}


def stripes(*queries: tuple[int, float, slice]) -> tuple[jax.Array, jax.Array]:
    """Queries (class, its probability, columns) of two classes as logits on 4 x 6 pixels."""
    class_logits = np.zeros((len(queries), 3))
    mask_logits = np.full((len(queries), 4, 6), -10.0)
    for i, (label, probability, columns) in enumerate(queries):
        class_logits[i] = np.log((1 - probability) / 2)
        class_logits[i, label] = np.log(probability)
        mask_logits[i, :, columns] = 10
    return jnp.asarray(class_logits, jnp.float32), jnp.asarray(mask_logits, jnp.float32)


@partial(jax.jit, static_argnames=("image_size", "output_size"))
def infer(class_logits: jax.Array, mask_logits: jax.Array, **options: Any) -> PanopticSegmentation:
    is_thing = jnp.array([True, False])
    return mf.panoptic_inference(class_logits, mask_logits, is_thing, **{**SIZES, **options})


def test_ids_follow_the_queries_and_stuff_of_a_class_is_one_segment() -> None:
    result = infer(
        *stripes(
            (NO_OBJECT, 0.9, slice(0, 1)),
            (STUFF, 0.9, slice(0, 2)),
            (THING, 0.9, slice(2, 3)),
            (STUFF, 0.95, slice(3, 4)),
            (THING, 0.9, slice(4, 6)),
        )
    )
    np.testing.assert_array_equal(result.id_map, np.tile([1, 1, 2, 1, 3, 3], (4, 1)))
    np.testing.assert_array_equal(result.valid, [True] * 3 + [False] * 2)
    np.testing.assert_array_equal(result.label, [STUFF, THING, THING, 0, 0])
    np.testing.assert_array_equal(result.is_thing, [False, True, True, False, False])
    np.testing.assert_allclose(result.score, [0.9, 0.9, 0.9, 0, 0], rtol=1e-5)


def test_no_selected_query_gives_only_void() -> None:
    result = infer(*stripes((THING, 0.75, slice(0, 6)), (NO_OBJECT, 0.99, slice(0, 6))))
    assert not result.id_map.any()
    assert not result.valid.any()


def test_a_mostly_hidden_query_loses_its_pixels_to_void() -> None:
    # The second query owns 3 of its 6 columns.
    result = infer(*stripes((THING, 0.95, slice(0, 3)), (STUFF, 0.9, slice(0, 6))))
    np.testing.assert_array_equal(result.id_map, np.tile([1, 1, 1, 0, 0, 0], (4, 1)))


@pytest.mark.parametrize(("threshold", "found"), [(0.5, False), (BELOW_HALF, True)])
def test_the_threshold_is_strict(threshold: float, found: bool) -> None:
    _, masks = stripes((THING, 0.9, slice(0, 6)))
    classes = jnp.array([[0.0, 0.0, -200.0]])  # exactly 0.5, 0.5 and 0
    result = infer(classes, masks, object_mask_threshold=jnp.float32(threshold))
    assert result.id_map.all() == result.id_map.any() == found


def test_the_overlap_threshold_may_be_met_exactly() -> None:
    queries = stripes((THING, 0.95, slice(0, 3)), (STUFF, 0.9, slice(0, 6)))  # 3 of 6 columns
    for threshold, second in ((0.5, 2), (ABOVE_HALF, 0)):
        result = infer(*queries, overlap_threshold=jnp.float32(threshold))
        np.testing.assert_array_equal(result.id_map, np.tile([1] * 3 + [second] * 3, (4, 1)))


def test_a_mask_includes_pixels_of_probability_one_half() -> None:
    classes, masks = stripes((THING, 0.9, slice(0, 6)))
    whole = infer(classes, jnp.zeros_like(masks))
    assert (whole.id_map == 1).all()
    # The query owns all pixels, more than its mask has.
    assert (infer(classes, jnp.where(masks[:, :, ::-1] > 0, masks, -10)).id_map == 1).all()


def test_no_segment_without_pixels_even_at_overlap_threshold_0() -> None:
    # The second query owns no pixel. The third owns the last column, but has no mask there.
    classes, masks = stripes(
        (THING, 0.95, slice(0, 5)), (THING, 0.9, slice(0, 5)), (THING, 0.9, slice(0, 0))
    )
    masks = masks.at[2, :, 5].set(-1)
    result = infer(classes, masks, overlap_threshold=0.0)
    np.testing.assert_array_equal(result.id_map, np.tile([1] * 5 + [0], (4, 1)))
    assert result.valid.tolist() == [True, False, False]


def test_a_segment_may_be_a_single_pixel() -> None:
    classes, masks = stripes((THING, 0.9, slice(0, 5)), (THING, 0.95, slice(0, 0)))
    masks = masks.at[1, 3, 5].set(10)
    expected = np.ones((4, 6), int)
    expected[:, 5] = [1, 1, 1, 2]  # the first query is the most probable at the others
    np.testing.assert_array_equal(infer(classes, masks.at[0, :3, 5].set(0)).id_map, expected)


def test_stuff_joins_the_first_segment_of_its_class_that_is_accepted() -> None:
    result = infer(
        *stripes(
            (STUFF, 0.85, slice(0, 6)),  # owns the last column only, one sixth of its mask
            (STUFF, 0.95, slice(0, 2)),
            (STUFF, 0.9, slice(2, 5)),
        )
    )
    np.testing.assert_array_equal(result.id_map, np.tile([1] * 5 + [0], (4, 1)))
    np.testing.assert_allclose(result.score, [0.95, 0, 0], rtol=1e-5)


def test_of_equal_queries_the_first_owns_the_pixels() -> None:
    result = infer(*stripes((STUFF, 0.9, slice(0, 6)), (THING, 0.9, slice(0, 6))))
    assert (result.id_map == 1).all()
    assert result.label[0] == STUFF


@pytest.mark.parametrize("rows_per_band", [1, 2, 3, 4, 5])
def test_the_padding_of_the_last_band_is_not_counted(rows_per_band: int) -> None:
    classes, masks = stripes((THING, 0.95, slice(0, 0)), (THING, 0.9, slice(0, 6)))
    masks = masks.at[0, :3].set(10)  # the second query owns the last row, one of its four
    found = jax.jit(
        partial(
            mf.panoptic_inference,
            is_thing=np.array([True, False]),
            **SIZES,
            overlap_threshold=0.26,
            rows_per_band=rows_per_band,
        )
    )(classes, masks)
    np.testing.assert_array_equal(found.id_map, np.repeat([[1], [1], [1], [0]], 6, axis=1))


def test_padding_is_cropped() -> None:
    classes, masks = stripes((THING, 0.9, slice(0, 3)), (THING, 0.9, slice(3, 6)))
    # The second has half its columns in the padding, and none of them counts.
    result = infer(classes, masks, image_size=(3, 4), output_size=(3, 4))
    np.testing.assert_array_equal(result.id_map, np.tile([1, 1, 1, 2], (3, 1)))


def test_a_batch_equals_its_images_one_by_one() -> None:
    published = hand_made("coco")
    logits = jnp.asarray(published.class_logits, jnp.float32)
    masks = jnp.asarray(published.mask_logits, jnp.float32)
    one = jax.jit(
        partial(
            mf.panoptic_inference,
            is_thing=published.is_thing,
            **published.sizes,
            rows_per_band=8,
        )
    )
    batch = jax.jit(jax.vmap(one))(jnp.stack([logits, logits[::-1]]), jnp.stack([masks, masks]))
    for i, classes in enumerate((logits, logits[::-1])):
        expected = one(classes, masks)
        assert expected.valid.any()
        jax.tree.map(
            np.testing.assert_array_equal, jax.tree.map(lambda x, i=i: x[i], batch), expected
        )
