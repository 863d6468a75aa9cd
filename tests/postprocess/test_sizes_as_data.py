"""Post-processing with sizes as data, against the same functions with sizes known beforehand."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.postprocess import (
    ImageSizes,
    View,
    augmented_labels,
    general_semantic_labels,
    instance_inference,
    panoptic_inference,
    per_pixel_labels,
    semantic_inference,
    semantic_labels,
)
from maskformer_jax.postprocess.image_sizes import SizeBounds, map_work
from maskformer_jax.postprocess.masks import input_masks, output_masks
from maskformer_jax.postprocess.resized_rows import Resize, resized_within
from maskformer_jax.postprocess.row_bands import best_class, map_bands, rows_of
from maskformer_jax.resize import (
    bilinear_taps,
    bilinear_taps_of_data,
    padded_size,
    resize_bilinear,
)

BATCH = (96, 128)  # padded size that the network ran on
LARGEST = (150, 140)
HIGHEST = jax.lax.Precision.HIGHEST
BOUNDS = SizeBounds(padded_size=BATCH, output_size=LARGEST, shrinkage=2.0)
TPU_BOUNDS = BOUNDS._replace(work=map_work("tpu", HIGHEST))
# (image, result): enlarged, reduced, as it is, odd, a single pixel.
CASES = [
    ((61, 90), (150, 99)),
    ((96, 128), (48, 64)),
    ((64, 101), (64, 101)),
    ((33, 7), (17, 140)),
    ((1, 1), (1, 1)),
]
IS_THING = np.array([True, False, True, False])
Q, K = 7, 4


@pytest.fixture(scope="module")
def logits() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    classes = rng.normal(size=(Q, K + 1)).astype(np.float32) * 2
    return jnp.asarray(classes), rng.normal(size=(Q, 24, 32)).astype(np.float32) * 3


def alone(masks: np.ndarray, sizes: ImageSizes) -> np.ndarray:
    height, width = (-(-side // 4) for side in sizes.padded_size)
    return masks[:, :height, :width]


def exact_sizes(case: tuple, multiple: int = 0) -> ImageSizes:
    image, output = case
    return ImageSizes(padded_size(image, multiple), image, output)


def as_data(sizes: ImageSizes) -> np.ndarray:
    return np.array(sizes[:3], np.int32)


def to_sizes(array: jax.Array, bounds: SizeBounds = BOUNDS) -> ImageSizes:
    return ImageSizes(*((size[0], size[1]) for size in array), bounds)


def crop(array: np.ndarray, sizes: ImageSizes) -> np.ndarray:
    height, width = sizes.output_size
    return np.asarray(array)[..., :height, :width]


def check(infer, masks, *, rows: tuple = (None, 16), multiple: int = 32) -> None:
    """`infer(masks, sizes, rows_per_band)` gives the same maps both ways."""
    ways = [(rows_per_band, BOUNDS) for rows_per_band in rows] + [(None, TPU_BOUNDS)]
    exact = [exact_sizes(case, multiple) for case in CASES]
    all_expected = [infer(jnp.asarray(alone(masks, sizes)), sizes, None) for sizes in exact]
    for rows_per_band, bounds in ways:
        program = jax.jit(
            lambda masks, array, n=rows_per_band, bounds=bounds: infer(
                masks, to_sizes(array, bounds), n
            )
        )
        for sizes, expected in zip(exact, all_expected, strict=True):
            # Values outside of the image must not count, whatever they are.
            spoiled = np.full_like(masks, 1e4)
            spoiled[:, : -(-sizes.padded_size[0] // 4), : -(-sizes.padded_size[1] // 4)] = alone(
                masks, sizes
            )
            actual = program(spoiled, as_data(sizes))
            for ours, theirs in zip(
                jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True
            ):
                if ours.ndim >= 2:
                    ours = crop(ours, sizes)
                if ours.dtype == np.float32:
                    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
                else:
                    np.testing.assert_array_equal(ours, theirs)
        assert program._cache_size() == 1


def test_taps_are_those_of_known_sizes():
    taps = jax.jit(bilinear_taps_of_data)
    sizes = [*range(1, 40), 128, 427, 640, 800, 1333]
    for in_size in sizes:
        for out_size in (1, 2, 3, 7, 32, 33, 480, 1067):
            index = np.arange(1067)
            low, high, weight = taps(index, jnp.int32(in_size), jnp.int32(out_size))
            expected = bilinear_taps(in_size, out_size)
            source = np.zeros((2, out_size))
            for row, (first, second, part) in zip(
                source, ((low, high, weight), expected), strict=True
            ):
                # The same point between the same pixels, in whichever way it is written.
                first, second, part = (np.asarray(x)[:out_size] for x in (first, second, part))
                row[:] = first * (1 - part.astype(np.float64)) + second * part
                assert first.min() >= 0
                assert second.max() <= in_size - 1
            np.testing.assert_allclose(source[0], source[1], atol=2e-7 * in_size, rtol=0)


def test_source_rows_suffice_where_a_stride_rounds_up():
    """Any rows of any image, from a map of a quarter of its size."""
    most, quarter = 97, 25

    @partial(jax.jit, static_argnums=2)
    def enlarge(maps, size, num_rows):
        """Each row of the image and the rows that follow it, [most, num_rows]."""
        rows = resized_within(
            rows_of(maps),
            [
                Resize(
                    from_size=(-(-size // 4), jnp.int32(1)),
                    to_size=(size, jnp.int32(4)),
                    from_bound=(quarter, 1),
                    to_bound=(most, 4),
                    shrinkage=1 / 4,
                )
            ],
            work=BOUNDS.work,
        )

        def from_row(start):
            return rows(jnp.minimum(start + jnp.arange(num_rows), size - 1))[0, :, 0]

        return jax.vmap(from_row)(jnp.arange(most))

    random = np.random.default_rng(0)
    maps = random.normal(size=(1, quarter, 1)).astype(np.float32)
    for size in (*range(1, 14), 41, 42, 45, 46, 61, 65, most):
        whole = np.asarray(resize_bilinear(maps[:, : -(-size // 4)], (size, 1)))[0, :, 0]
        for num_rows in (2, 5, 32):
            index = np.minimum(np.arange(size)[:, None] + np.arange(num_rows), size - 1)
            ours = np.asarray(enlarge(maps, jnp.int32(size), num_rows))[:size]
            np.testing.assert_allclose(ours, whole[index], rtol=1e-5, atol=1e-6)


def test_masks_of_the_input_never_exist(logits):
    """Both resizes are one, so that the columns between them, here 128, are in no map."""
    bounds = BOUNDS._replace(output_size=(60, 70))
    rows = jnp.arange(60)

    def shapes(masks_of) -> set[tuple[int, ...]]:
        program = jax.jit(lambda masks, array: masks_of(masks, to_sizes(array, bounds))(rows))
        text = program.lower(logits[1], as_data(exact_sizes(CASES[1], 32))).as_text()
        found = re.findall(rf"tensor<{Q}x(\d+)x(\d+)xf32>", text)
        return {(int(height), int(width)) for height, width in found}

    assert (60, 128) in shapes(input_masks)
    assert (60, 70) in shapes(output_masks)
    assert not {width for _, width in shapes(output_masks)} & {BATCH[1]}


def test_columns_are_read_as_they_come():
    """In blocks where columns come last, if the device likes it; what is read is joined."""
    maps = jnp.asarray(np.random.default_rng(0).normal(size=(5, 20, 30)), jnp.float32)

    def rows_of_result(shrinkage, to_size, read, *, by_block=True):
        return resized_within(
            rows_of(maps),
            [
                Resize(
                    from_size=(jnp.int32(20), jnp.int32(30)),
                    to_size=tuple(jnp.int32(side) for side in to_size),
                    from_bound=(20, 30),
                    to_bound=to_size,
                    shrinkage=shrinkage,
                )
            ],
            work=BOUNDS.work._replace(block=16, read_by_block=by_block),
            read=read,
        )(jnp.arange(to_size[0]))

    for shrinkage, to_size in ((1.0, (20, 30)), (0.25, (80, 120))):
        widths = []

        def read(block, widths=widths):
            widths.append(block.shape[2])
            return best_class(block)

        labels = rows_of_result(shrinkage, to_size, read)
        np.testing.assert_array_equal(labels, best_class(rows_of_result(shrinkage, to_size, None)))
        assert widths == ([16, 14] if shrinkage == 1 else [120])
        widths.clear()
        joined = rows_of_result(shrinkage, to_size, read, by_block=False)
        np.testing.assert_array_equal(joined, labels)
        assert widths == [to_size[1]]


@pytest.mark.parametrize("before", [False, True])
def test_products_have_the_precision_that_bounds_say(logits, before):
    classes, masks = logits

    def lower(precision):
        bounds = BOUNDS._replace(work=BOUNDS.work._replace(precision=precision))
        program = jax.jit(
            lambda masks, array: semantic_labels(
                classes, masks, sizes=to_sizes(array, bounds), resize_before_inference=before
            )
        )
        text = program.lower(masks, as_data(exact_sizes(CASES[0], 32))).as_text()
        products = [line for line in text.splitlines() if "dot_general" in line]
        # Of maps [c, h, w]; those of two matrices of weights are always precise.
        return [line for line in products if re.search(r"tensor<\d+x\d+x\d+xf32>", line)]

    for line in lower(jax.lax.Precision.HIGH):
        assert "HIGH, HIGH]" in line
    highest = lower(HIGHEST)
    assert len(highest) >= 4
    for line in highest:
        assert "HIGHEST, HIGHEST]" in line


@pytest.mark.parametrize("before", [False, True])
def test_semantic_labels(logits, before):
    classes, masks = logits
    check(
        lambda masks, sizes, rows: semantic_labels(
            classes, masks, sizes=sizes, resize_before_inference=before, rows_per_band=rows
        ),
        masks,
    )


def test_semantic_scores(logits):
    classes, masks = logits
    check(
        lambda masks, sizes, rows: semantic_inference(classes, masks, **sizes._asdict()),
        masks,
        rows=(None,),
        multiple=0,
    )


def test_general_labels(logits):
    classes, masks = logits
    check(
        lambda masks, sizes, rows: general_semantic_labels(
            classes, masks, sizes=sizes, rows_per_band=rows
        ),
        masks,
    )


def test_per_pixel_labels(logits):
    check(
        lambda masks, sizes, rows: per_pixel_labels(masks, sizes=sizes, rows_per_band=rows),
        logits[1],
        multiple=0,
    )


def test_panoptic_segments(logits):
    classes, masks = logits
    check(
        lambda masks, sizes, rows: panoptic_inference(
            classes,
            masks,
            IS_THING,
            **sizes._asdict(),
            object_mask_threshold=0.3,
            overlap_threshold=0.3,
            rows_per_band=rows,
        ),
        masks,
    )


def test_instances(logits):
    classes, masks = logits
    check(
        lambda masks, sizes, rows: instance_inference(
            classes, masks, IS_THING, **sizes._asdict(), max_instances=9, rows_per_band=rows
        ),
        masks,
    )


def test_augmented_labels(logits):
    classes, masks = logits
    other = np.random.default_rng(1).normal(size=(Q, 16, 16)).astype(np.float32)
    bounds = SizeBounds((64, 64), LARGEST, 2.0)
    program = jax.jit(
        lambda masks, other, arrays: augmented_labels(
            [classes] * 2,
            [masks, other],
            views=[
                View(to_sizes(arrays[0]), mirrored=False),
                View(to_sizes(arrays[1], bounds), mirrored=True),
            ],
            rows_per_band=32,
        )
    )
    for image, output in (((61, 90), (150, 99)), ((64, 101), (64, 140))):
        sizes = exact_sizes((image, output), 32)
        smaller = exact_sizes(((image[0] // 2, image[1] // 2), output), 32)
        expected = augmented_labels(
            [classes] * 2,
            [jnp.asarray(alone(masks, sizes)), jnp.asarray(alone(other, smaller))],
            views=[View(sizes, mirrored=False), View(smaller, mirrored=True)],
        )
        arrays = np.stack([as_data(sizes), as_data(smaller)])
        np.testing.assert_array_equal(crop(program(masks, other, arrays), sizes), expected)


def test_bands_below_an_image_are_not_computed():
    sizes = ImageSizes((32, 32), (32, 32), (jnp.int32(10), jnp.int32(4)), BOUNDS)
    maps, count = jax.jit(
        lambda: map_bands(
            lambda rows, _: (jnp.ones((1, 8, 4)), 1), sizes=sizes, channels=1, rows_per_band=8
        )
    )()
    assert count == 2
    assert maps.shape == (1, LARGEST[0], 4)
    np.testing.assert_array_equal(maps[:, :16], np.ones((1, 16, 4)))
