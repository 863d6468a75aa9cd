"""Layouts of data are found from the files alone."""

import json

import numpy as np
import pytest
from data.drawn_coco import write_coco_instances, write_coco_panoptic
from PIL import Image

from maskformer_jax.config import DataConfig
from maskformer_jax.data.detect.detect import detect
from maskformer_jax.data.sources import open_source
from maskformer_jax.errors import UserError

IMAGE = np.zeros((4, 6, 3), np.uint8)
LABELS = np.array([[0, 1, 2, 2, 1, 255]] * 4, np.uint8)


def save(path, array, *, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette is not None:
        image.putpalette(np.asarray(palette, np.uint8).ravel().tolist())
    image.save(path)


def pair(root, image, label, labels=LABELS, **options):
    save(root / image, IMAGE)
    save(root / label, labels, **options)


def open_found(found, split, tmp_path):
    classes = tmp_path / "found.json"
    classes.write_text("{}")
    config = DataConfig(
        dataset=str(classes),
        root=str(found.root),
        format=found.format,
        images=found.images,
        labels=found.labels,
        label_endings=found.label_endings,
        split_files=found.split_files,
    )
    return open_source(config, split, found.info)


@pytest.mark.parametrize(
    ("image", "label", "splits"),
    [
        ("images/{split}/{name}.jpg", "annotations/{split}/{name}.png", ("train", "val")),
        ("JPEGImages/{split}/{name}.png", "masks/{split}/{name}_mask.png", ("train", "valid")),
        ("{split}/img/{name}.jpg", "{split}/labels/{name}.png", ("training", "validation")),
        ("{split}/{name}.jpg", "{split}annot/{name}.png", ("train", "test")),
        ("{split}/{name}.jpg", "{split}/{name}_mask.png", ("train", "val")),
        ("{split}/{name}.jpg", "{split}/{name}.png", ("train", "val")),
    ],
)
def test_folders_with_splits(tmp_path, image, label, splits):
    root = tmp_path / "data"
    for split, names in zip(splits, ("abc", "de"), strict=True):
        for name in names:
            pair(root, image.format(split=split, name=name), label.format(split=split, name=name))
    found = detect(root)
    assert (found.train_split, found.eval_split) == splits
    assert [category.name for category in found.info.categories] == [
        "class 0",
        "class 1",
        "class 2",
    ]
    for split, names in zip(splits, ("abc", "de"), strict=True):
        source = open_found(found, split, tmp_path)
        assert [source[i].image_id for i in range(len(source))] == list(names)
        np.testing.assert_array_equal(source[0].label_map[0], [0, 1, 2, 2, 1, -1])


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("photos/{}.jpg", "masks/{}.png"),
        ("{}.jpg", "{}_mask.png"),
        ("{}.jpg", "{}.png"),
        ("{}.png", "{}_label.png"),
    ],
)
def test_one_part_is_shared(tmp_path, image, label):
    root = tmp_path / "data"
    for name in "abcdefghij":
        pair(root, image.format(name), label.format(name))
    found = detect(root)
    train, val = (
        open_found(found, split, tmp_path) for split in (found.train_split, found.eval_split)
    )
    ids = [[source[i].image_id for i in range(len(source))] for source in (train, val)]
    assert [len(names) for names in ids] == [8, 2]
    assert sorted(ids[0] + ids[1]) == list("abcdefghij")
    assert any("20 %" in guess for guess in found.guesses)


