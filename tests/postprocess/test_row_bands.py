"""Bands of rows: their number and size, and rows of resized maps one by one."""

from collections.abc import Callable
from functools import partial
from typing import Any

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
    row_bands,
    semantic_labels,
)
from maskformer_jax.postprocess.image_sizes import MapWork, SizeBounds
from maskformer_jax.postprocess.resized_rows import resized
from maskformer_jax.postprocess.row_bands import all_rows, map_bands, rows_of
from maskformer_jax.resize import resize_bilinear

RNG = np.random.default_rng(3)
SIZES = ImageSizes(padded_size=(16, 8), image_size=(16, 8), output_size=(16, 5))


@pytest.mark.parametrize(
    ("output_size", "channels", "rows_per_band", "bands", "rows"),
    [
        ((1000, 1024), 64, None, 63, 16),  # 16 rows of 64 float32 maps are 4 MiB
        ((100, 1024), 512, None, 13, 8),  # 8 rows of 512 are 16 MiB
        ((10, 2**20), 8, None, 5, 2),  # 2 rows of 8 are 64 MiB
        ((3, 2**21), 9, None, 3, 1),  # a single row is more than that
        ((10, 7), 2, None, 1, 10),
        ((10, 7), 2, 3, 4, 3),
        ((10, 7), 2, 5, 2, 5),
        ((10, 7), 2, 11, 1, 10),
    ],
)
def test_number_and_size_of_bands(
    output_size: tuple[int, int], channels: int, rows_per_band: int | None, bands: int, rows: int
) -> None:
    height = output_size[0]
    lengths = set()

    def read(index: jax.Array, is_output: jax.Array) -> tuple[jax.Array, Any]:
        lengths.add(len(index))
        return index[:, None], (
            1,
            is_output.astype(int),
            jnp.where(is_output[:, 0], index, 0).sum(),
        )

    indices, (count, valid, total) = map_bands(
        read,
        sizes=ImageSizes(output_size, output_size, output_size),
        channels=channels,
        rows_per_band=rows_per_band,
    )
    assert lengths == {rows}
    assert count == bands
    assert valid.shape == (rows, 1)
    assert valid.sum() == height
    assert total == height * (height - 1) // 2
    np.testing.assert_array_equal(indices, np.arange(height)[:, None])


def test_maps_of_bands_are_joined_and_the_rest_is_added_up() -> None:
    whole = RNG.integers(100, size=(3, 10, 7))

    def read(rows: jax.Array, is_output: jax.Array) -> tuple[Any, Any]:
        maps = jnp.asarray(whole)[:, rows]
        return {"maps": maps, "first": maps[0]}, jnp.where(is_output, maps, 0).sum(axis=(1, 2))

    maps, sums = map_bands(
        read, sizes=ImageSizes((10, 7), (10, 7), (10, 7)), channels=3, rows_per_band=4
    )
    np.testing.assert_array_equal(maps["maps"], whole)
    np.testing.assert_array_equal(maps["first"], whole[0])
    np.testing.assert_array_equal(sums, whole.sum(axis=(1, 2)))


@pytest.mark.parametrize("to_size", [(6, 8), (13, 5), (4, 17), (1, 1), (6, 9), (8, 5), (7, 6)])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_rows_of_resized_maps_equal_rows_of_the_whole(
    to_size: tuple[int, int], number: int
) -> None:
    maps = jnp.asarray(RNG.normal(size=(2, 6, 8)), jnp.float32)
    source = resized(rows_of(maps), from_size=(6, 8), to_size=to_size)
    whole = np.asarray(all_rows(source, to_size[0]))
    np.testing.assert_allclose(whole, resize_bilinear(maps, to_size), atol=1e-6)
    for start in range(to_size[0] - number + 1):
        rows = jnp.arange(start, start + number)
        np.testing.assert_array_equal(source(rows), whole[:, start : start + number])


def lengths_of_loops(function: Callable[..., Any], *arguments: Any) -> list[int]:
    equations = jax.make_jaxpr(function)(*arguments).jaxpr.eqns
    return [one.params["length"] for one in equations if one.primitive.name == "scan"]


def augmented(class_logits: Any, mask_logits: Any) -> Any:
    views = [View(SIZES, False)] * 2
    return augmented_labels([class_logits] * 2, [mask_logits] * 2, views=views)


@pytest.mark.parametrize(
    ("function", "queries", "classes", "maps"),
    [
        (partial(semantic_labels, sizes=SIZES), 2, 3, 3),
        (partial(semantic_labels, sizes=SIZES), 3, 2, 3),
        (augmented, 2, 3, 3),
        (augmented, 3, 2, 3),
        (partial(general_semantic_labels, sizes=SIZES), 3, 5, 3),
        (partial(panoptic_inference, is_thing=np.ones(5, bool), **SIZES._asdict()), 3, 5, 3),
        (
            partial(
                instance_inference, is_thing=np.ones(5, bool), **SIZES._asdict(), max_instances=3
            ),
            2,
            5,
            3,
        ),
        (lambda _, masks: per_pixel_labels(masks, sizes=SIZES), 3, 5, 3),
    ],
)
def test_bands_are_as_large_as_the_number_of_maps_allows(
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[..., Any],
    queries: int,
    classes: int,
    maps: int,
) -> None:
    # Four rows of `maps` maps; one map more or less would give three or six.
    work = MapWork(band_bytes=4 * maps * 4 * SIZES.output_size[1])
    monkeypatch.setattr(ImageSizes, "work", work)
    monkeypatch.setattr(row_bands, "_FEW_ROWS", 1)
    class_logits = jnp.zeros((queries, classes + 1))
    assert lengths_of_loops(function, class_logits, jnp.zeros((queries, 4, 2))) == [4]


@pytest.mark.parametrize(
    ("work", "bands", "rows"),
    [
        (MapWork(2**23), 1, 100),
        (MapWork(2**22), 2, 50),
        (MapWork(2**20), 8, 13),
        (MapWork(2**20, row_multiple=8), 7, 16),
        (MapWork(2**23, row_multiple=32), 1, 128),
    ],
)
def test_bounds_say_how_large_bands_are(work: MapWork, bands: int, rows: int) -> None:
    # A row of 100 maps takes 80,000 bytes: 104, 52 or 13 rows, made alike.
    bounds = SizeBounds((128, 128), (100, 200), 1.0, work)

    def band_of_rows(size: jax.Array) -> Any:
        sizes = ImageSizes((128, 128), (128, 128), (size[0], size[1]), bounds)
        return map_bands(lambda index, _: (index[:, None], (1, index)), sizes=sizes, channels=100)

    indices, (count, last) = band_of_rows(jnp.array([100, 200]))
    assert (count, *last.shape) == (bands, rows)
    np.testing.assert_array_equal(indices, np.arange(100)[:, None])
