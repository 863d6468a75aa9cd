"""Panoptic quality against the official tool's counts and a slow second implementation."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskformer_jax.categories import Category
from maskformer_jax.data.example import PanopticLabels, PanopticSegment
from maskformer_jax.evaluation.panoptic import PanopticMetric, format_panoptic_table

GOLDEN = Path(__file__).parents[1] / "golden" / "components.npz"
COCO = Path(__file__).parents[3] / "shared" / "data" / "coco_panoptic"

Pair = tuple[np.ndarray, dict[int, int], PanopticLabels]


def golden_images(name: str) -> tuple[dict[str, np.ndarray], list[Pair]]:
    with np.load(GOLDEN) as file:
        prefix = f"pq/{name}/"
        data = {k.removeprefix(prefix): file[k] for k in file.files if k.startswith(prefix)}
    label = {int(category): i for i, category in enumerate(data["categories"][:, 0])}
    pairs = []
    for i in range(len(data["counts_per_image"])):
        segments = tuple(
            PanopticSegment(int(key), label[int(category)], bool(crowd), int(area))
            for key, category, crowd, area in data[f"{i}/gt_segments"]
        )
        predicted = {int(key): label[int(category)] for key, category in data[f"{i}/pred_segments"]}
        pairs.append((data[f"{i}/pred"], predicted, PanopticLabels(data[f"{i}/gt"], segments)))
    return data, pairs


@pytest.mark.parametrize("name", ["rules", "photos"])
def test_official_tool(name: str) -> None:
    data, pairs = golden_images(name)
    is_thing = data["categories"][:, 1].astype(bool)
    whole, odd = PanopticMetric(is_thing), PanopticMetric(is_thing)
    for i, pair in enumerate(pairs):
        one = PanopticMetric(is_thing)
        one.add(*pair)
        np.testing.assert_allclose(one.counts, data["counts_per_image"][i], rtol=1e-12)
        (odd if i % 2 else whole).add(*pair)
    whole.merge(odd)
    np.testing.assert_allclose(whole.counts, data["counts"], rtol=1e-12)
    quality = np.nan_to_num(np.stack(whole.per_class(), axis=1)) / 100
    np.testing.assert_allclose(quality, data["per_category"], rtol=1e-12)
    summary = whole.compute()
    for row, group in zip(data["summary"], ("", "_things", "_stuff"), strict=True):
        ours = [summary[key + group] / 100 for key in ("PQ", "SQ", "RQ")]
        np.testing.assert_allclose(np.nan_to_num(ours), row[:3], rtol=1e-12)


def test_semantic_predictions_as_stuff() -> None:
    with np.load(GOLDEN) as file:
        data = {k: file[k] for k in file.files if k.startswith("semseg/")}
    metric = PanopticMetric([False] * 7)
    for i in range(3):
        truth = data[f"semseg/gt{i}"].astype(np.int32)
        truth[truth == 255] = -1
        metric.add_semantic(data[f"semseg/pred{i}"], truth)
    np.testing.assert_allclose(metric.counts, data["semseg/pq_st/counts"], rtol=1e-12)
    summary = metric.compute()
    ours = [summary[name] / 100 for name in ("PQ_stuff", "SQ_stuff", "RQ_stuff")]
    np.testing.assert_allclose(ours, data["semseg/pq_st/summary"][:3], rtol=1e-12)


def slow_counts(pair: Pair, num_classes: int) -> np.ndarray:
    """The rules implemented segment by segment and mask by mask."""
    id_map, labels, truth = pair
    counts = np.zeros((num_classes, 4))
    matched = set()
    void = truth.id_map == 0
    for segment in truth.segments:
        if segment.is_crowd:
            continue
        for key, label in labels.items():
            mask = id_map == key
            both = int((mask & (truth.id_map == segment.segment_id)).sum())
            union = int(mask.sum()) + segment.area - both - int((mask & void).sum())
            if label == segment.label and both / union > 0.5:
                counts[label] += (1, 0, 0, both / union)
                matched.add(key)
                break
        else:
            counts[segment.label, 2] += 1
    for key, label in labels.items():
        mask = id_map == key
        crowds = [s.segment_id for s in truth.segments if s.is_crowd and s.label == label]
        excused = void | (truth.id_map == crowds[-1]) if crowds else void
        if key not in matched and (mask & excused).sum() / mask.sum() <= 0.5:
            counts[label, 1] += 1
    return counts


@pytest.mark.skipif(not COCO.is_dir(), reason=f"no real panoptic data in {COCO}")
def test_real_annotations_against_themselves_and_against_a_perturbed_copy() -> None:
    content = json.loads((COCO / "annotations/panoptic_val2017.json").read_text())
    categories = {entry["id"]: i for i, entry in enumerate(content["categories"])}
    is_thing = [bool(entry["isthing"]) for entry in content["categories"]]
    same, other, expected = PanopticMetric(is_thing), PanopticMetric(is_thing), 0
    rng = np.random.default_rng(0)
    for annotation in content["annotations"][:10]:
        file = COCO / "annotations/panoptic_val2017" / annotation["file_name"]
        rgb = np.asarray(Image.open(file).convert("RGB"), np.int32)
        id_map = rgb @ (1, 256, 65536)
        segments = tuple(
            PanopticSegment(s["id"], categories[s["category_id"]], bool(s["iscrowd"]), s["area"])
            for s in annotation["segments_info"]
        )
        truth = PanopticLabels(id_map, segments)
        # Predicted crowd regions lie on true ones, so they are ignored.
        same.add(id_map, {s.segment_id: s.label for s in segments}, truth)
        moved = np.roll(id_map, rng.integers(5, 40, size=2), axis=(0, 1))
        moved[rng.random(moved.shape) < 0.1] = 0
        labels = {
            s.segment_id: s.label if rng.random() < 0.8 else int(rng.integers(133))
            for s in segments
        }
        other.add(moved, labels, truth)
        expected = expected + slow_counts((moved, labels, truth), len(is_thing))
    assert all(value == 100 for value in same.compute().values())
    np.testing.assert_allclose(other.counts, expected, rtol=1e-12)
    assert min(other.counts[:, :3].sum(axis=0)) > 10  # every rule applied


def drawn(seed: int) -> Pair:
    rng = np.random.default_rng(seed)
    truth, predicted = (np.kron(rng.integers(0, 5, (4, 5)), np.ones((3, 3), int)) for _ in "ab")
    predicted = np.where(rng.random(truth.shape) < 0.6, truth, predicted)
    area = Counter(truth.ravel().tolist())
    segments = tuple(
        PanopticSegment(key, int(rng.integers(3)), bool(rng.random() < 0.3), area[key])
        for key in (3, 1, 4, 2)
        if area[key]
    )
    known = {s.segment_id: s.label for s in segments}
    present = np.unique(predicted[predicted > 0]).tolist()
    labels = {
        key: known.get(key, 0) if rng.random() < 0.7 else int(rng.integers(3)) for key in present
    }
    return predicted, labels, PanopticLabels(truth, segments)


def test_drawn_images_against_the_slow_implementation() -> None:
    for seed in range(30):
        metric, pair = PanopticMetric([True, False, True]), drawn(seed)
        metric.add(*pair)
        np.testing.assert_allclose(metric.counts, slow_counts(pair, 3), err_msg=str(seed))


def test_inconsistent_input_is_refused() -> None:
    truth = PanopticLabels(np.ones((2, 2), np.int32), (PanopticSegment(1, 0, False, 4),))
    metric = PanopticMetric([True])
    with pytest.raises(ValueError, match=r"\(2, 3\), but the annotation is \(2, 2\)"):
        metric.add(np.ones((2, 3), np.int32), {1: 0}, truth)
    for labels in ({}, {1: 0, 2: 0}):
        with pytest.raises(ValueError, match=r"the id map has the segments \[1\]"):
            metric.add(np.ones((2, 2), np.int32), labels, truth)
    with pytest.raises(ValueError, match=r"prediction has a class outside 0\.\.0"):
        metric.add(np.ones((2, 2), np.int32), {1: 1}, truth)
    with pytest.raises(ValueError, match="different classes"):
        metric.merge(PanopticMetric([False]))
    assert not metric.counts.any()


def test_nothing_is_nan_and_the_table_shows_a_dash() -> None:
    metric = PanopticMetric([True, False])
    assert all(math.isnan(value) for value in metric.compute().values())
    truth = PanopticLabels(np.ones((2, 2), np.int32), (PanopticSegment(1, 0, False, 4),))
    metric.add(np.ones((2, 2), np.int32), {1: 0}, truth)
    categories = [
        Category(name="cat", color=(1, 2, 3), is_thing=True),
        Category(name="sky", color=(4, 5, 6)),
    ]
    lines = format_panoptic_table(metric, categories).splitlines()
    assert lines[2].split() == ["cat", "thing", *["100.00"] * 3, "1", "0", "0"]
    assert lines[3].split() == ["sky", "stuff", *"---", "0", "0", "0"]
    assert lines[-1].split() == [*["100.00"] * 6, *"---"]