def test_pascal_voc(tmp_path):
    root = tmp_path / "VOC2012"
    palette = np.zeros((256, 3), np.uint8)
    palette[1], palette[2] = (128, 0, 0), (0, 128, 0)
    for name in ("a", "b", "c"):
        pair(root, f"JPEGImages/{name}.jpg", f"SegmentationClass/{name}.png", palette=palette)
    save(root / "JPEGImages/unlabelled.jpg", IMAGE)
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for split, text in {"train": "a\nc\n", "val": "b\n", "trainval": "a\nb\nc\n"}.items():
        (lists / f"{split}.txt").write_text(text)
    found = detect(root)
    assert (found.train_split, found.eval_split) == ("train", "val")
    assert [c.color for c in found.info.categories] == [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
    source = open_found(found, "train", tmp_path)
    assert [source[i].image_id for i in range(len(source))] == ["a", "c"]


def test_masks_in_colours_need_a_table_and_say_so(tmp_path):
    root = tmp_path / "data"
    colors = np.array([[[9, 9, 9], [200, 0, 0]]] * 2, np.uint8)
    for name in ("a", "b"):
        pair(root, f"images/{name}.jpg", f"masks/{name}.png", colors)
    with pytest.raises(UserError, match=r"2 colours.*colors\.txt(?s:.)*9 9 9 NAME\n  200 0 0 NAME"):
        detect(root)
    (root / "colors.txt").write_text("9 9 9 road\n200 0 0 car\n")
    found = detect(root)
    assert [category.name for category in found.info.categories] == ["road", "car"]
    assert found.info.label_maps == "color"


@pytest.mark.parametrize(
    ("values", "names", "ids"),
    [
        ((0, 255), ["background", "object"], [0, 255]),
        ((0, 38, 75), ["class 0", "class 38", "class 75"], [0, 38, 75]),
        ((0, 1, 3), ["class 0", "class 1", "class 2", "class 3"], [0, 1, 2, 3]),
    ],
)
def test_classes_from_values(tmp_path, values, names, ids):
    root = tmp_path / "data"
    pair(root, "images/a.jpg", "masks/a.png", np.array([values], np.uint8))
    info = detect(root).info
    assert [category.name for category in info.categories] == names
    assert [category.category_id for category in info.categories] == ids


def test_photographs_are_no_label_maps(tmp_path):
    root = tmp_path / "data"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    pair(root, "images/a.jpg", "masks/a.png", noise)
    with pytest.raises(UserError, match="look like no classes"):
        detect(root)
    pair(root, "images/a.jpg", "masks/a.png", np.dstack([noise, noise.T, noise]))
    with pytest.raises(UserError, match="too many for classes"):
        detect(root)


def test_class_lists_beside_the_data(tmp_path):
    root = tmp_path / "data"
    pair(root, "train/a.jpg", "train/a_mask.png", LABELS % 3)
    (root / "train/_classes.csv").write_text("Pixel Value, Class\n0, background\n1, dog\n2, cat\n")
    found = detect(root)
    assert [category.name for category in found.info.categories] == ["background", "dog", "cat"]


@pytest.mark.parametrize("write", [write_coco_instances, write_coco_panoptic])
def test_coco(tmp_path, write):
    for split in ("train2017", "val2017"):
        write(tmp_path, split)
    found = detect(tmp_path)
    panoptic = write is write_coco_panoptic
    assert found.format == ("coco_panoptic" if panoptic else "coco_instances")
    assert (found.train_split, found.eval_split) == ("train2017", "val2017")
    assert len(open_found(found, "train2017", tmp_path)) == 3
    (tmp_path / "val2017/.ipynb_checkpoints").mkdir()
    file = next((tmp_path / "annotations").glob("*train2017.json"))
    alone = detect(file)
    assert alone.root == tmp_path
    assert alone.train_split == "train2017[shuffled :80%]"


def test_what_is_not_known_is_said(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        detect(tmp_path / "none")
    save(tmp_path / "a.jpg", IMAGE)
    with pytest.raises(
        UserError, match="found neither COCO's JSON files nor images with label maps"
    ):
        detect(tmp_path)
    (tmp_path / "a.json").write_text(json.dumps({"a": 1}))
    with pytest.raises(UserError, match="is no JSON file in COCO's format"):
        detect(tmp_path / "a.json")
    for name in ("one", "two"):
        pair(tmp_path, f"images/{name}/a.jpg", f"masks/{name}/a.png")
    with pytest.raises(UserError, match="has the parts one, two; call one of them train"):
        detect(tmp_path)
