"""The Penn-Fudan pedestrians: photographs, each with a mask of numbered people.

    images/NAME.jpg and masks/NAME.png, or PNGImages/NAME.png and PedMasks/NAME_mask.png

Mask pixels hold the number of a person, or 0 for background, which becomes one segment of stuff.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.example import Example, PanopticLabels
from maskformer_jax.data.folder import find_files
from maskformer_jax.data.images import (
    check_same_size,
    decode_image,
    decode_label_map,
    read_bytes,
    read_image_size,
)
from maskformer_jax.data.location import check_folder
from maskformer_jax.data.panoptic import segments_in_map, to_instances, to_label_map
from maskformer_jax.errors import UserError
from maskformer_jax.types import Size

_PERSON, _BACKGROUND = 0, 1  # labels, as in metadata/penn-fudan.json
_BACKGROUND_ID = 256  # above every number in an 8-bit mask
_VAL_INTERVAL = 5  # every fifth of the sorted names is for validation; no split is published
_SPLITS = ("train", "val")


class _Pair(NamedTuple):
    image_id: str
    image: Path
    mask: Path


class PennFudanSource:
    """The examples of the split "train" or "val", sorted by name.

    Args:
        root: the data set's folder, `config.data.root`.
        split: "val" is every fifth image, "train" the others.
        info: the data set.

    Raises:
        UserError: the folder or the split is missing, or an image has no mask. On access: a file
            is damaged, or sizes differ.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, root: Path, split: str, info: DatasetInfo) -> None:
        if split not in _SPLITS:
            raise UserError(f"the split is '{split}', but penn-fudan has {' and '.join(_SPLITS)}")
        pairs = _list_pairs(root)
        self._pairs = [
            pair
            for number, pair in enumerate(pairs, start=1)
            if (number % _VAL_INTERVAL == 0) == (split == "val")
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
        panoptic = PanopticLabels(id_map, segments_in_map(id_map, labels))
        instances = to_instances(panoptic, self._info.categories)
        return Example(image_id, image, to_label_map(panoptic), panoptic, instances)

    def image_size(self, index: int) -> Size:
        """Return the (height, width) of an image without decoding it."""
        path = self._pairs[index].image
        return read_image_size(path, name=str(path))

    def encoded_image(self, index: int) -> bytes:
        """Return the encoded image as stored."""
        return read_bytes(self._pairs[index].image)


def _list_pairs(root: Path) -> list[_Pair]:
    original = (root / "PNGImages").is_dir()
    image_dir = root / ("PNGImages" if original else "images")
    mask_dir = root / ("PedMasks" if original else "masks")
    for folder in (image_dir, mask_dir):
        check_folder(folder, root, layout=f"{root}/PNGImages/*.png and {root}/PedMasks/*_mask.png")
    images = find_files(image_dir, (".jpg", ".png"))
    masks = find_files(mask_dir, ("_mask.png",) if original else (".png",))
    if missing := sorted(images.keys() - masks.keys()):
        raise UserError(f"{mask_dir}: {len(missing)} images have no mask: {', '.join(missing[:5])}")
    if not images:
        raise UserError(f"{image_dir}: no images")
    return [
        _Pair(name, image_dir / images[name], mask_dir / masks[name]) for name in sorted(images)
    ]
