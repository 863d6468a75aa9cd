import json

import pytest

from maskformer_jax.data.registry import list_datasets, load_dataset_info
from maskformer_jax.data.shapes import STUFF, THINGS
from maskformer_jax.errors import UserError

NUM_CLASSES = {"ade20k-150": (150, 100), "camvid": (11, 3), "shapes": (9, 5)}  # and things


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


def test_shapes_are_listed_in_the_order_in_which_they_are_drawn():
    categories = load_dataset_info("shapes").categories
    assert [category.name for category in categories] == [*STUFF, *THINGS]
    assert [category.is_thing for category in categories] == [False] * 4 + [True] * 5


def test_ade20k_reads_the_label_maps_as_distributed():
    info = load_dataset_info("ade20k-150")
    assert info.ignore_label == 0
    assert [category.category_id for category in info.categories] == list(range(1, 151))
    assert (info.categories[12].name, info.categories[12].is_thing) == ("person", True)


def test_unknown_name_suggests_the_near_one():
    with pytest.raises(UserError, match=r"no data set 'camvit'; did you mean 'camvid'\?"):
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
        ('{"name": "m", "categories": []}', "KeyError: 'ignore_label'"),
        ('{"name": "m", "ignore_label": 0, "categories": []}', "at least one class"),
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
