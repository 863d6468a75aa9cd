import json
import pickle

import numpy as np
import pytest
from data.drawn_coco import write_coco_panoptic
from data.drawn_scenes import draw_scene, save
from data.example_equality import assert_equal
from PIL import Image

from maskformer_jax.config import DataConfig
from maskformer_jax.data.panoptic import decode_ids, encode_ids, to_instances, to_label_map
from maskformer_jax.data.panoptic_json import CocoPanopticSource
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.sources import open_source
from maskformer_jax.errors import UserError

COCO = load_dataset_info("coco-panoptic")
IMAGE = "000000000002"


@pytest.fixture
def root(tmp_path):
    write_coco_panoptic(tmp_path, "train2017")
    return tmp_path


def open_coco(root, split="train2017", info=COCO):
    return open_source(DataConfig(root=str(root), format="coco_panoptic"), split, info)


def edit(root, change):
    path = root / "annotations/panoptic_train2017.json"
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))


def test_ids_in_colours(golden):
    np.testing.assert_array_equal(decode_ids(golden["data/id_rgb"]), golden["data/id_map"])
    np.testing.assert_array_equal(encode_ids(golden["data/id_map"]), golden["data/id_rgb"])


def test_examples_are_as_drawn(root):
    source = open_coco(root)
    assert len(source) == 3
    for index in range(3):
        scene = draw_scene(index)
        image_id, image, label_map, panoptic, instances, source_id = source[index]
        assert source_id == int(image_id)
        assert image_id == f"{index + 1:012d}"
        assert instances is None
        assert np.abs(image.astype(int) - scene.image).max() < 12  # it is a JPEG
        ids = [70_001 + index, 300, 9, 0]
        np.testing.assert_array_equal(panoptic.id_map, np.array(ids)[scene.blocks])
        assert [tuple(x) for x in panoptic.segments] == [
            (ids[block], label, False, int((scene.blocks == block).sum()))
            for block, label in ((0, 0), (1, 0), (2, 80))
        ]
        np.testing.assert_array_equal(label_map, np.array([0, 0, 80, -1])[scene.blocks])
        assert source.image_size(index) == scene.blocks.shape
        assert source.encoded_image(index)[:2] == b"\xff\xd8"


def test_crowd_is_void_in_the_label_map(tmp_path):
    write_coco_panoptic(tmp_path, "train2017", crowd=True)
    example = open_coco(tmp_path)[0]
    assert [x.is_crowd for x in example.panoptic.segments] == [False, True, False]
    np.testing.assert_array_equal(
        example.label_map, np.array([0, -1, 80, -1])[draw_scene(0).blocks]
    )


def test_things_as_instances(root):
    example = open_coco(root)[0]
    things = to_instances(example.panoptic, COCO.categories)
    assert [(x.label, x.is_crowd) for x in things] == [(0, False), (0, False)]
    assert things[1].bbox == (10, 0, 22, 12)  # the upper right block of 24 x 32
    assert things[1].area == 22 * 12
    assert to_label_map(example.panoptic).dtype == np.int32


@pytest.mark.parametrize(
    ("dataset", "split", "annotations", "images", "categories"),
    [
        (
            "ade20k-panoptic",
            "training",
            "ade20k_panoptic_train",
            "images/training",
            (12, 12, 0),
        ),
        ("mapillary-vistas-65", "training", "training/panoptic", "training/images", (1, 2, 3)),
    ],
)
def test_other_layouts(tmp_path, dataset, split, annotations, images, categories):
    write_coco_panoptic(
        tmp_path, "x", annotations=annotations, images=images, categories=categories
    )
    if dataset.startswith("mapillary"):
        json_file = tmp_path / "training/panoptic/panoptic_2018.json"
        (tmp_path / "training/panoptic.json").rename(json_file)
    source = open_coco(tmp_path, split, load_dataset_info(dataset))
    np.testing.assert_array_equal(
        source[1].label_map, np.array([*categories, -1])[draw_scene(1).blocks]
    )


def test_source_can_be_sent_to_a_worker(root):
    copy = pickle.loads(pickle.dumps(open_coco(root)))
    np.testing.assert_array_equal(copy[2].label_map, open_coco(root)[2].label_map)


def test_id_in_the_picture_only(root):
    edit(root, lambda fields: fields["annotations"][1]["segments_info"].pop(0))
    message = rf"{IMAGE}\.png and .*segment ids that segments_info does not list: 70002;"
    with pytest.raises(UserError, match=message):
        open_coco(root)[1]


def test_id_in_the_list_only(root):
    def add(fields):
        segments = fields["annotations"][1]["segments_info"]
        segments.append(segments[0] | {"id": 77})

    edit(root, add)
    with pytest.raises(UserError, match=r"lists segment ids that no pixel has: 77"):
        open_coco(root)[1]


def test_an_id_twice(root):
    def repeat(fields):
        segments = fields["annotations"][1]["segments_info"]
        segments.append(segments[0])

    edit(root, repeat)
    with pytest.raises(UserError, match=r"several segments have id 70002"):
        open_coco(root)[1]


