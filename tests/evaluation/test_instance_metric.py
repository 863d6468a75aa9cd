"""AP in cases that can be worked out by hand."""

import math

import numpy as np
import pytest

from maskformer_jax.categories import Category
from maskformer_jax.data.example import Instance, PanopticLabels, PanopticSegment
from maskformer_jax.data.panoptic import to_instances
from maskformer_jax.data.run_lengths import encode_masks
from maskformer_jax.evaluation.instances import InstanceMetric, format_instance_table

CATEGORIES = (
    Category(name="cat", color=(1, 2, 3), is_thing=True),
    Category(name="sky", color=(4, 5, 6)),
    Category(name="dog", color=(7, 8, 9), is_thing=True),
)


def box(left: int, width: int) -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[5:25, left : left + width] = True
    return mask


def instance(mask: np.ndarray, label: int = 0, is_crowd: bool = False) -> Instance:
    (rle,) = encode_masks(mask[None])
    return Instance(label, is_crowd, float(mask.sum()), (0.0, 0.0, 1.0, 1.0), rle)


def score(detections: list[tuple[np.ndarray, int, float]], truth: list[Instance]) -> InstanceMetric:
    metric = InstanceMetric(CATEGORIES)
    masks, labels, scores = zip(*detections, strict=True) if detections else ((), (), ())
    metric.add(
        np.array(masks, bool).reshape(-1, 40, 60),
        label=np.array(labels, np.int32),
        score=np.array(scores, np.float32),
        truth=truth,
    )
    return metric


def test_the_truth_scores_100_by_size_too() -> None:
    metric = score([(box(0, 20), 0, 0.9), (box(30, 30), 2, 0.2)], [
        instance(box(0, 20)), instance(box(30, 30), 2)
    ])  # fmt: skip
    scores = metric.compute()
    assert [scores[name] for name in ("AP", "AP50", "AP75", "AP_small")] == pytest.approx([100] * 4)
    assert math.isnan(scores["AP_large"])
    np.testing.assert_allclose(metric.per_class(), [100, np.nan, 100])


def test_iou_of_eight_tenths_counts_at_seven_of_ten_thresholds() -> None:
    scores = score([(box(0, 16), 0, 0.9)], [instance(box(0, 20))]).compute()
    # 0.5, 0.55, ... 0.8; the last is hit exactly.
    assert scores["AP"] == pytest.approx(70)
    assert scores["AP50"] == scores["AP75"] == pytest.approx(100)


def test_a_confident_false_positive_costs_half_and_a_crowd_nothing() -> None:
    truth = [instance(box(0, 20))]
    found = [(box(0, 20), 0, 0.8), (box(30, 20), 0, 0.9)]
    assert score(found, truth).compute()["AP"] == pytest.approx(50)
    crowd = instance(box(25, 35), is_crowd=True)
    assert score(found, [*truth, crowd]).compute()["AP"] == pytest.approx(100)


def test_merging_equals_adding() -> None:
    right = ([(box(0, 20), 0, 0.8)], [instance(box(0, 20))])
    wrong = ([(box(30, 20), 0, 0.9)], [instance(box(0, 20))])
    merged = score(*right)
    merged.merge(score(*wrong))
    # One of two cats is found and the first detection is wrong: precision 1/2 up to recall 1/2.
    assert merged.compute()["AP"] == pytest.approx(100 * 51 / 101 / 2)
    with pytest.raises(ValueError, match="different classes"):
        merged.merge(InstanceMetric(CATEGORIES[:1]))


def test_nothing_to_find() -> None:
    assert all(math.isnan(value) for value in InstanceMetric(CATEGORIES).compute().values())
    assert math.isnan(score([(box(0, 20), 0, 0.5)], []).compute()["AP"])
    assert score([], [instance(box(0, 20))]).compute()["AP"] == 0


def test_things_of_a_panoptic_annotation() -> None:
    id_map = np.zeros((40, 60), np.int32)
    id_map[box(0, 20)], id_map[box(30, 30)], id_map[30:] = 7, 300, 5
    segments = (
        PanopticSegment(300, 2, True, 600),
        PanopticSegment(5, 1, False, 600),
        PanopticSegment(7, 0, False, 400),
    )
    dog, cat = to_instances(PanopticLabels(id_map, segments), CATEGORIES)
    assert (dog.label, dog.is_crowd, dog.area) == (2, True, 600.0)
    assert dog.bbox == (30.0, 5.0, 30.0, 20.0)
    assert cat.rle == encode_masks(box(0, 20)[None])[0]


def test_the_table_has_the_things() -> None:
    lines = format_instance_table(score([(box(0, 20), 0, 0.9)], [instance(box(0, 20))])).split("\n")
    assert [line.split() for line in lines[2:4]] == [["cat", "100.00"], ["dog", "-"]]
    assert lines[-1].split() == ["100.00", "100.00", "100.00", "100.00", "-", "-"]
