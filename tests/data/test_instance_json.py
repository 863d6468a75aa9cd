"""Errors in COCO instance files (test_layouts.py reads valid ones)."""

import json

import pytest
from data.drawn_coco import write_coco_instances
from data.example_equality import assert_equal

from maskformer_jax.data.instance_json import CocoInstanceSource
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.split import Subset
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
        ("abc", "neither polygons nor run lengths"),
        ({"size": [3, 4], "counts": [12]}, r"its size is \[3, 4\], the image's \[24, 32\]"),
        ({"counts": [12]}, '"size" and "counts"'),
        ([[5, 5, 25, 5, 25, 25, 5]], "7 numbers, which are no pairs"),
        ([[5, 5, 25, 5, 25, float("nan")]], "not finite"),
        ({"size": [24, 32], "counts": [100, 30, 99999]}, "add up to 100129, but .* = 768 pixels"),
        ({"size": [24, 32], "counts": [100, 30]}, "add up to 130"),
        ({"size": [24, 32], "counts": [100, -30, 698]}, "negative"),
        ({"size": [24, 32], "counts": "]a0"}, "add up to|cut off"),
        ({"size": [24, 32], "counts": "h\u00e9llo"}, "neither a list nor compressed"),
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


def test_sizes_that_are_not_listed_come_from_the_images(root):
    before = [(open_coco(root).image_size(i), open_coco(root)[i]) for i in range(2)]
    edit(root, lambda fields: [image.pop("height") for image in fields["images"]])
    after = [(open_coco(root).image_size(i), open_coco(root)[i]) for i in range(2)]
    for (size, example), (known, expected) in zip(after, before, strict=True):
        assert size == known
        assert_equal(example, expected)


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


def test_what_is_missing_is_taken_from_the_mask(root):
    square = [[4, 4, 12, 4, 12, 10, 4, 10]]
    for change in ({}, {"area": None, "bbox": []}):
        edit(
            root,
            lambda fields, change=change: fields["annotations"].__setitem__(
                slice(None),
                [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": square, **change}],
            ),
        )
        (instance,) = open_coco(root)[0].instances
        assert (instance.area, instance.bbox) == (48, (4, 4, 8, 6))
        assert not instance.is_crowd


@pytest.mark.parametrize("segmentation", [[], None, [[1, 1, 5, 5]], [[]], [3, 4, 5, 6]])
def test_annotations_without_a_mask_are_left_out_and_counted(root, segmentation):
    before = len(open_coco(root)[0].instances)
    edit(root, lambda fields: fields["annotations"][0].update(segmentation=segmentation))
    source = open_coco(root)
    assert len(source[0].instances) == before - 1
    (note,) = source.notes
    assert "1 of 12 annotations have no mask" in note
    assert "first annotation 1" in note
    assert Subset(source, [0]).notes == source.notes


def test_annotations_that_are_all_boxes_are_refused(root):
    edit(root, lambda fields: [one.pop("segmentation") for one in fields["annotations"]])
    with pytest.raises(UserError, match="none of the 12 annotations has a mask, only boxes"):
        open_coco(root)


def test_two_images_with_one_id(root):
    edit(root, lambda fields: fields["images"][1].update(id=1))
    with pytest.raises(
        UserError, match=r"two images with id 1, '000000000001\.jpg' and '000000000002"
    ):
        open_coco(root)


def test_ids_come_out_as_they_are(root):
    def rename(fields):
        for one in fields["images"]:
            one["id"] = f"{one['id']:06d}"
        for one in fields["annotations"]:
            one["image_id"] = f"{one['image_id']:06d}"

    assert open_coco(root)[0].source_id == 1
    edit(root, rename)
    example = open_coco(root)[0]
    assert (example.source_id, example.image_id) == ("000001", "000001")


def test_unused_categories_may_be_unknown_but_names_must_agree(root):
    def name_them(fields):
        names = {1: "person", 18: "dog", 90: "toothbrush"}
        for one in fields["categories"]:
            one["name"] = names[one["id"]]

    edit(root, name_them)
    edit(root, lambda fields: fields["categories"].insert(0, {"id": 0, "name": "parent"}))
    assert len(open_coco(root)) == 3
    edit(root, lambda fields: fields["categories"][2].update(name="cat"))
    with pytest.raises(UserError, match=r"category 18 is 'cat', but 'dog' in 'coco-instances'"):
        open_coco(root)


@pytest.mark.parametrize(
    ("annotations", "images", "file_name"),
    [
        ("val2017/_annotations.coco.json", "val2017", "{}"),  # Roboflow
        ("annotations/instances_val2017.json", "images", "{}"),  # CVAT
        ("val2017/annotations.json", "val2017/JPEGImages", "JPEGImages/{}"),  # LabelMe
        ("val2017.json", "images", "images\\{}"),  # Label Studio
    ],
)
def test_layouts_of_labelling_tools(root, annotations, images, file_name):
    expected = open_coco(root)[2]
    path = root / "annotations/instances_val2017.json"
    fields = json.loads(path.read_text())
    path.unlink()
    moved = root / "moved"
    (root / "val2017").rename(moved)
    for one in fields["images"]:
        target = root / images / one["file_name"]
        target.parent.mkdir(parents=True, exist_ok=True)
        (moved / one["file_name"]).rename(target)
        one["file_name"] = file_name.format(one["file_name"])
    (root / annotations).parent.mkdir(parents=True, exist_ok=True)
    (root / annotations).write_text(json.dumps(fields))
    example = open_coco(root)[2]
    assert (example.image == expected.image).all()
    assert example.instances == expected.instances
