"""Small drawn data sets in the layouts of the real ones, with known annotations."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from data.drawn_coco import write_coco_instances, write_coco_panoptic
from data.drawn_scenes import draw_scene, save


def write_penn_fudan(root: Path, *, number: int = 6, original: bool = False) -> None:
    """Write images in which blocks 1 and 2 are people."""
    for index in range(number):
        scene = draw_scene(index)
        people = np.array([0, 1, 2, 0], np.uint8)[scene.blocks]
        if original:
            save(root / "PNGImages" / f"P{index}.png", scene.image)
            save(root / "PedMasks" / f"P{index}_mask.png", people)
        else:
            save(root / "images" / f"P{index}.jpg", scene.image, quality=95)
            save(root / "masks" / f"P{index}.png", people)


class Layout(NamedTuple):
    """A data set as distributed, and the annotations expected from reading it."""

    write: Callable[[Path], None]  # both splits, below a root
    data: dict[str, Any]  # of the config
    labels: tuple[int, int, int, int]  # of the blocks of a scene; -1 void
    prepare: str = ""  # what `prepare` calls it
    panoptic: bool = False
    instances: bool = False


def write_pairs(
    images: str, labels: str, values: tuple[int, ...], *, splits: tuple[str, str], dtype: Any = "u1"
) -> Callable[[Path], None]:
    """Return a writer of images and label maps; the paths contain {split} and {n}."""

    def write(root: Path) -> None:
        for split in splits:
            for index in range(3):
                scene = draw_scene(index)
                places = {"split": split, "n": index}
                save(root / images.format(**places), scene.image)
                save(root / labels.format(**places), np.array(values, dtype)[scene.blocks])

    return write


def write_ade20k_full(root: Path) -> None:
    """Write object classes 2978 (label 0), 312 (1), one outside the 847, and none."""
    for split in ("train", "val"):
        for index in range(3):
            scene = draw_scene(index)
            classes = np.array([2978, 312, 9, 0])[scene.blocks]
            # The tens of red and green hold the class; the ones of red may be anything.
            red, green = classes // 256 * 10 + 7, classes % 256
            colors = np.stack([red, green, scene.blocks * 20], axis=-1).astype(np.uint8)
            folder = "training" if split == "train" else "validation"
            name = f"images/ADE/{folder}/scene/kitchen/ADE_{split}_{index:08d}"
            save(root / f"{name}.jpg", scene.image, quality=95)
            save(root / f"{name}_seg.png", colors)


def write_ade20k_instances(root: Path) -> None:
    """Write beds (label 7, instance class 1) on walls (label 0), floor (3), and void."""
    for split in ("training", "validation"):
        for index in range(3):
            scene = draw_scene(index)
            save(root / f"images/{split}/a{index}.jpg", scene.image, quality=95)
            labels = np.array([1, 8, 4, 0], np.uint8)[scene.blocks]
            save(root / f"annotations/{split}/a{index}.png", labels)
            number = np.where(scene.blocks == 1, 3, 0)
            colors = np.stack([number // 3, number, number], axis=-1).astype(np.uint8)
            save(root / f"annotations_instance/{split}/a{index}.png", colors)


def write_coco_stuff(root: Path) -> None:
    import scipy.io

    for split, first in (("train", 0), ("test", 3)):
        names = [f"COCO_train2014_{first + index:012d}" for index in range(3)]
        (root / "imageLists").mkdir(parents=True, exist_ok=True)
        (root / f"imageLists/{split}.txt").write_text("\n".join(names) + "\n")
        for index, name in enumerate(names):
            scene = draw_scene(index)
            save(root / f"images/{name}.jpg", scene.image, quality=95)
            (root / "annotations").mkdir(exist_ok=True)
            matrix = np.array([2, 172, 50, 1], np.uint16)[scene.blocks]
            scipy.io.savemat(root / f"annotations/{name}.mat", {"S": matrix, "names": ["x"]})


def write_cityscapes(root: Path) -> None:
    """Write road, a car, a crowd of people, and a class that is not evaluated."""
    for split in ("train", "val"):
        for index in range(3):
            scene = draw_scene(index)
            name = f"{split}/ulm/ulm_{index:06d}_000019"
            save(root / f"leftImg8bit/{name}_leftImg8bit.png", scene.image)
            ids = np.array([7, 26, 24, 3], np.uint8)[scene.blocks]
            save(root / f"gtFine/{name}_gtFine_labelIds.png", ids)
            instances = np.array([7, 26_001, 24, 3], np.uint16)[scene.blocks]
            save(root / f"gtFine/{name}_gtFine_instanceIds.png", instances)


def write_both(write: Callable[..., None], *splits: str, **options: Any) -> Callable[[Path], None]:
    def write_splits(root: Path) -> None:
        for split in splits:
            write(root, split, **options)

    return write_splits


ADE20K = {"train_split": "training", "eval_split": "validation"}


COCO = {"train_split": "train2017", "eval_split": "val2017"}


PANOPTIC = {"format": "coco_panoptic", "mapper": "coco_panoptic"}


LAYOUTS = {
    "camvid": Layout(
        write_pairs(
            *("images/{split}/{n}.png", "annotations/{split}/{n}.png", (3, 10, 0, 11)),
            splits=("train", "val"),
        ),
        {"dataset": "camvid"},
        (3, 10, 0, -1),
    ),
    "ade20k-150": Layout(
        write_pairs(
            *("images/{split}/{n}.png", "annotations/{split}/{n}.png", (1, 150, 12, 0)),
            splits=("training", "validation"),
        ),
        {"dataset": "ade20k-150", **ADE20K},
        (0, 149, 11, -1),
    ),
    # The same, prepared for other tools: the classes are then those of ade20k-panoptic.
    "ade20k-150 prepared": Layout(
        write_pairs(
            *("images_detectron2/{split}/{n}.png", "annotations/{split}/{n}.png", (1, 150, 12, 0)),
            splits=("training", "validation"),
        ),
        {"dataset": "ade20k-panoptic", "format": "prepared", **ADE20K},
        (0, 149, 11, -1),
        prepare="ade20k-150",
    ),
    "ade20k-full-847": Layout(
        write_ade20k_full,
        {"dataset": "ade20k-full-847", "format": "prepared", **ADE20K},
        (0, 1, -1, -1),
        prepare="ade20k-full-847",
    ),
    "ade20k-panoptic": Layout(
        write_ade20k_instances,
        {
            "dataset": "ade20k-panoptic",
            "format": "coco_panoptic",
            "mapper": "panoptic",
            **ADE20K,
        },
        (0, 7, 3, -1),
        prepare="ade20k-panoptic",
        panoptic=True,
    ),
    "coco-stuff-10k": Layout(
        write_coco_stuff,
        {"dataset": "coco-stuff-10k-171", "format": "prepared", "eval_split": "test"},
        (0, 170, 48, -1),
        prepare="coco-stuff-10k",
    ),
    "cityscapes": Layout(
        write_cityscapes,
        {"dataset": "cityscapes-19", "format": "cityscapes"},
        (0, 13, 11, -1),
        prepare="cityscapes",
    ),
    "cityscapes panoptic": Layout(
        write_cityscapes,
        {"dataset": "cityscapes-19", "format": "coco_panoptic", "mapper": "panoptic"},
        (0, 13, -1, -1),
        prepare="cityscapes",
        panoptic=True,
    ),
    "mapillary": Layout(
        write_pairs(
            *("{split}/images/{n}.jpg", "{split}/labels/{n}.png", (0, 64, 13, 65)),
            splits=("training", "validation"),
        ),
        {"dataset": "mapillary-vistas-65", "format": "mapillary", **ADE20K},
        (0, 64, 13, -1),
    ),
    "coco-panoptic": Layout(
        write_both(write_coco_panoptic, "train2017", "val2017"),
        {"dataset": "coco-panoptic", **PANOPTIC, **COCO},
        (0, 0, 80, -1),
        panoptic=True,
    ),
    "coco-instances": Layout(
        write_both(write_coco_instances, "train2017", "val2017"),
        {
            "dataset": "coco-instances",
            "format": "coco_instances",
            "mapper": "instance",
            **COCO,
        },
        (-1, -1, -1, -1),
        instances=True,
    ),
    "penn-fudan": Layout(
        write_penn_fudan,
        {"dataset": "penn-fudan", "format": "penn_fudan", "mapper": "coco_panoptic"},
        (1, 0, 0, 1),
        panoptic=True,
        instances=True,
    ),
    "penn-fudan as distributed": Layout(
        lambda root: write_penn_fudan(root, original=True),
        {"dataset": "penn-fudan", "format": "penn_fudan", "mapper": "instance"},
        (1, 0, 0, 1),
        panoptic=True,
        instances=True,
    ),
}
