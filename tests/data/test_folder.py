import pickle

import numpy as np
import pytest
from PIL import Image

from maskformer_jax.categories import Category, DatasetInfo
from maskformer_jax.config import DataConfig
from maskformer_jax.data.folder import LAYOUTS, FolderSource, list_split
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.shapes import draw_example
from maskformer_jax.data.sources import open_source
from maskformer_jax.errors import UserError

INFO = DatasetInfo(
    name="two",
    categories=tuple(
        Category(name=name, color=(0, 0, 0), category_id=value)
        for name, value in (("a", 3), ("b", 8))
    ),
    ignore_label=0,
)
IMAGE = np.zeros((4, 6, 3), np.uint8)
LABELS = np.array([[3, 8, 0, 3, 8, 0]] * 4, np.uint8)


def open_folder(root, split, info, layout="folder"):
    return FolderSource(list_split(root, split, LAYOUTS[layout]), info)


def test_examples_come_in_the_order_of_their_names(tmp_path, write):
    for value, name in enumerate(("b", "a", "sub/c")):
        write(tmp_path, "train", name, IMAGE + np.uint8(value), LABELS)
    source = open_folder(tmp_path, "train", INFO)
    assert len(source) == 3
    assert [source[i].image_id for i in range(3)] == ["a", "b", "sub/c"]
    assert [int(source[i].image[0, 0, 0]) for i in range(3)] == [1, 0, 2]


def test_category_ids_become_labels_and_the_ignore_label_void(tmp_path, write):
    write(tmp_path, "train", "a", IMAGE, LABELS)
    label_map = open_folder(tmp_path, "train", INFO)[0].label_map
    np.testing.assert_array_equal(label_map, [[0, 1, -1, 0, 1, -1]] * 4)
    assert label_map.dtype == np.int32


def test_drawings_come_back(shapes_root):
    source = open_folder(shapes_root, "train", load_dataset_info("shapes"))
    drawing = draw_example("train", 4)
    np.testing.assert_array_equal(source[4].image, drawing.image)
    np.testing.assert_array_equal(source[4].label_map, drawing.label_map)


def test_source_can_be_sent_to_a_worker(shapes_root):
    source = open_folder(shapes_root, "val", load_dataset_info("shapes"))
    copy = pickle.loads(pickle.dumps(source))
    assert copy[2].image_id == source[2].image_id
    np.testing.assert_array_equal(copy[2].label_map, source[2].label_map)


def test_label_above_the_class_range(tmp_path, write):
    labels = np.array([[0, 1, 2, 10, 11, 200]] * 4, np.uint8)
    write(tmp_path, "train", "bad", IMAGE, labels)
    source = open_folder(tmp_path, "train", load_dataset_info("camvid"))
    with pytest.raises(UserError) as caught:
        source[0]
    message = str(caught.value)
    assert "annotations/train/bad.png: label 200 at row 0, column 5" in message
    assert "4 pixels" in message
    assert "allowed are 0..10 and 11 (void)" in message


def test_truncated_jpeg(tmp_path, write):
    write(tmp_path, "train", "a", IMAGE, LABELS)
    path = tmp_path / "images/train/a.jpg"
    Image.fromarray(IMAGE).save(path)
    (tmp_path / "images/train/a.png").unlink()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"images/train/a\.jpg: cannot be decoded"):
        open_folder(tmp_path, "train", INFO)[0]


def test_sizes_that_differ(tmp_path, write):
    write(tmp_path, "train", "a", IMAGE, LABELS[:, :5])
    with pytest.raises(UserError, match=r"a\.png: the image is 4 x 6 .* its label map is 4 x 5"):
        open_folder(tmp_path, "train", INFO)[0]


def test_sizes_that_are_swapped_hint_at_exif(tmp_path, write):
    write(tmp_path, "train", "a", IMAGE, LABELS.T)
    with pytest.raises(UserError, match="EXIF"):
        open_folder(tmp_path, "train", INFO)[0]


def test_missing_label_files_are_listed(tmp_path, write):
    for index in range(9):
        write(tmp_path, "train", f"{index}", IMAGE, LABELS)
        if index > 1:
            (tmp_path / f"annotations/train/{index}.png").unlink()
    with pytest.raises(UserError, match=r"7 of 9 images .*: 2\.png, 3\.png, .* and 2 more"):
        open_folder(tmp_path, "train", INFO)


def test_two_images_for_one_label_map(tmp_path, write):
    write(tmp_path, "train", "a", IMAGE, LABELS)
    Image.fromarray(IMAGE).save(tmp_path / "images/train/a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg and a\.png have the same name"):
        list_split(tmp_path, "train", LAYOUTS["folder"])


def test_empty_folder(tmp_path):
    for folder in ("images", "annotations"):
        (tmp_path / folder / "train").mkdir(parents=True)
    with pytest.raises(UserError, match=r"images/train: no images"):
        open_folder(tmp_path, "train", INFO)


def test_missing_split_names_those_that_are_there(tmp_path, write):
    write(tmp_path, "training", "a", IMAGE, LABELS)
    with pytest.raises(UserError, match=r"no folder .*images/train; .*images has training"):
        open_folder(tmp_path, "train", INFO)


def test_missing_root(tmp_path):
    with pytest.raises(
        UserError,
        match=r"config\.data\.root is '.*nowhere', but there is no folder .*docs/datasets\.md",
    ):
        open_folder(tmp_path / "nowhere", "train", INFO)


def test_root_that_is_not_set():
    with pytest.raises(
        UserError, match=r"config\.data\.root is '', but must be .*docs/datasets\.md"
    ):
        open_source(DataConfig(dataset="camvid"), "train", INFO)
