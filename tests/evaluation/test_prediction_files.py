"""Prediction files in the official formats: ids, run lengths, colours."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskformer_jax.categories import Category
from maskformer_jax.data.eval_examples import EvalExample
from maskformer_jax.data.panoptic import encode_ids
from maskformer_jax.data.run_lengths import decode_mask
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.prediction_files import PredictionFiles, coco_image_id
from maskformer_jax.image_files import encode_image
from maskformer_jax.postprocess import Instances, PanopticSegmentation

CATEGORIES = (
    Category(name="cat", color=(1, 2, 3), is_thing=True, category_id=17),
    Category(name="sky", color=(4, 5, 6), category_id=187),
)
LABELS = np.array([[0, 0, 1], [0, 1, 1]], np.int32)
IDS = np.array([[1, 1, 2], [1, 0, 2]], np.int32)
PANOPTIC = PanopticSegmentation(
    IDS,
    valid=np.array([True, True, False]),
    label=np.array([0, 1, 0]),
    is_thing=np.array([True, False, False]),
    score=np.array([0.9, 0.8, 0]),
)
INSTANCES = Instances(
    masks=np.stack([IDS == 1, IDS == 2, IDS == 0]),
    label=np.array([0, 1, 0]),
    score=np.array([0.25, 0.75, 0.5]),
    valid=np.array([True, False, True]),
)


def write(folder: Path, outputs: Outputs, *formats: str) -> set[str]:
    files = PredictionFiles(folder, formats, CATEGORIES)
    files.add(EvalExample("000000000139", None, (2, 3)), outputs)
    files.finish()
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_label_maps_and_category_ids(tmp_path: Path) -> None:
    written = write(tmp_path, Outputs(semantic=LABELS), "labels", "category-ids")
    names = {"predictions/000000000139.png", "category_ids/000000000139.png"}
    assert written == names
    maps = [np.asarray(Image.open(tmp_path / name)) for name in sorted(names)]
    np.testing.assert_array_equal(maps[1], LABELS)
    np.testing.assert_array_equal(maps[0], np.array([17, 187])[LABELS])
    assert maps[0].dtype == np.uint8


def test_semantic_json(tmp_path: Path) -> None:
    assert write(tmp_path, Outputs(semantic=LABELS), "coco") == {"sem_seg_predictions.json"}
    records = read(tmp_path / "sem_seg_predictions.json")
    assert [record["category_id"] for record in records] == [17, 187]
    for label, record in enumerate(records):
        np.testing.assert_array_equal(decode_mask(record["segmentation"]), label == LABELS)


def test_panoptic_and_instance_json(tmp_path: Path) -> None:
    written = write(tmp_path, Outputs(LABELS, PANOPTIC, INSTANCES), "coco")
    assert written == {"panoptic.json", "panoptic/000000000139.png", "instances.json"}
    (annotation,) = read(tmp_path / "panoptic.json")["annotations"]
    assert annotation == {
        "image_id": 139,
        "file_name": "000000000139.png",
        "segments_info": [{"id": 1, "category_id": 17}, {"id": 2, "category_id": 187}],
    }
    colors = np.asarray(Image.open(tmp_path / "panoptic" / annotation["file_name"]), int)
    np.testing.assert_array_equal(colors @ (1, 256, 65536), IDS)
    second, first = read(tmp_path / "instances.json")
    assert (first["score"], first["image_id"], first["category_id"]) == (0.25, 139, 17)
    np.testing.assert_array_equal(decode_mask(first["segmentation"]), IDS == 1)
    np.testing.assert_array_equal(decode_mask(second["segmentation"]), IDS == 0)


def test_without_formats_nothing_is_written(tmp_path: Path) -> None:
    assert write(tmp_path, Outputs(LABELS, PANOPTIC, INSTANCES)) == set()


def test_large_ids_and_names(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_image(encode_ids(np.array([[70000, 300]], np.int32))))
    np.testing.assert_array_equal(np.asarray(Image.open(path))[0], [[112, 17, 1], [44, 1, 0]])
    assert coco_image_id("val/000042") == 42
    assert coco_image_id("ADE_val_00000001") == "ADE_val_00000001"


@pytest.mark.parametrize("source_id", [7, "0007", "a/b"])
def test_ids_come_out_as_they_went_in(tmp_path: Path, source_id: int | str) -> None:
    files = PredictionFiles(tmp_path, ["coco"], CATEGORIES)
    example = EvalExample("0007", None, (2, 3), source_id=source_id)
    files.add(example, Outputs(LABELS, PANOPTIC, INSTANCES))
    files.finish()
    (annotation,) = read(tmp_path / "panoptic.json")["annotations"]
    assert annotation["image_id"] == source_id
    assert {record["image_id"] for record in read(tmp_path / "instances.json")} == {source_id}


@pytest.mark.parametrize("name", ["../../out", "/out", "a/../../../out", "..\\out"])
def test_ids_do_not_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a" / "b"
    files = PredictionFiles(folder, ["labels", "coco"], CATEGORIES)
    files.add(EvalExample(name, None, (2, 3)), Outputs(LABELS, PANOPTIC))
    files.finish()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 3
    assert all(folder in path.parents for path in written)
    assert not any("\\" in path.name for path in written)  # a separator elsewhere
    (annotation,) = read(folder / "panoptic.json")["annotations"]
    assert annotation["image_id"] == name
    assert (folder / "panoptic" / annotation["file_name"]).is_file()


@pytest.mark.parametrize("count", [2, 300])
def test_bit_depth_of_a_label_map(tmp_path: Path, count: int) -> None:
    categories = [Category(name=str(i), color=(0, 0, 0), category_id=i) for i in range(count)]
    files = PredictionFiles(tmp_path, ["labels"], categories)
    files.add(EvalExample("a", None, (1, 1)), Outputs(semantic=np.array([[count - 1]], np.int32)))
    assert np.asarray(Image.open(tmp_path / "predictions" / "a.png")).tolist() == [[count - 1]]
