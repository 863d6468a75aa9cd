import dataclasses

import cv2
import numpy as np
import pytest

from maskformer_jax.config import AugmentConfig
from maskformer_jax.data.transforms import (
    augment,
    draw_crop,
    pad_to,
    resize_image,
    resize_label_map,
    shortest_edge_size,
)


def golden_sizes(golden, prefix):
    for key in golden:
        if key.startswith(prefix):
            height, width = key.removeprefix(prefix).split("x")
            yield key, (int(height), int(width))


def test_image_resize_equals_published_code(golden):
    cases = list(golden_sizes(golden, "data/image_"))
    assert len(cases) == 5
    for key, size in cases:
        np.testing.assert_array_equal(resize_image(golden["data/image"], size), golden[key])
    np.testing.assert_array_equal(
        resize_image(golden["data/big_image"], (45, 60)), golden["data/big_image_45x60"]
    )


def shrink_rows(image, size):
    """Pillow's bilinear filter along axis 0, from its definition."""
    scale = len(image) / size
    assert scale >= 1
    rows = []
    for row in range(size):
        center = (row + 0.5) * scale
        weights = np.maximum(1 - np.abs(np.arange(len(image)) + 0.5 - center) / scale, 0)
        fixed = np.floor(weights / weights.sum() * 2**22 + 0.5).astype(np.int64)
        rows.append((np.tensordot(fixed, image.astype(np.int64), 1) + 2**21) >> 22)
    return np.clip(rows, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(20, 70), (40, 20), (13, 13)])
def test_columns_are_resized_before_rows(size):
    # Newer versions of Pillow would do the rows of the first of these sizes first.
    image = np.random.default_rng(0).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    columns = shrink_rows(image.swapaxes(0, 1), size[1]).swapaxes(0, 1)
    np.testing.assert_array_equal(resize_image(image, size), shrink_rows(columns, size[0]))
    rows_first = shrink_rows(shrink_rows(image, size[0]).swapaxes(0, 1), size[1]).swapaxes(0, 1)
    assert (resize_image(image, size) != rows_first).any()


def test_label_resize_equals_published_code(golden):
    cases = list(golden_sizes(golden, "data/labels_"))
    assert len(cases) == 4
    for key, size in cases:
        np.testing.assert_array_equal(resize_label_map(golden["data/labels"], size), golden[key])


def test_label_resize_takes_the_pixels_torch_takes(golden):
    for number, (in_size, out_size) in enumerate(golden["resize/nearest_pairs"]):
        expected = golden[f"resize/nearest_torch_f64/{number}"]
        square = np.arange(in_size * in_size).reshape(in_size, in_size)
        resized = resize_label_map(square, (int(out_size), int(out_size)))
        np.testing.assert_array_equal(resized, square[expected[:, None], expected])


def test_shortest_edge_size_equals_published_code(golden):
    for height, width, short_edge, max_size, *expected in golden["data/shortest_edge"].tolist():
        assert shortest_edge_size((height, width), short_edge, max_size) == tuple(expected)


def test_crops_are_uniform_over_all_positions():
    rng = np.random.default_rng(0)
    crops = [draw_crop((5, 9), (3, 4), rng) for _ in range(2000)]
    assert {(rows.stop - rows.start, cols.stop - cols.start) for rows, cols in crops} == {(3, 4)}
    counts = np.zeros((3, 6))
    for rows, columns in crops:
        counts[rows.start, columns.start] += 1
    assert counts.min() > 2000 / 18 * 0.6


def test_a_crop_larger_than_the_image_takes_the_image():
    assert draw_crop((5, 9), (7, 4), np.random.default_rng(0))[0] == slice(0, 5)


def test_padding_is_at_the_bottom_and_at_the_right():
    padded = pad_to(np.arange(6).reshape(2, 3), (4, 5), -1)
    np.testing.assert_array_equal(padded[:2, :3], [[0, 1, 2], [3, 4, 5]])
    assert (padded[2:] == -1).all()
    assert (padded[:, 3:] == -1).all()


CONFIG = AugmentConfig(short_edges=(30, 40, 60), max_size=70, crop_size=(32, 48), color=False)


def draw_labels_into_image():
    """Draw a label map of large blocks, and an image that shows label k as grey 20 k."""
    label_map = np.kron(np.arange(20).reshape(4, 5) % 12, np.ones((10, 10))).astype(np.int32)
    return np.repeat((20 * label_map).astype(np.uint8)[..., None], 3, axis=2), label_map


def test_image_and_labels_stay_aligned():
    image, label_map = draw_labels_into_image()
    rng = np.random.default_rng(0)
    for _ in range(60):
        crop, labels = augment(image, label_map, CONFIG, rng)
        assert crop.shape == (32, 48, 3)
        assert labels.shape == (32, 48)
        # The bilinear resize mixes colours along the borders of the blocks, and only there; what
        # borders on the edge of the crop is not known.
        values = labels.astype(np.float32)
        square = np.ones((5, 5), np.uint8)
        inside = cv2.dilate(values, square) == cv2.erode(values, square)
        inside[:2], inside[-2:], inside[:, :2], inside[:, -2:] = False, False, False, False
        assert inside.mean() > 0.2  # enough is left to compare
        expected = np.where(labels >= 0, 20 * labels, 128)
        np.testing.assert_array_equal(crop[inside][:, 0], expected[inside])


def test_image_and_labels_stay_aligned_to_the_pixel_where_nothing_is_resized():
    image, label_map = draw_labels_into_image()
    config = dataclasses.replace(CONFIG, short_edges=(40,))
    rng = np.random.default_rng(0)
    for _ in range(60):
        crop, labels = augment(image, label_map, config, rng)
        np.testing.assert_array_equal(crop[..., 0], 20 * labels)


def test_half_of_the_images_are_flipped():
    image, label_map = draw_labels_into_image()
    config = dataclasses.replace(CONFIG, short_edges=(40,), crop_size=(40, 50))
    rng = np.random.default_rng(0)
    flipped = 0
    for _ in range(400):
        crop, labels = augment(image, label_map, config, rng)
        is_flipped = not np.array_equal(labels, label_map)
        turn = slice(None, None, -1 if is_flipped else 1)
        np.testing.assert_array_equal(labels, label_map[:, turn])
        np.testing.assert_array_equal(crop, image[:, turn])
        flipped += is_flipped
    assert abs(flipped - 200) < 50


@pytest.mark.parametrize("height", [20, 60])
def test_small_images_are_padded_with_grey_and_void(height):
    image = np.full((height, 40, 3), 7, np.uint8)
    config = dataclasses.replace(CONFIG, short_edges=(min(height, 40),), crop_size=(50, 60))
    crop, labels = augment(image, np.zeros((height, 40), np.int32), config, _rng())
    rows = min(height, 50)
    assert (crop[:rows, :40] == 7).all()
    assert (labels[:rows, :40] == 0).all()
    for outside in (np.s_[rows:], np.s_[:, 40:]):
        assert (crop[outside] == 128).all()
        assert (labels[outside] == -1).all()


def test_colour_changes_the_image_and_never_the_labels():
    image, label_map = draw_labels_into_image()
    config = dataclasses.replace(CONFIG, short_edges=(40,), crop_size=(40, 50), flip=False)
    changed = 0
    for seed in range(20):
        crop, labels = augment(
            image, label_map, dataclasses.replace(config, color=True), np.random.default_rng(seed)
        )
        np.testing.assert_array_equal(labels, label_map)
        changed += not np.array_equal(crop, image)
    assert changed > 10


def _rng():
    return np.random.default_rng(0)
