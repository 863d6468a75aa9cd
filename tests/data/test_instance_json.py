"""Errors in COCO instance files (test_layouts.py reads valid ones)."""

import json

import pytest
from data.drawn_coco import write_coco_instances

from maskformer_jax.data.instance_json import CocoInstanceSource
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError

COCO = load_dataset_info("coco-instances")


@pytest.fixture
def root(tmp_path):
    write_coco_instances(tmp_path, "val2017")
    return tmp_path


def edit(root, change):
    path = root / "annotations/instances_val2017.json"
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))


def open_coco(root, info=COCO):
    return CocoInstanceSource(root, "val2017", info)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "no polygons"),
        ("abc", "neither polygons nor run lengths"),
        ({"size": [3, 4], "counts": [12]}, r"its size is \[3, 4\], the image's \[24, 32\]"),
        ({"counts": [12]}, "'size'"),
    ],
)
def test_malformed_masks(root, segmentation, message):
    edit(root, lambda fields: fields["annotations"][0].update(segmentation=segmentation))
    with pytest.raises(UserError, match=rf"mask of annotation 1 of image 000000000001 .*{message}"):
        open_coco(root)[0]


def test_categories_and_images_that_are_not_listed(root):
    with pytest.raises(
        UserError, match=r"category 18 .* is not in 'camvid'; is config\.data\.dataset"
    ):
        open_coco(root, load_dataset_info("camvid"))
    edit(root, lambda fields: fields["annotations"][2].update(category_id=12))
    with pytest.raises(UserError, match=r"annotation 3 has category 12, which"):
        open_coco(root)
    edit(root, lambda fields: fields["annotations"][1].update(image_id=77))
    with pytest.raises(UserError, match=r"annotation 2 is of image 77, which `images`"):
        open_coco(root)


def test_size_in_the_list_is_wrong(root):
    edit(root, lambda fields: fields["images"][0].update(height=23))
    with pytest.raises(UserError, match=r"image is 24 x 32 .*val2017\.json says 23 x 32"):
        open_coco(root)[0]


def test_images_without_annotations_are_read(root):
    edit(root, lambda fields: fields["annotations"].clear())
    assert open_coco(root)[2].instances == ()


def test_missing_damaged_and_empty_files(root):
    with pytest.raises(
        UserError, match=r"config\.data\.root is '.*', but .* no file .*instances_train2017\.json"
    ):
        CocoInstanceSource(root, "train2017", COCO)
    edit(root, lambda fields: fields["images"].clear() or fields["annotations"].clear())
    with pytest.raises(UserError, match="lists no images"):
        open_coco(root)
    edit(root, lambda fields: fields.pop("images"))
    with pytest.raises(UserError, match=r"not an instance annotation file .*KeyError: 'images'"):
        open_coco(root)
    (root / "annotations/instances_val2017.json").write_text("{")
    with pytest.raises(UserError, match=r"instances_val2017\.json: is not valid JSON"):
        open_coco(root)
    with pytest.raises(UserError, match=r"config\.data\.root is '.*', but there is no folder"):
        open_coco(root / "nowhere")
