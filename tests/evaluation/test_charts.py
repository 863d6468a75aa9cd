"""Charts and comparisons: sizes, colours, and which classes are shown."""

import numpy as np

from maskformer_jax.categories import Category
from maskformer_jax.data.eval_examples import EvalExample
from maskformer_jax.data.example import PanopticLabels, PanopticSegment
from maskformer_jax.data.panoptic import to_instances
from maskformer_jax.evaluation.charts import class_chart, confusion_chart
from maskformer_jax.evaluation.drawing import draw_comparison
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.postprocess import Instances, PanopticSegmentation
from maskformer_jax.visualize.segments import segment_shades

CATEGORIES = (
    Category(name="cat", color=(220, 40, 40), is_thing=True),
    Category(name="sky", color=(40, 90, 220)),
    Category(name="never", color=(0, 255, 0)),
)
IDS = np.kron(np.array([[1, 2], [3, 3]], np.int32), np.ones((100, 150), np.int32))


def count_color(picture: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((np.abs(picture.astype(int) - color).max(axis=2) <= 2).sum())


def test_bars_have_the_classes_colours_and_lengths() -> None:
    chart = class_chart(np.array([80.0, 20.0, np.nan]), CATEGORIES, title="IoU by class")
    long, short = count_color(chart, CATEGORIES[0].color), count_color(chart, CATEGORIES[1].color)
    assert 3.5 < long / short < 4.5
    assert count_color(chart, CATEGORIES[2].color) == 0
    empty = class_chart(np.full(3, np.nan), CATEGORIES, title="IoU by class")
    assert count_color(empty, CATEGORIES[0].color) == 0


def test_confusion_omits_absent_classes_and_grows_with_the_others() -> None:
    confusion = np.zeros((4, 4), np.int64)
    confusion[:2, :2] = [[90, 50], [10, 50]]
    small = confusion_chart(confusion, CATEGORIES)
    many = [Category(name=f"class {i}", color=(0, 0, 0)) for i in range(60)]
    large = confusion_chart(np.pad(np.eye(60, dtype=np.int64), (0, 1)), many)
    assert large.shape[0] > 2 * small.shape[0]
    # The darkest colour: correct classes, and the end of the colour bar.
    assert count_color(small, (8, 48, 107)) < 50
    assert count_color(large, (8, 48, 107)) > 10_000


def example() -> EvalExample:
    segments = (
        PanopticSegment(1, 0, False, 15_000),
        PanopticSegment(2, 0, False, 15_000),
        PanopticSegment(3, 1, False, 30_000),
    )
    image = np.full((200, 300, 3), 128, np.uint8)
    labels = PanopticLabels(IDS, segments)
    things = to_instances(labels, CATEGORIES)
    return EvalExample("a", image, (200, 300), (IDS == 3).astype(np.int32), labels, things)


def test_prediction_beside_ground_truth_for_each_task() -> None:
    panoptic = PanopticSegmentation(
        np.where(IDS == 3, 0, IDS),
        valid=np.array([True, True, False]),
        label=np.array([0, 0, 0]),
        is_thing=np.array([True, True, False]),
        score=np.ones(3),
    )
    masks = np.stack([IDS == 1, IDS == 2])
    instances = Instances(masks, np.zeros(2, int), np.array([0.9, 0.2]), np.ones(2, bool))
    sky = tuple(round(128 + 0.5 * (channel - 128)) for channel in CATEGORIES[1].color)
    cat = tuple(round(128 + 0.5 * (channel - 128)) for channel in CATEGORIES[0].color)

    both = draw_comparison(example(), Outputs(example().label_map, panoptic, instances), CATEGORIES)
    assert both is not None
    left, right = np.array_split(both, 2, axis=1)
    assert count_color(left, sky) == 0 < count_color(right, sky)
    assert count_color(left, cat) > 0
    # The second cat is of another shade, so only about half of the cats' pixels have this one.
    assert count_color(right, cat) < 0.7 * count_color(right, sky)

    one = draw_comparison(example(), Outputs(instances=instances), CATEGORIES)
    assert one is not None
    left, right = np.array_split(one, 2, axis=1)
    assert (
        count_color(left, (128, 128, 128)) > count_color(right, (128, 128, 128)) > 0
    )  # without the unconfident one

    assert draw_comparison(example(), Outputs(semantic=example().label_map), CATEGORIES) is not None
    bare = EvalExample("b", example().image, (200, 300))
    assert draw_comparison(bare, Outputs(semantic=example().label_map), CATEGORIES) is None


def test_shades_of_a_class_differ_and_are_numbered() -> None:
    shades = segment_shades([0, 1, 0, 0], CATEGORIES)
    assert [shade.name for shade in shades] == ["cat 1", "sky", "cat 2", "cat 3"]
    assert len({shade.color for shade in shades}) == 4
    assert shades[0].color == CATEGORIES[0].color
