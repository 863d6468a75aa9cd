"""Errors in preparation are named and leave nothing behind."""

import numpy as np
import pytest
import scipy.io
from data.drawn_scenes import save
from data.layouts import LAYOUTS

from maskformer_jax.__main__ import main
from maskformer_jax.data.prepare.ade20k import decode_full_classes, full_size, prepare_ade20k_full
from maskformer_jax.data.prepare.ade20k_panoptic import prepare_ade20k_panoptic
from maskformer_jax.data.prepare.cityscapes import prepare_cityscapes
from maskformer_jax.data.prepare.coco_stuff import prepare_coco_stuff_10k, read_mat_labels
from maskformer_jax.data.prepare.output import new_paths
from maskformer_jax.errors import UserError


@pytest.fixture
def raw(tmp_path):
    def write(name):
        LAYOUTS[name].write(tmp_path)
        return tmp_path

    return write


def listing(root):
    return sorted(path.name for path in root.iterdir())


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 2000), (512, 2000)),
        ((513, 1026), (512, 1024)),
        ((1026, 513), (1024, 512)),
        ((700, 700), (512, 512)),
        ((600, 400), (600, 400)),
        ((683, 1023), (512, 767)),
    ],
)
def test_size_of_ade20k_full(size, expected):
    assert full_size(*size) == expected


def test_large_ade20k_full_images_shrink_with_their_labels(tmp_path):
    colors = np.zeros((600, 700, 3), np.uint8)
    colors[:, :350] = (2978 // 256 * 10, 2978 % 256, 0)
    name = "images/ADE/validation/a/ADE_val_1"
    save(tmp_path / f"{name}.jpg", colors)
    save(tmp_path / f"{name}_seg.png", colors)
    prepare_ade20k_full(tmp_path)
    from PIL import Image

    with Image.open(tmp_path / "images_detectron2/validation/ADE_val_1.jpg") as image:
        assert image.size == (597, 512)
    with Image.open(tmp_path / "annotations_detectron2/validation/ADE_val_1.tif") as labels:
        values = np.array(labels)
    assert values.dtype == np.uint16
    assert values.shape == (512, 597)
    assert (values[:, :298] == 0).all()
    assert (values[:, 300:] == 65535).all()


def test_classes_of_ade20k_full_are_in_the_tens():
    colors = np.array([[[119, 162, 3], [110, 162, 200], [0, 0, 0]]], np.uint8)
    np.testing.assert_array_equal(decode_full_classes(colors), [[2978, 2978, 0]])


def test_a_damaged_file_leaves_nothing_behind(raw):
    root = raw("ade20k-full-847")
    before = listing(root)
    broken = next(root.rglob("*_seg.png"))
    broken.write_bytes(b"no image")
    with pytest.raises(UserError, match=rf"{broken.name}: cannot be decoded"):
        prepare_ade20k_full(root)
    assert listing(root) == before


def test_what_exists_is_not_overwritten(raw, capsys):
    root = raw("coco-stuff-10k")
    assert main(["prepare", "coco-stuff-10k", f"--root={root}"]) == 0
    assert main(["prepare", "coco-stuff-10k", f"--root={root}"]) == 1
    assert "images_detectron2 exists already" in capsys.readouterr().err


def test_instances_of_two_classes_are_refused(raw):
    root = raw("ade20k-panoptic")
    colors = np.zeros((24, 32, 3), np.uint8)
    colors[:4, :, 1], colors[:2, :, 0], colors[2:4, :, 0] = 9, 3, 4
    save(root / "annotations_instance/training/a0.png", colors)
    with pytest.raises(UserError, match=r"a0\.png: instance 9 has the classes \[3, 4\]"):
        prepare_ade20k_panoptic(root)
    assert "ade20k_panoptic_train.json" not in listing(root)


def test_missing_instance_annotation(raw):
    root = raw("ade20k-panoptic")
    (root / "annotations_instance/training/a1.png").unlink()
    with pytest.raises(UserError, match=r"there is no file .*annotations_instance/training/a1"):
        prepare_ade20k_panoptic(root)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"S": np.array([[0, 5]])},
            r"must be a matrix of 1 \(unlabelled\) to 172.* has values 0\.\.5",
        ),
        ({"S": np.array([[1, 173]])}, r"has values 1\.\.173"),
        ({"T": np.array([[1, 2]])}, r"cannot be read as a MATLAB file with a matrix S"),
    ],
)
def test_matrices_of_another_kind(tmp_path, fields, message):
    scipy.io.savemat(tmp_path / "a.mat", fields)
    with pytest.raises(UserError, match=rf"a\.mat: .*{message}"):
        read_mat_labels(tmp_path / "a.mat")


def test_damaged_mat(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(UserError, match=r"a\.mat: cannot be read as a MATLAB file"):
        read_mat_labels(tmp_path / "a.mat")


def test_missing_lists_and_folders(tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*imageLists/train\.txt"):
        prepare_coco_stuff_10k(tmp_path)
    with pytest.raises(
        UserError, match=r"there is no folder .*gtFine/train; --root must .*docs/datasets\.md"
    ):
        prepare_cityscapes(tmp_path)
    with pytest.raises(
        UserError, match=r"there is no folder .*images/ADE; --root must be ADE20K_2021_17_01"
    ):
        prepare_ade20k_full(tmp_path)
    (tmp_path / "gtFine/train").mkdir(parents=True)
    with pytest.raises(UserError, match=r"gtFine/train: no PNG files"):
        prepare_cityscapes(tmp_path)


def test_cityscapes_can_be_prepared_again(raw):
    root = raw("cityscapes")
    prepare_cityscapes(root)
    changed = next(root.rglob("*_labelTrainIds.png"))
    content = changed.read_bytes()
    changed.unlink()
    prepare_cityscapes(root)
    assert changed.read_bytes() == content


def test_new_paths_appear_together_at_the_end(tmp_path):
    targets = (tmp_path / "a", tmp_path / "b.json")

    def fail():
        with new_paths(*targets) as [folder, _]:
            folder.mkdir()
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert listing(tmp_path) == []
    with new_paths(*targets) as [folder, file]:
        folder.mkdir()
        file.write_text("{}")
        assert all(name.startswith(".") for name in listing(tmp_path))
    assert listing(tmp_path) == ["a", "b.json"]


def test_prepare_tfds_needs_a_config(tmp_path, capsys):
    assert main_status("prepare", "tfds", f"--root={tmp_path / 'x'}") == 2
    assert "prepare tfds needs --config=CONFIG" in capsys.readouterr().err


def main_status(*argv):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    return stop.value.code


def test_prepare_tfds_by_command(raw, tmp_path):
    root = raw("camvid")
    out = tmp_path / "records"
    options = ("--config=camvid/maskformer_R50", f"--config.data.root={root}")
    assert main(["prepare", "tfds", *options, f"--root={out}"]) == 0
    assert (out / "dataset_info.json").is_file()
