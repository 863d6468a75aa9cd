import json

import numpy as np
from data.drawn_coco import write_coco_panoptic
from PIL import Image

from maskformer_jax.config import Config, DataConfig
from maskformer_jax.data.check import check_dataset

SKY = np.zeros((8, 10), np.uint8)
IMAGE = np.zeros((8, 10, 3), np.uint8)


def test_sound_data_has_no_problems(make_config):
    report = check_dataset(make_config())
    assert report.problems == []
    assert [split.split for split in report.splits] == ["train", "val"]
    assert set(report.splits[0].sizes) == {(96, 128)}
    assert "0 problems" in report.text()


def test_counts_by_class(make_config, tmp_path, write):
    half = SKY.copy()
    half[4:] = 3
    half[0] = 255
    write(tmp_path, "train", "a", IMAGE, half)
    write(tmp_path, "train", "b", IMAGE, SKY)
    write(tmp_path, "val", "c", IMAGE[:6], SKY[:6])
    train, val = check_dataset(make_config(root=str(tmp_path))).splits
    np.testing.assert_array_equal(train.pixels, [110, 0, 0, 40, 0, 0, 0, 0, 0, 10])
    np.testing.assert_array_equal(train.images, [2, 0, 0, 1, 0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(val.pixels, [60, *[0] * 9])
    assert (train.sizes, val.sizes) == ([(8, 10), (8, 10)], [(6, 10)])
    assert (train.most_segments, val.most_segments) == (2, 1)


def test_all_problems_are_found_at_once(make_config, tmp_path, write):
    for index in range(6):
        write(tmp_path, "train", f"{index}", IMAGE, SKY)
    write(tmp_path, "train", "1", IMAGE, SKY + np.uint8(9))
    write(tmp_path, "train", "2", IMAGE, SKY[:5])
    (tmp_path / "images/train/3.png").write_bytes(b"damaged")
    (tmp_path / "annotations/train/4.png").unlink()
    (tmp_path / "images/train/5.png").unlink()
    report = check_dataset(make_config(root=str(tmp_path)))
    expected = (
        "images/train/4.png: no label map",
        "annotations/train/1.png: label 9",
        "8 x 10 (height x width), but its label map is 5 x 10",
        "images/train/3.png: cannot be decoded",
        "no folder",  # of the split val
    )
    assert len(report.problems) == len(expected)
    for problem, part in zip(report.problems, expected, strict=True):
        assert part in problem
        assert problem in report.text()
    assert any("annotations/train/5.png: no image" in warning for warning in report.warnings)
    assert len(report.splits[0].sizes) == 1


def test_too_few_slots_and_all_void(make_config, tmp_path, write):
    many = SKY.copy()
    many[:, :3] = [1, 2, 3]
    for split in ("train", "val"):
        write(tmp_path, split, "a", IMAGE, many)
        write(tmp_path, split, "b", IMAGE, SKY + np.uint8(255))
    report = check_dataset(make_config(root=str(tmp_path), num_segments=2))
    assert report.problems == [
        "config.data.num_segments is 2, but must be 4: 1 images of train have more classes"
    ]
    assert "train image 'b': all pixels are void" in report.warnings
    assert "val: these classes never occur: circle, square, triangle, star, ring" in report.warnings


def test_missing_data_set(make_config, tmp_path):
    report = check_dataset(make_config(root=str(tmp_path / "nowhere")))
    assert len(report.problems) == 2
    assert "no folder" in report.text()


def panoptic_config(root, **data):
    fields = {"format": "coco_panoptic", "mapper": "coco_panoptic", "num_segments": 9}
    names = {"train_split": "train2017", "eval_split": "train2017", "dataset": "coco-panoptic"}
    return Config(data=DataConfig(root=str(root), **(fields | names | data)))


def test_panoptic_data_is_counted_by_segments(tmp_path):
    write_coco_panoptic(tmp_path, "train2017", crowd=True)
    report = check_dataset(panoptic_config(tmp_path))
    assert report.problems == []
    assert report.splits[0].most_segments == 2  # crowd is not counted
    report = check_dataset(panoptic_config(tmp_path, num_segments=1))
    assert report.problems == [
        "config.data.num_segments is 1, but must be 2: 3 images of train2017 have more segments"
    ]


def test_panoptic_ids_that_do_not_fit_are_all_listed(tmp_path):
    write_coco_panoptic(tmp_path, "train2017")
    path = tmp_path / "annotations/panoptic_train2017.json"
    fields = json.loads(path.read_text())
    fields["annotations"][0]["segments_info"].pop()
    fields["annotations"][1]["segments_info"][0]["id"] = 5
    path.write_text(json.dumps(fields))
    problems = check_dataset(panoptic_config(tmp_path)).problems
    assert len(problems) == 2
    assert "segments_info does not list: 9" in problems[0]
    assert "segments_info does not list: 70002" in problems[1]


def test_segment_with_the_id_of_void_is_a_problem(tmp_path):
    write_coco_panoptic(tmp_path, "train2017")
    path = tmp_path / "annotations/panoptic_train2017.json"
    fields = json.loads(path.read_text())
    fields["annotations"][1]["segments_info"][0]["id"] = 0
    path.write_text(json.dumps(fields))
    (problem,) = check_dataset(panoptic_config(tmp_path)).problems
    assert "a segment has id 0, which marks void" in problem


def test_grey_ids_are_counted_as_they_are(tmp_path):
    write_coco_panoptic(tmp_path, "train2017")
    before = check_dataset(panoptic_config(tmp_path))
    path = tmp_path / "annotations/panoptic_train2017.json"
    fields = json.loads(path.read_text())
    for annotation in fields["annotations"]:
        file = tmp_path / "annotations/panoptic_train2017" / annotation["file_name"]
        rgb = np.asarray(Image.open(file)).astype(int)
        ids = rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]
        grey = np.zeros(ids.shape, np.uint16)
        for number, segment in enumerate(annotation["segments_info"], start=300):
            grey[ids == segment["id"]] = number
            segment["id"] = number
        Image.fromarray(grey).save(file)
    path.write_text(json.dumps(fields))
    after = check_dataset(panoptic_config(tmp_path))
    assert after.problems == before.problems == []
    for old, new in zip(before.splits, after.splits, strict=True):
        np.testing.assert_array_equal(new.pixels, old.pixels)


def test_more_segments_than_queries(tmp_path):
    write_coco_panoptic(tmp_path, "train2017")
    config = panoptic_config(tmp_path)
    config.model.transformer_decoder.num_queries = 2
    report = check_dataset(config)
    assert report.problems == []
    assert any("3 images have more segments than the model has queries (2)" in warning
               for warning in report.warnings)  # fmt: skip


def test_annotations_of_another_kind(make_config):
    report = check_dataset(make_config(mapper="panoptic"))
    assert len(report.problems) == 12
    assert "config.data.mapper is 'panoptic', but image" in report.problems[0]
    assert "has no panoptic annotation" in report.problems[0]
