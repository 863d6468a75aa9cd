import json

import numpy as np
import pytest

from maskformer_jax.data.labels import LabelTable
from maskformer_jax.data.registry import list_datasets, load_dataset_info
from maskformer_jax.data.shapes import STUFF, THINGS
from maskformer_jax.errors import UserError

NUM_CLASSES = {  # and things
    "ade20k-150": (150, 100),
    "ade20k-full-847": (847, 0),
    "ade20k-panoptic": (150, 100),
    "camvid": (11, 3),
    "cityscapes-19": (19, 8),
    "coco-instances": (80, 80),
    "coco-panoptic": (133, 80),
    "coco-stuff-10k-171": (171, 80),
    "mapillary-vistas-65": (65, 0),
    "penn-fudan": (2, 1),
    "shapes": (9, 5),
}
ADE20K_STUFF = (
    *(0, 1, 2, 3, 4, 5, 6, 9, 11, 13, 16, 17, 21, 25, 26, 28, 29, 34, 40, 46, 48, 51, 52, 54, 59),
    *(60, 61, 63, 68, 77, 79, 84, 91, 94, 96, 99, 100, 101, 105, 106, 109, 113, 114, 117, 122),
    *(128, 131, 140, 141, 145),
)
COCO_THINGS = (
    *range(1, 12),
    *range(13, 26),
    *(27, 28),
    *range(31, 45),
    *range(46, 66),
    *(67, 70),
    *range(72, 83),
    *range(84, 91),
)
COCO_STUFF = (
    *(92, 93, 95, 100, 107, 109, 112, 118, 119, 122, 125, 128, 130, 133, 138, 141, 144, 145, 147),
    *(148, 149, 151, 154, 155, 156, 159, 161, 166, 168, 171, 175, 176, 177, 178, 180, 181),
    *range(184, 201),
)


def category_ids(name: str, *, things: bool | None = None) -> tuple[int, ...]:
    return tuple(
        category.category_id
        for category in load_dataset_info(name).categories
        if things is None or category.is_thing == things
    )


def name_of(dataset: str, category_id: int) -> str:
    categories = load_dataset_info(dataset).categories
    [name] = [entry.name for entry in categories if entry.category_id == category_id]
    return name


def test_every_data_set_is_in_the_table():
    assert set(list_datasets()) == set(NUM_CLASSES)


@pytest.mark.parametrize("name", NUM_CLASSES)
def test_metadata_is_consistent(name):
    info = load_dataset_info(name)
    things = sum(category.is_thing for category in info.categories)
    assert info.name == name
    assert (info.num_classes, things) == NUM_CLASSES[name]
    assert len({category.name for category in info.categories}) == info.num_classes
    assert len({category.color for category in info.categories}) == info.num_classes
    assert all(0 <= value <= 255 for entry in info.categories for value in entry.color)
    assert (0, 0, 0) not in {entry.color for entry in info.categories}  # void is drawn so


def test_shapes_are_listed_in_the_order_in_which_they_are_drawn():
    categories = load_dataset_info("shapes").categories
    assert [category.name for category in categories] == [*STUFF, *THINGS]
    assert [category.is_thing for category in categories] == [False] * 4 + [True] * 5


def test_ade20k_reads_the_label_maps_as_distributed():
    info = load_dataset_info("ade20k-150")
    assert info.ignore_label == 0
    assert [category.category_id for category in info.categories] == list(range(1, 151))
    assert (info.categories[12].name, info.categories[12].is_thing) == ("person", True)


def test_both_kinds_of_ade20k_have_the_same_classes():
    semantic, panoptic = (load_dataset_info(f"ade20k-{kind}") for kind in ("150", "panoptic"))
    for ours, theirs in zip(semantic.categories, panoptic.categories, strict=True):
        assert (ours.name, ours.color, ours.is_thing) == (
            theirs.name,
            theirs.color,
            theirs.is_thing,
        )
    assert category_ids("ade20k-panoptic") == tuple(range(150))
    assert category_ids("ade20k-panoptic", things=False) == ADE20K_STUFF


