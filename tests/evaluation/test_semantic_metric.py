"""The semantic metrics against the published evaluator and cases worked out by hand."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest

from maskformer_jax.categories import Category
from maskformer_jax.data.eval_examples import EvalExample
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.metrics import TaskMetrics
from maskformer_jax.evaluation.panoptic import PanopticMetric
from maskformer_jax.evaluation.report import report, write_metrics
from maskformer_jax.evaluation.semantic import SemanticMetric, format_semantic_table

GOLDEN = Path(__file__).parents[1] / "golden" / "components.npz"
NAMES = ("mIoU", "fwIoU", "mACC", "pACC")


def categories(num_classes: int) -> tuple[Category, ...]:
    return tuple(Category(name=f"class{i}", color=(i, i, i)) for i in range(num_classes))


def golden_pairs() -> tuple[dict[str, np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
    with np.load(GOLDEN) as file:
        data = {name: file[name] for name in file.files if name.startswith("semseg/")}
    pairs = []
    for i in range(3):
        truth = data[f"semseg/gt{i}"].astype(np.int32)
        truth[truth == 255] = -1
        pairs.append((data[f"semseg/pred{i}"], truth))
    return data, pairs


def filled(pairs: list[tuple[np.ndarray, np.ndarray]], num_classes: int = 7) -> SemanticMetric:
    metric = SemanticMetric(num_classes)
    for prediction, truth in pairs:
        metric.add(prediction, truth)
    return metric


@pytest.mark.parametrize(("definition", "miou"), [("current", "mIoU"), ("older", "mIoU_older")])
def test_published_evaluator(definition: str, miou: str) -> None:
    data, pairs = golden_pairs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric = filled(pairs)
        scores, summary = metric.per_class(), metric.compute()
    expected = {
        key: data[f"semseg/{definition}/{key}"] for key in ("confusion", "iou", "acc", "summary")
    }
    np.testing.assert_array_equal(metric.confusion, expected["confusion"])
    np.testing.assert_allclose(scores.iou, expected["iou"], rtol=1e-12)
    np.testing.assert_allclose(scores.accuracy, expected["acc"], rtol=1e-12)
    ours = [summary[name] for name in (miou, *NAMES[1:])]
    np.testing.assert_allclose(ours, expected["summary"], rtol=1e-12)


def test_by_hand() -> None:
    prediction = np.array([[0, 0, 1, 1], [0, 1, 1, 2]])
    truth = np.array([[0, 0, 0, 1], [-1, -1, 1, 1]])
    metric = filled([(prediction, truth)], num_classes=4)
    scores = metric.per_class()
    # Class 0: 2 hits of 3, nothing else predicted as 0. Class 1: 2 hits of 3, one of class 0.
    np.testing.assert_allclose(scores.iou, [100 * 2 / 3, 100 * 2 / 4, np.nan, np.nan])
    np.testing.assert_allclose(scores.accuracy, [100 * 2 / 3, 100 * 2 / 3, np.nan, np.nan])
    assert scores.pixels.tolist() == [3, 3, 0, 0]
    assert scores.predicted.tolist() == [2, 3, 1, 0]
    assert metric.compute() == pytest.approx(
        {
            "mIoU": 100 * (2 / 3 + 1 / 2) / 2,
            "fwIoU": 100 * (2 / 3 + 1 / 2) / 2,
            "mACC": 100 * 2 / 3,
            "pACC": 100 * 4 / 6,
            # Class 2 is predicted only and counts as 0; class 3 is nowhere.
            "mIoU_older": 100 * (2 / 3 + 1 / 2) / 3,
        }
    )


def test_merging_equals_adding() -> None:
    _, pairs = golden_pairs()
    together = filled(pairs)
    first, second = filled(pairs[:1]), filled(pairs[1:])
    first.merge(second)
    assert first.compute() == together.compute()
    np.testing.assert_array_equal(first.confusion, together.confusion)


def test_void_is_ignored() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, (8, 9))
    prediction = generator.integers(0, 3, (8, 9))
    truth[:, 4:] = -1
    elsewhere = prediction.copy()
    elsewhere[:, 4:] = generator.integers(0, 3, (8, 5))
    cropped = [(prediction[:, :4], truth[:, :4])]
    assert filled([(prediction, truth)], 3).compute() == filled([(elsewhere, truth)], 3).compute()
    assert filled([(prediction, truth)], 3).compute() == filled(cropped, 3).compute()


def test_perfect_prediction_is_100() -> None:
    truth = np.arange(12).reshape(3, 4) % 5
    summary = filled([(truth, truth)], 6).compute()
    assert summary == dict.fromkeys(summary, 100.0)


def test_a_pixel_without_a_prediction_is_a_false_negative_only() -> None:
    truth = np.array([[0, 0, 1, 1, -1]])
    metric = filled([(np.array([[0, -1, 1, 1, -1]]), truth)], 2)
    scores = metric.per_class()
    np.testing.assert_array_equal(scores.iou, [50, 100])
    np.testing.assert_array_equal(scores.predicted, [1, 2])
    assert metric.compute()["pACC"] == 75
    panoptic = PanopticMetric(is_thing=np.zeros(2, bool))
    panoptic.add_semantic(np.array([[-1, -1, 1, -1, -1]]), truth)
    # Class 0 is missed; of class 1 half is found, which is not more than half.
    np.testing.assert_array_equal(panoptic.counts[:, :3], [[0, 0, 1], [0, 1, 1]])


def test_nothing_labelled_is_nan() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        empty = SemanticMetric(2)
        void = filled([(np.zeros((2, 2), int), np.full((2, 2), -1))], 2)
        for metric in (empty, void):
            assert set(metric.compute()) == {*NAMES, "mIoU_older"}
            assert all(math.isnan(value) for value in metric.compute().values())
            assert "nan" not in format_semantic_table(metric, categories(2))


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        ([[0, 3]], [[0, 1]], r"prediction has the value 3; allowed are -1\.\.2"),
        ([[0, -2]], [[0, 1]], r"prediction has the value -2"),
        ([[0, 1]], [[0, 3]], r"label map has the value 3; allowed are -1\.\.2"),
        ([[0, 1]], [[-2, 1]], r"label map has the value -2"),
        ([[0, 1]], [[0], [1]], r"prediction is \(1, 2\), but the label map is \(2, 1\)"),
    ],
)
def test_wrong_input(prediction: list, truth: list, message: str) -> None:
    metric = SemanticMetric(3)
    with pytest.raises(ValueError, match=message):
        metric.add(np.array(prediction), np.array(truth))
    assert metric.confusion.sum() == 0


def test_classes_beyond_a_byte() -> None:
    """The pair index must not overflow the small integer types label maps come in."""
    labels = np.array([[0, 199], [150, 199]], np.uint8)
    metric = filled([(labels, labels.astype(np.int16))], 200)
    assert metric.confusion[199, 199] == 2
    assert metric.confusion.sum() == 4


def test_merging_other_classes() -> None:
    with pytest.raises(ValueError, match="3 classes into 2"):
        SemanticMetric(2).merge(SemanticMetric(3))


def test_table_has_every_class_and_the_summary() -> None:
    prediction, truth = np.array([[0, 0, 1, 1]]), np.array([[0, 0, 0, 1]])
    text = format_semantic_table(filled([(prediction, truth)], 3), categories(3))
    lines = [line.split() for line in text.splitlines()]
    assert ["class0", "66.67", "66.67", "75.00"] in lines
    assert ["class1", "50.00", "100.00", "25.00"] in lines
    assert ["class2", "-", "-", "0.00"] in lines
    assert lines[-1] == ["58.33", "62.50", "83.33", "75.00", "58.33"]


def test_metrics_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"mIoU": 1 / 3, "PQ": float("nan")}
    report("a table", metrics, title="val", output=tmp_path / "new" / "folder")
    path = tmp_path / "new" / "folder" / "metrics.json"
    assert json.loads(path.read_text()) == {"mIoU": 1 / 3, "PQ": None}
    assert [entry.name for entry in path.parent.iterdir()] == ["metrics.json"]
    printed = capsys.readouterr().out
    assert "val" in printed
    assert "a table" in printed
    assert str(path) in printed


def test_metrics_file_has_classes_checkpoint_and_step(tmp_path: Path) -> None:
    metrics = TaskMetrics("semantic", categories(3))
    truth = np.array([[0, 0, 0, 1]], np.int32)
    prediction = Outputs(semantic=np.array([[0, 0, 1, 1]], np.int32))
    metrics.add(EvalExample("a", None, (1, 4), label_map=truth), prediction)
    details = {**metrics.by_class(), "checkpoint": "run", "step": 7}
    report("a table", metrics.compute(), title="val", output=tmp_path, details=details)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["IoU/class0"] == pytest.approx(200 / 3)
    assert written["IoU/class2"] is None
    assert (written["checkpoint"], written["step"]) == ("run", 7)
    assert written["mIoU"] == metrics.compute()["mIoU"]


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_metrics(tmp_path, {"mIoU": 1.0})

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(UserError, match=r"metrics\.json: No space left"):
        write_metrics(tmp_path, {"mIoU": 2.0})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"mIoU": 1.0}
    assert len(list(tmp_path.iterdir())) == 1


def test_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_metrics(tmp_path / "taken", {"mIoU": 1.0})


def test_older_definition_is_the_rule_of_cityscapes() -> None:
    _, pairs = golden_pairs()
    metric = filled(pairs)
    ious = []
    for label in range(7):
        hits = missed = wrong = 0
        for prediction, truth in pairs:
            hits += int(((prediction == label) & (truth == label)).sum())
            missed += int(((prediction != label) & (truth == label)).sum())
            wrong += int(((prediction == label) & (truth != label) & (truth >= 0)).sum())
        ious.append(hits / (hits + missed + wrong) if hits + missed + wrong else np.nan)
    assert metric.compute()["mIoU_older"] == pytest.approx(100 * np.nanmean(ious))
