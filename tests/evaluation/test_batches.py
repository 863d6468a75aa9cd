"""Results of an image do not depend on its batch: on a CPU, not a bit of them."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
from compiled_as_users_do import AS_USERS_DO

from maskformer_jax.categories import Category
from maskformer_jax.config import (
    Config,
    EvalConfig,
    FPNConfig,
    MaskFormerDecoderConfig,
    ModelConfig,
    SwinConfig,
)
from maskformer_jax.data.eval_examples import ImageShape
from maskformer_jax.evaluation import devices as devices_module
from maskformer_jax.evaluation.devices import LocalDevices
from maskformer_jax.evaluation.image_loop import map_alone
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.runner import Evaluator
from maskformer_jax.models.build import build_model

CATEGORIES = tuple(
    Category(name=name, color=(40 * i, 0, 0), is_thing=i % 2 == 0)
    for i, name in enumerate(("cat", "sky", "dog", "sea"))
)
SIZES = ((33, 64), (64, 48), (47, 61), (64, 64), (40, 40), (64, 35), (50, 50), (39, 64))
BUCKET_SHAPE = ImageShape((64, 64), (96, 80))


def make_config(batch_size: int) -> Config:
    model = ModelConfig(
        backbone=SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 2), window=4),
        pixel_decoder=FPNConfig(conv_dim=32, mask_dim=32),
        transformer_decoder=MaskFormerDecoderConfig(
            num_queries=20, num_layers=1, hidden_dim=32, num_heads=2, ffn_dim=32, dropout=0.0
        ),
    )
    settings = EvalConfig(
        task="panoptic", batch_size=batch_size, object_mask_threshold=0.0, max_instances=5
    )
    return Config(model=model, eval=settings)


@pytest.fixture(scope="module", autouse=True)
def optimized() -> Iterator[None]:
    """Compile as users do: at the tests' own level most sums have the same order anyway."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices_module, "inference_options", lambda *_, **__: AS_USERS_DO)
        yield


@pytest.fixture(scope="module")
def model() -> tuple[Any, Any]:
    module = build_model(make_config(1).model, num_classes=len(CATEGORIES))
    blank = np.zeros((1, 64, 64, 3), np.uint8)
    return module, jax.jit(module.init)(jax.random.key(0), blank)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


def segment(
    model: tuple[Any, Any],
    images: Sequence[np.ndarray],
    chosen: Sequence[int],
    *,
    batch_size: int,
    devices: int = 1,
) -> dict[int, Outputs]:
    """The results of some images by their index, in batches of one bucket."""
    module, variables = model
    evaluator = Evaluator(
        module,
        make_config(batch_size),
        categories=CATEGORIES,
        devices=LocalDevices(jax.devices()[:devices]),
    )
    bucket = evaluator.bucket_for(BUCKET_SHAPE)._replace(exact=False)
    results: dict[int, Outputs] = {}
    for start in range(0, len(chosen), batch_size * devices):
        batch = chosen[start : start + batch_size * devices]
        sizes = [(height + 16, width + 7) for height, width in (SIZES[i] for i in batch)]
        outputs = evaluator.run(variables, bucket, [images[i] for i in batch], sizes)()
        results |= zip(batch, outputs, strict=True)
    return results


@pytest.fixture(scope="module")
def alone(model, images) -> Callable[[int], dict[int, Outputs]]:
    """The results of each image in a batch of its own, by the number of devices."""
    return cache(
        lambda devices: segment(model, images, range(8), batch_size=1, devices=devices),
    )


@pytest.mark.parametrize(
    ("chosen", "batch_size", "devices"),
    [
        (range(8), 8, 1),
        pytest.param((2, 7, 1, 0, 3), 3, 1, marks=pytest.mark.slow),
        pytest.param((6, 1, 5), 2, 2, marks=pytest.mark.slow),
    ],
)
def test_neither_batch_size_nor_other_images_change_a_bit(
    model, images, alone, chosen, batch_size, devices
) -> None:
    results = segment(model, images, chosen, batch_size=batch_size, devices=devices)
    assert sorted(results) == sorted(chosen)
    expected = alone(devices)
    for i in chosen:
        assert results[i].instances.score.min() > 0  # digits that any rounding would change
        for ours, one in zip(
            jax.tree.leaves(results[i]), jax.tree.leaves(expected[i]), strict=True
        ):
            np.testing.assert_array_equal(ours, one)


def test_the_batch_size_changes_no_bucket(model) -> None:
    random = np.random.default_rng(0)
    shapes = [
        ImageShape((h, w), (2 * h, 2 * w)) for h, w in random.integers(33, 600, (30, 2)).tolist()
    ]
    plans = [
        Evaluator(model[0], make_config(batch_size), categories=CATEGORIES).plan(shapes)
        for batch_size in (1, 7, 30)
    ]
    assert len(plans[0].buckets) > 1
    assert plans[0] == plans[1] == plans[2]


@pytest.mark.slow
def test_devices_change_no_more_than_the_last_bits_of_scores(alone) -> None:
    for several, single in zip(alone(2).values(), alone(1).values(), strict=True):
        for ours, expected in zip(jax.tree.leaves(several), jax.tree.leaves(single), strict=True):
            rtol = 1e-6 if expected.dtype == np.float32 else 0
            np.testing.assert_allclose(ours, expected, rtol=rtol)


@pytest.mark.parametrize("count", range(4))
def test_images_that_are_not_there_are_left_out(count: int) -> None:
    turns = []

    def double(image: dict[str, Any]) -> Any:
        jax.debug.callback(lambda i: turns.append(int(i)), image["number"])
        return {"twice": 2 * image["pixels"], "number": image["number"]}

    pixels = np.arange(12, dtype=np.float32).reshape(3, 4)
    batch = {"pixels": pixels, "number": np.arange(3, dtype=np.int32)}
    results = jax.jit(lambda batch, n: map_alone(double, batch, count=n))(batch, count)
    jax.effects_barrier()
    assert sorted(turns) == list(range(count))
    np.testing.assert_array_equal(results["twice"][:count], 2 * pixels[:count])
    np.testing.assert_array_equal(results["number"][:count], np.arange(count))
    assert results["twice"].shape == (3, 4)
    assert results["number"].dtype == batch["number"].dtype