def test_category_of_another_data_set(root):
    with pytest.raises(UserError, match=r"category 92 .* is not in 'camvid'; is config\.data"):
        open_coco(root, info=load_dataset_info("camvid"))

    def change(fields):
        fields["annotations"][0]["segments_info"][0]["category_id"] = 12

    edit(root, change)
    with pytest.raises(UserError, match=r"segment 70001 of image 1 has category 12"):
        open_coco(root)


def test_missing_png_and_image(root):
    (root / f"annotations/panoptic_train2017/{IMAGE}.png").unlink()
    with pytest.raises(
        UserError, match=rf"config\.data\.root is .* there is no file .*{IMAGE}\.png"
    ):
        open_coco(root)[1]
    (root / f"train2017/{IMAGE}.jpg").unlink()
    with pytest.raises(
        UserError, match=rf"config\.data\.root is .* there is no file .*{IMAGE}\.jpg"
    ):
        open_coco(root)[1]


def test_png_of_another_size(root):
    save(root / f"annotations/panoptic_train2017/{IMAGE}.png", np.zeros((24, 32, 3), np.uint8))
    with pytest.raises(UserError, match=r"image is 32 x 24 .* label map is 24 x 32.*EXIF"):
        open_coco(root)[1]


def test_sizes_that_are_not_listed_come_from_the_images(root):
    before = [(open_coco(root).image_size(i), open_coco(root)[i]) for i in range(2)]
    edit(root, lambda fields: [image.pop("height") for image in fields["images"]])
    after = [(open_coco(root).image_size(i), open_coco(root)[i]) for i in range(2)]
    for (size, example), (known, expected) in zip(after, before, strict=True):
        assert size == known
        assert_equal(example, expected)


def test_size_in_the_list_is_wrong(root):
    edit(root, lambda fields: fields["images"][1].update(width=25))
    with pytest.raises(UserError, match=r"image is 32 x 24 .*panoptic_train2017.json says 32 x 25"):
        open_coco(root)[1]


def test_annotation_of_an_unlisted_image(root):
    edit(root, lambda fields: fields["images"].pop(0))
    with pytest.raises(UserError, match=r"annotates image 1, which `images` does not list"):
        open_coco(root)


def test_damaged_json(root):
    path = root / "annotations/panoptic_train2017.json"
    path.write_text(path.read_text()[:-30])
    with pytest.raises(UserError, match=r"panoptic_train2017\.json: is not valid JSON"):
        open_coco(root)
    path.write_text('{"images": []}')
    with pytest.raises(UserError, match=r"not a panoptic annotation file .*KeyError"):
        open_coco(root)


def test_no_annotations(root):
    edit(root, lambda fields: fields["annotations"].clear())
    with pytest.raises(UserError, match=r"lists no annotations"):
        open_coco(root)


def test_missing_split(root):
    with pytest.raises(UserError, match=r"no panoptic annotations of the split 'test'; looked for"):
        CocoPanopticSource(root, "test", COCO)


def segments(fields):
    return fields["annotations"][0]["segments_info"]


def test_a_segment_with_the_id_of_void(root):
    edit(root, lambda fields: segments(fields)[0].update(id=0))
    with pytest.raises(UserError, match=r"a segment has id 0, which marks void"):
        open_coco(root)[0]


def test_missing_areas_are_counted(root):
    expected = [segment.area for segment in open_coco(root)[0].panoptic.segments]
    edit(root, lambda fields: [one.pop("area") for one in segments(fields)])
    assert [segment.area for segment in open_coco(root)[0].panoptic.segments] == expected


def test_grey_pictures_hold_the_ids(root):
    expected = open_coco(root)[0]
    path = root / "annotations/panoptic_train2017/000000000001.png"
    small = {70_001: 1, 300: 300, 9: 2, 0: 0}
    values = np.vectorize(small.get)(expected.panoptic.id_map)
    edit(root, lambda fields: [one.update(id=small[one["id"]]) for one in segments(fields)])
    for dtype, largest in ((np.uint16, 300), (np.uint8, 3)):
        edit(root, lambda fields, largest=largest: segments(fields)[1].update(id=largest))
        Image.fromarray(np.where(values == 300, largest, values).astype(dtype)).save(path)
        np.testing.assert_array_equal(open_coco(root)[0].label_map, expected.label_map)


def test_an_image_twice(root):
    edit(root, lambda fields: fields["annotations"].append(fields["annotations"][0]))
    with pytest.raises(
        UserError, match=r"annotation of image '000000000001' occurs more than once"
    ):
        open_coco(root)


def test_two_images_with_one_id(root):
    edit(root, lambda fields: fields["images"][1].update(id=1))
    with pytest.raises(UserError, match=r"two images with id 1, '.*' and '.*'"):
        open_coco(root)


def test_things_and_names_must_agree(root):
    edit(root, lambda fields: fields["categories"][0].update(isthing=0))
    with pytest.raises(UserError, match=r"category 1 .* is stuff \(isthing 0\), but a thing in"):
        open_coco(root)
    edit(root, lambda fields: fields["categories"][0].update(isthing=1, name="tree"))
    with pytest.raises(UserError, match=r"category 1 is 'tree', but 'person' in 'coco-panoptic'"):
        open_coco(root)


def test_images_without_annotation_are_counted(root):
    edit(root, lambda fields: fields["annotations"].pop(1))
    source = open_coco(root)
    assert (
        "1 of 3 images have no annotation and are left out, first 000000000002" in source.notes[0]
    )
