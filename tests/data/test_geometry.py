"""Geometry of the COCO panoptic recipe, against the published mapper."""

import numpy as np
import pytest
from PIL import Image

from maskformer_jax.config import AugmentConfig
from maskformer_jax.data.geometry import (
    Crop,
    Geometry,
    draw_geometries,
    transform_image,
    transform_map,
)
from maskformer_jax.data.transforms import (
    augment,
    resize_id_map,
    shortest_edge_size,
    shortest_edge_sizes,
)

CONFIG = AugmentConfig(
    short_edges=(480, 640, 800),
    max_size=1333,
    crop_kind="absolute_range",
    crop_size=(384, 600),
    crop_probability=0.5,
    pre_crop_short_edges=(400, 500, 600),
    color=False,
)


def test_id_maps_are_resized_like_the_published_rgb_images(golden):
    sizes = [key.removeprefix("data/id_map_") for key in golden if key.startswith("data/id_map_")]
    assert len(sizes) == 4
    for text in sizes:
        height, width = map(int, text.split("x"))
        resized = resize_id_map(golden["data/id_map"], (height, width))
        np.testing.assert_array_equal(resized, golden[f"data/id_map_{text}"])
        assert resized.dtype == np.int32


def test_id_map_resize_takes_the_pixels_pillow_takes(golden):
    for number, (in_size, out_size) in enumerate(golden["resize/nearest_pairs"].tolist()):
        expected = golden[f"resize/nearest_pil/{number}"]
        for dtype in (np.int32, np.uint8):
            line = (np.arange(in_size) % 251).astype(dtype)
            np.testing.assert_array_equal(
                resize_id_map(line[None], (1, out_size))[0], line[expected]
            )


def test_sizes_of_many_images_are_those_of_each(golden):
    cases = golden["data/shortest_edge"]
    for height, width, short, longest, *expected in cases.tolist():
        [size] = shortest_edge_sizes(np.array([[height, width]]), np.array([short]), float(longest))
        assert size.tolist() == expected
    assert shortest_edge_size((100, 1000), 800, 1333) == (133, 1333)


def test_draws_have_the_published_ranges():
    rng = np.random.default_rng(0)
    sizes = np.repeat([[480, 640], [640, 427], [300, 1000]], 1500, axis=0)
    drawn = draw_geometries(sizes, CONFIG, rng)
    assert abs(drawn.flip.mean() - 0.5) < 0.03
    assert abs(drawn.is_cropped.mean() - 0.5) < 0.03
    np.testing.assert_array_equal(np.unique(drawn.resized.min(axis=1)), [400, 500, 600])
    assert drawn.crop_size.min() == 384
    assert drawn.crop_size.max() == 600
    # A side of 400 cannot give more than 400 pixels.
    assert drawn.crop_size[drawn.resized[:, 0] == 400, 0].max() == 400
    end = drawn.crop_start + drawn.crop_size
    assert drawn.crop_start.min() == 0
    assert (end <= drawn.resized).all()
    assert (end == drawn.resized).any()
    whole = drawn.size[~drawn.is_cropped & (sizes[:, 0] == 480)]
    assert {tuple(size) for size in whole.tolist()} == {(480, 640), (640, 853), (800, 1067)}
    assert (drawn.size.min(axis=1) <= 800).all()
    assert (drawn.size.max(axis=1) <= 1333).all()
    for index in np.flatnonzero(drawn.is_cropped)[:50]:
        expected = shortest_edge_size(
            tuple(drawn.crop_size[index].tolist()), int(drawn.size[index].min()), 1333
        )
        if drawn.size[index].max() < 1333:
            assert tuple(drawn.size[index].tolist()) == expected


def test_recipes_without_flip_or_crop():
    config = AugmentConfig(short_edges=(50,), max_size=80, flip=False)
    drawn = draw_geometries(np.array([[40, 60]] * 20), config, np.random.default_rng(0))
    assert not drawn.flip.any()
    assert not drawn.is_cropped.any()
    assert drawn.take(0)[:3] == (False, None, (50, 75))


def draw_ids(rng):
    id_map = rng.integers(0, 2**24, size=(6, 8)).astype(np.int32)
    return np.kron(id_map, np.ones((10, 10), np.int32))


def test_order_is_flip_resize_crop_resize():
    rng = np.random.default_rng(1)
    id_map = draw_ids(rng)
    geometry = Geometry(True, Crop((75, 100), slice(3, 53), slice(20, 81)), (80, 98), 0)
    channels = [Image.fromarray(((id_map >> shift) & 255).astype(np.uint8)) for shift in (0, 8, 16)]
    picture = Image.merge("RGB", channels).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture = picture.resize((100, 75), Image.Resampling.NEAREST).crop((20, 3, 81, 53))
    expected = np.array(picture.resize((98, 80), Image.Resampling.NEAREST)).astype(np.int32)
    np.testing.assert_array_equal(transform_map(id_map, geometry), expected @ [1, 256, 65536])
    image = rng.integers(0, 256, size=(60, 80, 3), dtype=np.uint8)
    picture = Image.fromarray(image[:, ::-1]).resize((100, 75), Image.Resampling.BILINEAR)
    picture = picture.crop((20, 3, 81, 53)).resize((98, 80), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(transform_image(image, geometry, color=False), picture)


def test_colours_follow_their_seed():
    image = np.random.default_rng(0).integers(0, 256, size=(20, 30, 3), dtype=np.uint8)
    one, same, other = (
        transform_image(image, Geometry(False, None, (20, 30), seed), color=True)
        for seed in (4, 4, 6)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("seed", range(4))
def test_ade20k_panoptic_crops_take_pillows_pixels(seed):
    """The panoptic mapper with fixed crops is the semantic one with ids, padded with 0."""
    id_map = draw_ids(np.random.default_rng(seed))
    image = np.repeat((id_map % 200).astype(np.uint8)[..., None], 3, axis=2)
    config = AugmentConfig(short_edges=(70,), max_size=100, crop_size=(72, 90), color=False)
    _, ids = augment(image, id_map, config, np.random.default_rng(seed), is_id_map=True)
    whole = resize_id_map(id_map, (70, 93))
    rng = np.random.default_rng(seed)
    rng.integers(1)
    rng.integers(0, endpoint=True)
    left = int(rng.integers(3, endpoint=True))
    expected = whole[:, left : left + 90]
    if rng.random() < 0.5:
        expected = expected[:, ::-1]
    np.testing.assert_array_equal(ids[:70], expected)
    assert (ids[70:] == 0).all()