def test_coco_lists_things_first_each_in_the_order_of_their_ids():
    assert category_ids("coco-panoptic") == (*COCO_THINGS, *COCO_STUFF)
    assert category_ids("coco-panoptic", things=True) == COCO_THINGS
    assert category_ids("coco-stuff-10k-171") == (*COCO_THINGS, *range(92, 183))
    assert category_ids("coco-stuff-10k-171", things=True) == COCO_THINGS
    assert category_ids("coco-instances") == COCO_THINGS
    for dataset in ("coco-panoptic", "coco-stuff-10k-171"):
        assert [name_of(dataset, value) for value in (1, 90, 92)] == [
            *("person", "toothbrush", "banner")
        ]
    assert name_of("coco-panoptic", 200) == "rug-merged"
    assert name_of("coco-stuff-10k-171", 182) == "wood"


def test_street_scenes():
    ids = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    assert category_ids("cityscapes-19") == ids
    assert [name_of("cityscapes-19", value) for value in (7, 24, 33)] == [
        *("road", "person", "bicycle")
    ]
    assert category_ids("mapillary-vistas-65") == tuple(range(65))
    assert name_of("mapillary-vistas-65", 64) == "Ego Vehicle"


@pytest.mark.parametrize(
    ("name", "ignore_label", "first", "last"),
    [
        ("ade20k-150", 0, 1, 150),
        ("ade20k-full-847", 65535, 0, 846),
        ("ade20k-panoptic", 255, 0, 149),
        ("cityscapes-19", 255, 0, 18),
        ("coco-panoptic", 255, 1, 200),
        ("coco-stuff-10k-171", 255, 0, 170),
        ("mapillary-vistas-65", 65, 0, 64),
    ],
)
def test_what_label_maps_hold(name, ignore_label, first, last):
    info = load_dataset_info(name)
    assert info.ignore_label == ignore_label
    assert (info.stored_values[0], info.stored_values[-1]) == (first, last)
    stored = np.array([[first, last, ignore_label]], np.uint16)
    labels = LabelTable(info).translate(stored, name="a map")
    assert labels.tolist() == [[0, info.num_classes - 1, -1]]


def test_maps_of_labels_do_not_know_category_ids():
    with pytest.raises(UserError, match=r"label 33 .* allowed are 0\.\.18 and 255 \(void\)"):
        LabelTable(load_dataset_info("cityscapes-19")).translate(
            np.array([[18, 33]], np.uint8), name="a map"
        )


def test_unknown_name_suggests_the_near_one():
    with pytest.raises(
        UserError, match=r"config\.data\.dataset is 'camvit', .*did you mean 'camvid'\?"
    ):
        load_dataset_info("camvit")


def test_own_data_set_from_a_file(tmp_path):
    category = {"name": "cat", "color": [1, 2, 3], "is_thing": True, "category_id": 7}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "m", "ignore_label": None, "categories": [category]}))
    info = load_dataset_info(str(path))
    assert (info.num_classes, info.ignore_label) == (1, None)
    assert info.categories[0].color == (1, 2, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a description of a data set"),
        ('{"name": "m", "categories": []}', "at least one class"),
        ('{"name": "m", "ignore_label": 0, "categories": []}', "at least one class"),
        (
            '{"name": "m", "ignore_label": 0, "categories": [], "label_maps": "ids"}',
            "\"label_maps\" is 'ids', but must be",
        ),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(UserError, match=rf"mine\.json: .*{message}"):
        load_dataset_info(str(path))


def test_a_category_id_equal_to_the_ignore_label_is_refused(tmp_path):
    category = {"name": "cat", "color": [1, 2, 3], "is_thing": True, "category_id": 7}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "m", "ignore_label": 7, "categories": [category]}))
    with pytest.raises(UserError, match=r"repeated are \[7\]"):
        load_dataset_info(str(path))


def test_an_ignore_label_within_the_labels_is_refused_where_maps_hold_labels(tmp_path):
    category = {"name": "cat", "color": [1, 2, 3], "is_thing": True, "category_id": 7}
    fields = {"name": "m", "ignore_label": 0, "categories": [category]}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(fields))
    assert load_dataset_info(str(path)).stored_values == (7,)
    path.write_text(json.dumps(fields | {"label_maps": "label"}))
    with pytest.raises(UserError, match=r"repeated are \[0\]"):
        load_dataset_info(str(path))
    path.write_text(json.dumps(fields | {"label_maps": "label", "ignore_label": 7}))
    assert load_dataset_info(str(path)).stored_values == (0,)
