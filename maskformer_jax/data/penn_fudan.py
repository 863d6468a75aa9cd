"""The Penn-Fudan pedestrians: photographs and one mask of numbered people each.

    images/NAME.jpg and masks/NAME.png, or PNGImages/NAME.png and PedMasks/NAME_mask.png

Pixels hold the number of a person or 0, which here is one segment of the background.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import Size
from maskformer_jax.data.example import Example, PanopticLabels
from maskformer_jax.data.folder import check_same_size, describe_missing_folder, find_files
from maskformer_jax.data.images import decode_image, decode_label_map, read_bytes, read_image_size
from maskformer_jax.data.panoptic import draw_segments, to_instances, to_label_map
from maskformer_jax.errors import UserError

_PERSON, _BACKGROUND = 0, 1  # labels, as in metadata/penn-fudan.json
_BACKGROUND_ID = 256  # above every number in an 8-bit mask
_EVERY = 5  # of the sorted names, every fifth is for validation; there is no official split
_SPLITS = ("train", "val")


class _Pair(NamedTuple):
    image_id: str
    image: Path
    mask: Path


class PennFudanSource:
    """The examples of the split "train" or "val", in the order of their names.

    Args:
        root: the data set's folder.
        split: "val" is every fifth image, "train" the others.
        info: the data set.

    Raises:
        UserError: there is no such folder or split, or an image has no mask. On access: a file is
            damaged, or sizes differ.
    """

    def __init__(self, root: Path, split: str, info: DatasetInfo) -> None:
        if split not in _SPLITS:
            raise UserError(f"penn-fudan has the splits {' and '.join(_SPLITS)}, not '{split}'")
        pairs = _list_pairs(root)
        self._pairs = [
            pair
            for number, pair in enumerate(pairs, start=1)
            if (number % _EVERY == 0) == (split == "val")
        ]
        if not self._pairs:
            raise UserError(f"{root}: the split '{split}' is empty ({len(pairs)} images in all)")
        self._info = info

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Example:
        image_id, image_path, mask_path = self._pairs[index]
        image = decode_image(read_bytes(image_path), name=str(image_path))
        people = decode_label_map(read_bytes(mask_path), name=str(mask_path))
        check_same_size(image.shape[:2], people.shape, name=f"{image_path} and {mask_path}")
        id_map = people.astype(np.int32)
        id_map[people == 0] = _BACKGROUND_ID
        labels = dict.fromkeys(range(1, _BACKGROUND_ID), _PERSON) | {_BACKGROUND_ID: _BACKGROUND}
        panoptic = PanopticLabels(id_map, draw_segments(id_map, labels))
        instances = to_instances(panoptic, self._info.categories)
        return Example(image_id, image, to_label_map(panoptic), panoptic, instances)

    def image_size(self, index: int) -> Size:
        """(height, width) of an image, without decoding it."""
        path = self._pairs[index].image
        return read_image_size(path, name=str(path))

    def encoded_image(self, index: int) -> bytes:
        """The file of an image."""
        return read_bytes(self._pairs[index].image)


def _list_pairs(root: Path) -> list[_Pair]:
    original = (root / "PNGImages").is_dir()
    image_dir = root / ("PNGImages" if original else "images")
    mask_dir = root / ("PedMasks" if original else "masks")
    for folder in (image_dir, mask_dir):
        if not folder.is_dir():
            layout = f"{root}/images/*.jpg and {root}/masks/*.png"
            raise UserError(describe_missing_folder(folder, root, layout))
    images = find_files(image_dir, (".jpg", ".png"))
    masks = find_files(mask_dir, ("_mask.png",) if original else (".png",))
    if missing := sorted(images.keys() - masks.keys()):
        raise UserError(f"{mask_dir}: {len(missing)} images have no mask: {', '.join(missing[:5])}")
    if not images:
        raise UserError(f"{image_dir}: no images; nothing to read")
    return [
        _Pair(name, image_dir / images[name], mask_dir / masks[name]) for name in sorted(images)
    ]
