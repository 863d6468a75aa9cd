"""Overlays of drawn label maps: exact colours, void, names, legends."""

import numpy as np
import pytest

from maskformer_jax.categories import Category
from maskformer_jax.visualize.colors import (
    blend,
    colorize,
    enlarge_labels,
    enlargement,
    find_boundaries,
)
from maskformer_jax.visualize.labels import label_comparison, overlay, overlay_with_legend
from maskformer_jax.visualize.legend import legend_entries
from maskformer_jax.visualize.text import font_for, text_color

CATEGORIES = (
    Category(name="sky", color=(70, 130, 180)),
    Category(name="road", color=(128, 64, 128)),
    Category(name="car", color=(0, 0, 142)),
    Category(name="snow", color=(250, 250, 250)),
)


def scene(height: int = 360, width: int = 480) -> tuple[np.ndarray, np.ndarray]:
    """Sky above road with a small car, and a void corner."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    label_map = np.zeros((height, width), np.int32)
    label_map[height // 2 :] = 1
    label_map[-6:, -6:] = 2
    label_map[: height // 4, : width // 4] = -1
    return image, label_map


def inner(label_map: np.ndarray, label: int) -> np.ndarray:
    return (label_map == label) & ~find_boundaries(label_map)


def test_colorize() -> None:
    label_map = np.array([[0, 1, -1], [3, 3, 2]])
    colors = colorize(label_map, CATEGORIES)
    expected = [
        [(70, 130, 180), (128, 64, 128), (0, 0, 0)],
        [(250, 250, 250), (250, 250, 250), (0, 0, 142)],
    ]
    np.testing.assert_array_equal(colors, expected)


@pytest.mark.parametrize("label", [4, -2])
def test_label_out_of_range(label: int) -> None:
    with pytest.raises(ValueError, match="4 categories"):
        colorize(np.array([[0, label]]), CATEGORIES)


def test_blend_is_linear_and_keeps_void() -> None:
    image, label_map = scene(12, 16)
    colors = colorize(label_map, CATEGORIES)
    void = label_map < 0
    for alpha in (0.0, 0.5, 1.0):
        mixed = blend(image, label_map, CATEGORIES, alpha=alpha)
        expected = (1 - alpha) * image.astype(float) + alpha * colors
        assert np.abs(mixed - expected)[~void].max() <= 0.5 + 1e-3
        np.testing.assert_array_equal(mixed[void], image[void])


def test_overlay_colours_are_exact_inside_and_void_is_untouched() -> None:
    image, label_map = scene()
    before = image.copy()
    picture = overlay(image, label_map, CATEGORIES, alpha=1.0, names=False)
    for label, category in enumerate(CATEGORIES[:3]):
        assert (picture[inner(label_map, label)] == category.color).all()
    lines = find_boundaries(label_map)
    assert (picture[lines].min(axis=1) > 180).all()
    named = overlay(image, label_map, CATEGORIES, alpha=1.0)
    for shown in (picture, named):
        np.testing.assert_array_equal(shown[label_map < 0], image[label_map < 0])
    np.testing.assert_array_equal(image, before)


def test_names_are_written_inside_large_regions_only() -> None:
    image, label_map = scene()
    plain = overlay(image, label_map, CATEGORIES, names=False)
    named = overlay(image, label_map, CATEGORIES)
    written = (plain != named).any(axis=2)
    for label, present in ((0, True), (1, True), (2, False), (-1, False)):
        assert written[label_map == label].any() == present
    ys, xs = np.nonzero(written & (label_map == 1))
    box = label_map[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    assert (box == 1).all()
    # The box of the text is high enough to be readable.
    assert ys.max() - ys.min() >= 12


def test_no_name_where_it_does_not_fit() -> None:
    image, label_map = scene()
    label_map[:] = -1
    label_map[:, 200:220] = 0  # large, but too narrow for its name
    plain = overlay(image, label_map, CATEGORIES, names=False)
    np.testing.assert_array_equal(overlay(image, label_map, CATEGORIES), plain)


def test_each_of_two_regions_of_a_class_is_named() -> None:
    image, label_map = scene()
    label_map[:] = 0
    label_map[:, 200:280] = 1
    plain = overlay(image, label_map, CATEGORIES, names=False)
    written = (plain != overlay(image, label_map, CATEGORIES)).any(axis=2)
    assert written[:, :200].any()
    assert written[:, 280:].any()


def test_small_images_are_enlarged_by_an_integer_factor() -> None:
    image, label_map = scene(96, 128)
    picture = overlay(image, label_map, CATEGORIES, alpha=1.0, names=False)
    assert picture.shape == (96 * 4, 128 * 4, 3)
    large = enlarge_labels(label_map, 4)
    np.testing.assert_array_equal(large[2::4, 2::4], label_map)
    assert (picture[inner(large, 1)] == CATEGORIES[1].color).all()
    assert [enlargement(size) for size in ((360, 480), (1, 1), (2000, 100))] == [
        1,
        480,
        1,
    ]


def test_boundaries_are_thin_and_never_on_void() -> None:
    label_map = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [-1, -1, 1, 1], [-1, -1, 1, 1]])
    expected = np.array([[0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]], bool)
    np.testing.assert_array_equal(find_boundaries(label_map), expected)
    thick = find_boundaries(label_map, thickness=3)
    assert thick.sum() > expected.sum()
    assert not thick[label_map < 0].any()
    assert not find_boundaries(np.zeros((3, 3), int)).any()


@pytest.mark.parametrize("seed", range(3))
def test_text_contrast(seed: int) -> None:
    """WCAG 2 asks for a contrast of 4.5 for normal text."""

    def luminance(color: tuple[int, int, int]) -> float:
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in (channel / 255 for channel in color)
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    generator = np.random.default_rng(seed)
    for background in generator.integers(0, 256, (200, 3)).tolist():
        color = tuple(background)
        dark, light = sorted((luminance(color), luminance(text_color(color))))
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_legend_lists_exactly_the_present_classes() -> None:
    label_map = np.array([[3, 3, 3, -1], [1, 3, 1, -1]])
    entries = legend_entries(label_map, CATEGORIES)
    assert [(entry.category.name, entry.share) for entry in entries] == [
        ("snow", 4 / 8),
        ("road", 2 / 8),
    ]
    assert legend_entries(np.full((2, 2), -1), CATEGORIES) == []


def swatches(panel: np.ndarray) -> set[str]:
    """Categories whose colour fills a noticeable part of a panel."""
    return {
        category.name for category in CATEGORIES if (panel == category.color).all(axis=2).sum() > 50
    }


@pytest.mark.parametrize("size", [(360, 480), (96, 128), (300, 40), (1000, 700)])
def test_legend_panel_below_the_picture(size: tuple[int, int]) -> None:
    image, label_map = scene(*size)
    picture = overlay(image, label_map, CATEGORIES)
    whole = overlay_with_legend(image, label_map, CATEGORIES)
    height, width = picture.shape[:2]
    assert whole.shape[1] >= width
    left = (whole.shape[1] - width) // 2
    np.testing.assert_array_equal(whole[:height, left : left + width], picture)
    assert swatches(whole[height:]) == {"sky", "road", "car"}


def test_legend_of_nothing() -> None:
    image, label_map = scene()
    label_map[:] = -1
    whole = overlay_with_legend(image, label_map, CATEGORIES)
    np.testing.assert_array_equal(whole[:360], image)
    assert swatches(whole[360:]) == set()


def test_comparison_shows_both_and_the_union_of_classes() -> None:
    image, label_map = scene()
    prediction = np.zeros_like(label_map)
    prediction[200:] = 3
    whole = label_comparison(image, prediction, label_map, CATEGORIES)
    left = overlay(image, prediction, CATEGORIES)
    right = overlay(image, label_map, CATEGORIES)
    top = next(y for y in range(80) if np.array_equal(whole[y : y + 360, :480], left))
    gap = next(
        x for x in range(480, 540) if np.array_equal(whole[top : top + 360, x : x + 480], right)
    )
    assert gap > 480
    assert swatches(whole[top + 360 :]) == {"sky", "road", "car", "snow"}


def test_a_label_map_with_other_labels_is_named() -> None:
    image, label_map = scene()
    with pytest.raises(ValueError, match="labels range from -1 to 4, but there are 4 categories"):
        blend(image, np.where(label_map == 0, 4, label_map), CATEGORIES)


def test_names_in_any_script_are_written(caplog: pytest.LogCaptureFixture) -> None:
    text = "\u0434\u043e\u0440\u043e\u0433\u0430"  # Russian for road, not in Pillow's font
    font = font_for((480, 640), [text])
    assert font.getname()[0] == "DejaVu Sans"
    assert font_for((480, 640), ["stra\u00dfe"]).getname() == font_for((480, 640)).getname()
    letters = {bytes(font.getmask(letter)) for letter in set(text)}
    assert len(letters) == len(set(text))  # none is the box of a missing letter
    assert not caplog.records


def test_a_script_that_no_font_has_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    private = "\U0010fffd"
    for _ in range(2):
        assert font_for((480, 640), ["road" + private]) is not None
    assert [record.getMessage() for record in caplog.records if private in record.getMessage()] == [
        f"no font on this system can write {private}; install one, such as Noto Sans CJK "
        "(fonts-noto-cjk)"
    ]
