"""Class lists in the forms that people have."""

import json

import numpy as np
import pytest
from PIL import Image

from maskformer_jax.config import DataConfig
from maskformer_jax.data.label_names import to_json
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.sources import open_source
from maskformer_jax.errors import UserError


def load(path, text):
    path.write_text(text)
    return load_dataset_info(str(path))


def names(info):
    return [category.name for category in info.categories]


def test_names(tmp_path):
    info = load(tmp_path / "classes.txt", "# mine\nsky\n\n traffic light \n")
    assert names(info) == ["sky", "traffic light"]
    assert (info.stored_values, info.ignore_label) == ((0, 1), 255)
    assert not any(category.is_thing for category in info.categories)
    assert len({category.color for category in info.categories}) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("colors.txt", "128 128 128\tsky\n0 0 192 traffic light\n0 0 0 Void\n"),
        ("colors.csv", "name,r,g,b\nsky,128,128,128\ntraffic light,0,0,192\nvoid,0,0,0\n"),
        ("colors.txt", "sky 128 128 128\ntraffic light 0 0 192\nunlabelled 0 0 0"),
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nsky:128,128,128::\ntraffic light:0,0,192::\n"
            "ignore:0,0,0::\n",
        ),
    ],
)
def test_colour_tables_translate_pictures(tmp_path, name, text):
    info = load(tmp_path / name, text)
    assert names(info) == ["sky", "traffic light"]
    assert info.categories[1].color == (0, 0, 192)
    colors = np.array([[[128, 128, 128], [0, 0, 192], [0, 0, 0]]] * 2, np.uint8)
    for kind, picture in (("images", colors), ("annotations", colors)):
        path = tmp_path / kind / "train/a.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    config = DataConfig(dataset=str(tmp_path / name), root=str(tmp_path))
    example = open_source(config, "train", info)[0]
    np.testing.assert_array_equal(example.label_map, [[0, 1, -1]] * 2)
    colors[1, 2] = (9, 8, 7)
    Image.fromarray(colors).save(tmp_path / "annotations/train/a.png")
    with pytest.raises(UserError, match=r"colour \(9, 8, 7\) at row 1, column 2 is no class"):
        open_source(config, "train", info)[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no class"),
        ("sky\nsky\n", "the class 'sky' is listed twice"),
        ("sky 1 2 3\nroad\n", "'road' has no colour"),
        ("sky 1 2 3\nroad 1 2 3\n", r"several classes have the colour \(1, 2, 3\)"),
        ("sky 1 2 300\n", r"colour of 'sky' is \(1, 2, 300\), but must be in 0\.\.255"),
    ],
)
def test_wrong_lists(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        load(tmp_path / "classes.txt", text)


def test_palette(tmp_path):
    picture = Image.fromarray(np.array([[0, 2, 255]], np.uint8)).convert("P")
    palette = np.zeros((256, 3), np.uint8)
    palette[:3] = [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    picture.putpalette(palette.ravel().tolist())
    picture.save(tmp_path / "a.png")
    info = load_dataset_info(str(tmp_path / "a.png"))
    assert [category.color for category in info.categories] == [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
    assert info.ignore_label == 255
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(UserError, match="has no palette"):
        load_dataset_info(str(tmp_path / "b.png"))


def test_coco_categories(tmp_path):
    categories = [
        {"id": 0, "name": "people", "supercategory": "none"},  # Roboflow's parent
        {"id": 7, "name": "rider", "supercategory": "people"},
        {"id": 3, "name": "walker", "supercategory": "people", "color": [1, 2, 3]},
    ]
    fields = {"images": [], "annotations": [{"category_id": 7}], "categories": categories}
    info = load(tmp_path / "a.json", json.dumps(fields))
    assert names(info) == ["walker", "rider"]
    assert [category.category_id for category in info.categories] == [3, 7]
    assert info.categories[0].color == (1, 2, 3)
    assert all(category.is_thing for category in info.categories)
    fields["annotations"] = [{"segments_info": [{"category_id": 3}]}]
    categories[2]["isthing"] = 0
    info = load(tmp_path / "a.json", json.dumps(fields))
    assert [category.is_thing for category in info.categories] == [False, True]


def test_descriptions_come_back_and_defaults_are_filled_in(tmp_path):
    for text in (
        json.dumps({"name": "m", "categories": [{"name": "a"}, {"name": "b"}]}),
        json.dumps(
            {"name": "m", "label_maps": "color", "ignore_colors": [[0, 0, 0]]}
            | {"categories": [{"name": "a", "color": [9, 9, 9], "is_thing": True}]}
        ),
    ):
        info = load(tmp_path / "m.json", text)
        assert info.ignore_label == 255
        assert [category.category_id for category in info.categories] == [*range(info.num_classes)]
        assert load(tmp_path / "again.json", to_json(info)) == info


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"color": [1, 2, 256]}, r"whole numbers in 0\.\.255"),
        ({"color": [1, 2, 3.5]}, r"whole numbers in 0\.\.255"),
        ({"category_id": "3"}, "must be a whole number"),
        ({"category_id": -1}, "must not be negative"),
        ({"is_thing": "no"}, "must be true or false"),
    ],
)
def test_wrong_descriptions(tmp_path, entry, message):
    fields = {"name": "m", "categories": [{"name": "a", **entry}]}
    with pytest.raises(UserError, match=message):
        load(tmp_path / "m.json", json.dumps(fields))
