"""Files as people have them: links, hidden folders, EXIF tags, encodings, sizes at the limits."""

import json
import struct
import zlib

import numpy as np
import pytest
from data.drawn_coco import write_coco_instances, write_coco_panoptic
from PIL import Image

from maskformer_jax.config import DataConfig
from maskformer_jax.data.check import check_dataset
from maskformer_jax.data.images import decode_image
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.sources import open_source
from maskformer_jax.data.transforms import shortest_edge_size
from maskformer_jax.errors import UserError
from maskformer_jax.file_search import files_below
from maskformer_jax.json_files import read_json

LABELS = np.array([[0, 1, 1, 0]] * 3, np.uint8)
IMAGE = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "mine", "categories": [{"name": "a"}, {"name": "b"}]}))
    return path


def open_folder(root, mine, **settings):
    return open_source(
        DataConfig(dataset=str(mine), root=str(root), **settings),
        "train",
        load_dataset_info(str(mine)),
    )


def save_turned(path, image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, exif=exif)


def test_links_are_followed_and_hidden_files_left_out(tmp_path, mine, write):
    root, far = tmp_path / "data", tmp_path / "far"
    write(root, "train", "a", IMAGE, LABELS)
    write(root, "train", ".ipynb_checkpoints/a-checkpoint", IMAGE, LABELS)
    write(root, "train", "__MACOSX/a", IMAGE, LABELS)
    write(far, "train", "b", IMAGE, LABELS)
    for kind in ("images", "annotations"):
        (root / kind / "train/._a.png").write_bytes(b"resource fork")
        (root / kind / "train/linked").symlink_to(far / kind / "train")
        (far / kind / "train/back").symlink_to(root / kind)  # a loop
    source = open_folder(root, mine)
    assert [source[i].image_id for i in range(len(source))] == ["a", "linked/b"]
    found = files_below(root / "images")
    assert [path.name for path in found] == ["a.png", "b.png"]


@pytest.mark.parametrize(("orientation", "shape"), [(3, (3, 4)), (2, (3, 4)), (6, (4, 4))])
def test_orientation_that_sizes_do_not_tell(tmp_path, mine, write, orientation, shape):
    image, labels = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
    write(tmp_path, "train", "a", image, labels)
    save_turned(tmp_path / "images/train/a.png", image, orientation)
    with pytest.raises(UserError, match=rf"orientation {orientation}\).*data\.trust_exif=True"):
        open_folder(tmp_path, mine)[0]
    assert open_folder(tmp_path, mine, trust_exif=True)[0].image.shape == image.shape


def test_orientation_that_sizes_tell(tmp_path, mine, write):
    write(tmp_path, "train", "a", np.zeros((4, 3, 3), np.uint8), LABELS.T.copy())
    save_turned(tmp_path / "images/train/a.png", IMAGE, 6)
    assert open_folder(tmp_path, mine)[0].image.shape == (4, 3, 3)


@pytest.mark.parametrize(
    ("layout", "write_data"),
    [("coco_panoptic", write_coco_panoptic), ("coco_instances", write_coco_instances)],
)
def test_orientation_beside_json_files(tmp_path, layout, write_data):
    write_data(tmp_path, "train")
    image = np.asarray(Image.open(tmp_path / "train/000000000001.jpg"))
    save_turned(tmp_path / "train/000000000001.jpg", image, 3)
    own = next(tmp_path.rglob("*_train.json"))
    with pytest.raises(UserError, match=r"turned by 180 degrees"):
        open_folder(tmp_path, own, format=layout)[0]
    published = "coco-panoptic" if layout == "coco_panoptic" else "coco-instances"
    assert open_folder(tmp_path, published, format=layout)[0].image.shape == image.shape


def test_an_image_above_the_limit_of_pillow_is_not_called_damaged():
    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(
        UserError, match=r"big\.png: is too large .*400000000 pixels.*tiles"
    ) as info:
        decode_image(png, name="big.png")
    assert "damaged" not in str(info.value)


def test_a_side_that_rounds_to_nothing_is_one_pixel():
    assert shortest_edge_size((1, 5000), 64, 96) == (1, 96)
    assert shortest_edge_size((5000, 1), 64, 96) == (96, 1)


def test_byte_order_marks_are_read_and_other_encodings_named(tmp_path):
    text = json.dumps({"name": "mine", "categories": [{"name": "gr\u00fcn"}]}, ensure_ascii=False)
    path = tmp_path / "mine.json"
    path.write_bytes(text.encode("utf-8-sig"))
    assert load_dataset_info(str(path)).categories[0].name == "gr\u00fcn"
    path.write_bytes(text.encode("latin-1"))
    for read in (load_dataset_info, lambda name: read_json(tmp_path / name)):
        with pytest.raises(UserError, match=r"mine\.json: is not in UTF-8 \(byte 0xfc at"):
            read(str(path))


def test_swapped_folders_are_told_once(make_config, tmp_path, write, mine):
    for index in range(6):
        write(tmp_path, "train", str(index), LABELS, IMAGE)
        write(tmp_path, "val", str(index), IMAGE, LABELS)
    report = check_dataset(make_config(root=str(tmp_path), dataset=str(mine)))
    assert sum("are the folders swapped?" in problem for problem in report.problems) == 1
    text = report.text()
    assert text.count("the image mode is RGB") == 1
    assert "6 files fail alike" in text
    assert "and 2 more" in text


def test_folder_without_images_says_what_it_has(tmp_path, mine, write):
    write(tmp_path, "train", "a", IMAGE, LABELS)
    (tmp_path / "images/train/a.png").rename(tmp_path / "images/train/a.gif")
    with pytest.raises(UserError, match=r"no images \(.*\); it has 1 \.gif"):
        open_folder(tmp_path, mine)


def test_check_decodes_masks_and_never_fails_itself(tmp_path, make_config, monkeypatch):
    write_coco_instances(tmp_path, "train")
    write_coco_instances(tmp_path, "val")
    own = tmp_path / "annotations/instances_train.json"
    config = make_config(
        root=str(tmp_path), dataset=str(own), format="coco_instances", mapper="instance"
    )
    assert check_dataset(config).problems == []

    def fail(rle):
        raise ZeroDivisionError(str(rle))

    monkeypatch.setattr("maskformer_jax.data.check.decode_mask", fail)
    problems = check_dataset(config).problems
    assert len(problems) == 6
    assert "cannot be read (ZeroDivisionError" in problems[0]
