"""TFDS data sets in ArrayRecord or TFRecord files, read without TensorFlow."""

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.example import Example
from maskformer_jax.data.images import read_image_size
from maskformer_jax.data.location import check_root, missing_data
from maskformer_jax.data.tfds_records import (
    CITYSCAPES,
    COCO_PANOPTIC,
    OUR_ANNOTATIONS,
    OUR_FEATURES,
    SCENE_PARSE,
    CityscapesReader,
    CocoPanopticReader,
    OurReader,
    SceneParseReader,
    builder_name,
)
from maskformer_jax.data.tfrecords import TfRecords
from maskformer_jax.errors import UserError
from maskformer_jax.types import Size


class TfdsSource:
    """The examples of one split, in their order on disk.

    Args:
        root: the folder with dataset_info.json, or a parent folder with no other data set.
        split: such as "train"; TFDS notation ("train[:10%]", "train+val") works too.
        info: the data set.

    Raises:
        UserError: the data set or the split is missing, or its records have other features. On
            access: a record is damaged, sizes differ, or a label is outside the class range.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, root: Path, split: str, info: DatasetInfo) -> None:
        folder = _find_prepared(root)
        try:
            builder = tfds.builder_from_directory(str(folder))
        except Exception as error:  # whatever the parsers that TFDS uses raise
            raise UserError(f"{folder}: cannot be read as a TFDS data set ({error})") from error
        self._reader = _choose_reader(builder, folder, info)
        self._name = str(folder)
        self._records = _open_records(builder, split, folder)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Example:
        # TFDS's own fallback for examples without a name.
        record = {**self._records[index], "tfds_id": f"{index:06d}"}
        return self._reader(record, f"{self._name} record {index}")

    def image_size(self, index: int) -> Size:
        """Return the (height, width) of an image without decoding it."""
        return read_image_size(self.encoded_image(index), name=f"{self._name} record {index}")

    def encoded_image(self, index: int) -> bytes:
        """Return the encoded image as stored."""
        data: bytes = self._records[index][self._reader.image_key]
        return data


def _find_prepared(root: Path) -> Path:
    check_root(root)
    if (root / "dataset_info.json").is_file():
        return root
    # TFDS writes to root/NAME/[CONFIG/]VERSION.
    found = sorted(path.parent for path in root.glob("*/**/dataset_info.json"))
    if len(found) == 1:
        return found[0]
    if found:
        raise missing_data(root, f"it must be one of {', '.join(map(str, found))}")
    raise missing_data(
        root,
        "it has no dataset_info.json; run `python -m maskformer_jax prepare tfds` first, or set "
        "config.data.format to the layout of the folder",
    )


def _choose_reader(
    builder: Any, folder: Path, info: DatasetInfo
) -> OurReader | CocoPanopticReader | CityscapesReader | SceneParseReader:
    file_format = builder.info.file_format
    if file_format not in (tfds.core.FileFormat.ARRAY_RECORD, tfds.core.FileFormat.TFRECORD):
        raise UserError(
            f"{folder}: file_format is '{file_format.value}', but must be 'array_record' or "
            "'tfrecord'; prepare the data set again in one of them"
        )
    features = set(builder.info.features)
    same_name = builder.name == builder_name(info)
    if same_name and features >= set(OUR_FEATURES) and features.intersection(OUR_ANNOTATIONS):
        return OurReader(info)
    # TFDS's own builders are told by name and features.
    if builder.name == "coco" and info.name == "coco-panoptic" and features >= set(COCO_PANOPTIC):
        names = builder.info.features["panoptic_objects"]["label"].names
        return CocoPanopticReader(names, info)
    if (
        builder.name == "cityscapes"
        and info.name == "cityscapes-19"
        and features >= set(CITYSCAPES)
    ):
        return CityscapesReader(info)
    if builder.name == "scene_parse150":
        if info.name == "ade20k-panoptic" and features >= set(SCENE_PARSE):
            return SceneParseReader(info)
        raise UserError(
            f"{folder}: scene_parse150 of TFDS holds the instance annotations of ADE20K, not the "
            "label maps of its 150 classes. For instances set config.data.dataset=ade20k-panoptic "
            "and config.data.mapper=instance; for the classes read the original folders "
            "(config.data.format=folder), or convert them with `python -m maskformer_jax prepare "
            "tfds`"
        )
    if not same_name:
        raise UserError(
            f"config.data.dataset is '{info.name}', but {folder} holds '{builder.name}'"
        )
    raise UserError(
        f"{folder}: the records have {', '.join(builder.info.features)}, but must have "
        f"{', '.join(OUR_FEATURES)} and one of {', '.join(OUR_ANNOTATIONS)}. Prepare the data "
        "set with `python -m maskformer_jax prepare tfds`"
    )


def _open_records(builder: Any, split: str, folder: Path) -> Any:
    images = [
        name
        for name, feature in builder.info.features.items()
        if isinstance(feature, tfds.features.Image)
    ]
    # Not the TFDS decoder: with ours every source gives the same pixels.
    decoders = {name: tfds.decode.SkipDecoding() for name in images}
    try:
        if builder.info.file_format is tfds.core.FileFormat.TFRECORD:
            records: Any = TfRecords(builder, split, decoders=decoders)
        else:
            records = builder.as_data_source(split, decoders=decoders)
    except (ValueError, KeyError) as error:
        splits = ", ".join(builder.info.splits)
        raise UserError(f"{folder}: there is no split '{split}'; it has {splits}") from error
    if not len(records):
        raise UserError(f"{folder}: the split '{split}' is empty")
    return records
