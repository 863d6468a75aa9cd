import numpy as np
import pytest

from maskformer_jax.data.color import ColorDistortion, distort_color, draw_distortion

ALL = {"brightness": 12.5, "contrast": 1.21, "saturation": 0.77, "hue": -7}
CASES = {
    "none": ColorDistortion(),
    **{f"brightness_{v}": ColorDistortion(brightness=v) for v in (-32.0, -7.3, 15.5, 32.0)},
    **{f"contrast_{v}": ColorDistortion(contrast=v) for v in (0.5, 0.93, 1.5)},
    **{f"saturation_{v}": ColorDistortion(saturation=v) for v in (0.5, 0.93, 1.5)},
    **{f"hue_{v}": ColorDistortion(hue=v) for v in (-18, -1, 0, 5, 18)},
    "all_contrast_first": ColorDistortion(**ALL, contrast_first=True),
    "all_contrast_last": ColorDistortion(**ALL, contrast_first=False),
}


@pytest.mark.parametrize("name", CASES)
def test_distortion_equals_published_code(golden, name):
    np.testing.assert_array_equal(
        distort_color(golden["color/image"], CASES[name]), golden[f"color/{name}"]
    )


def test_every_golden_distortion_is_tested(golden):
    keys = {key.removeprefix("color/") for key in golden if key.startswith("color/")}
    assert keys == {*CASES, "image"}


def test_draws_have_the_published_ranges_and_probabilities():
    rng = np.random.default_rng(0)
    draws = [draw_distortion(rng) for _ in range(4000)]
    for name, low, high in (
        ("brightness", -32, 32),
        ("contrast", 0.5, 1.5),
        ("saturation", 0.5, 1.5),
        ("hue", -18, 18),
    ):
        values = [value for draw in draws if (value := getattr(draw, name)) is not None]
        assert abs(len(values) / len(draws) - 0.5) < 0.04, name
        span = high - low
        assert low <= min(values) < low + 0.02 * span, name
        assert high - 0.02 * span < max(values) <= high, name
    assert {draw.hue for draw in draws} - {None} == set(range(-18, 19))
    assert abs(np.mean([draw.contrast_first for draw in draws]) - 0.5) < 0.04
