"""ADE20K: the label maps of SceneParse150, and of ADE20K-Full with 847 classes."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8, UInt16

from maskformer_jax.data.folder import find_files
from maskformer_jax.data.images import decode_image, decode_label_map, read_bytes
from maskformer_jax.data.labels import category_id_table
from maskformer_jax.data.prepare.output import (
    check_input_folder,
    convert_all,
    list_pngs,
    new_paths,
    save_bytes,
    save_png,
)
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError
from maskformer_jax.image_files import encode_image
from maskformer_jax.types import Size

SPLITS = ("training", "validation")
_NUM_CLASSES = 150
_FULL_SHORT_SIDE = 512  # of ADE20K-Full images that are larger
_JPEG_QUALITY = 95


def prepare_ade20k_150(root: Path) -> None:
    """Write annotations_detectron2/<split>: value - 1, so 0 (unlabelled) becomes 255.

    For other tools only: `ade20k-150` reads the original label maps.

    Args:
        root: ADEChallengeData2016.

    Raises:
        UserError: a file is missing or damaged or has a value above 150, or writing fails.
    """
    with new_paths(root / "annotations_detectron2") as [target]:
        for split in SPLITS:
            folder = root / "annotations" / split

            def convert(path: Path, folder: Path = folder, split: str = split) -> None:
                """Write a label map with 0..149 for the classes and 255 for void."""
                stored = decode_label_map(read_bytes(path), name=str(path))
                if stored.max(initial=0) > _NUM_CLASSES:
                    raise UserError(f"{path}: label {stored.max()} is outside 0..{_NUM_CLASSES}")
                labels = stored.astype(np.uint8) - np.uint8(1)  # 0 wraps around to 255
                save_png(target / split / path.relative_to(folder), labels)

            convert_all(list_pngs(folder), convert, description=f"ade20k-150 {split}")


def prepare_ade20k_full(root: Path) -> None:
    """Write images_detectron2 and annotations_detectron2 with 16-bit labels 0..846, 65535 void.

    Images with both sides above 512 are resized to a shorter side of 512 (OpenCV, bilinear without
    antialiasing, JPEG quality 95), and their label maps by nearest pixel; the others are copied.
    Files named ADE_val_* are for validation.

    Args:
        root: ADE20K_2021_17_01, with images/ADE/**/NAME.jpg and NAME_seg.png.

    Raises:
        UserError: a file is missing or damaged, or writing fails.
    """
    folder = root / "images" / "ADE"
    check_input_folder(folder, root_name="ADE20K_2021_17_01")
    images, maps = find_files(folder, (".jpg",)), find_files(folder, ("_seg.png",))
    if missing := sorted(images.keys() - maps.keys()):
        raise UserError(f"{folder}: {len(missing)} images have no _seg.png: {missing[0]}, ...")
    if not images:
        raise UserError(f"{folder}: no images")
    table = category_id_table(load_dataset_info("ade20k-full-847"), dtype=np.uint16)
    targets = (root / "images_detectron2", root / "annotations_detectron2")
    with new_paths(*targets) as [image_dir, label_dir]:

        def convert(name: str) -> None:
            """Write an image and its label map, both shrunk if large."""
            stem = Path(name).name
            split = SPLITS[1] if stem.split("_")[1:2] == ["val"] else SPLITS[0]
            path = folder / maps[name]
            colors = decode_image(read_bytes(path), name=str(path))
            labels = table[decode_full_classes(colors)]
            data = read_bytes(folder / images[name])
            image = decode_image(data, name=str(folder / images[name]))
            if image.shape != colors.shape:
                raise UserError(f"{folder / images[name]} and {path} differ in size")
            height, width = full_size(*labels.shape)
            if (height, width) != labels.shape:
                image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
                labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
                data = _encode_jpeg(image)
            save_bytes(image_dir / split / f"{stem}.jpg", data)
            save_bytes(label_dir / split / f"{stem}.tif", encode_image(labels, "tif"))

        convert_all(sorted(images), convert, description="ade20k-full-847")


def decode_full_classes(colors: UInt8[np.ndarray, "h w 3"]) -> UInt16[np.ndarray, "h w"]:
    """Decode the object classes of an ADE20K-Full annotation: int(R / 10) * 256 + G."""
    return (colors[..., 0] // 10).astype(np.uint16) * np.uint16(256) + colors[..., 1]


def full_size(height: int, width: int) -> Size:
    """Return the (height, width) of an ADE20K-Full image after preparation."""
    if width >= height > _FULL_SHORT_SIDE:
        return _FULL_SHORT_SIDE, round(width / height * _FULL_SHORT_SIDE)
    if height >= width > _FULL_SHORT_SIDE:
        return round(height / width * _FULL_SHORT_SIDE), _FULL_SHORT_SIDE
    return height, width


def _encode_jpeg(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)
    return data.tobytes()
