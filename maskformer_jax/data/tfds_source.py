"""TFDS data sets, read from ArrayRecord or TFRecord files without TensorFlow."""

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import Size
from maskformer_jax.data.example import Example
from maskformer_jax.data.images import read_image_size
from maskformer_jax.data.tfds_records import (
    CITYSCAPES,
    COCO_PANOPTIC,
    OWN,
    OWN_LABELS,
    SCENE_PARSE,
    CityscapesReader,
    CocoPanopticReader,
    OwnReader,
    SceneParseReader,
)
from maskformer_jax.data.tfrecords import TfRecords
from maskformer_jax.errors import UserError


class TfdsSource:
    """The examples of one split, in the order on disk.

    Args:
        root: the folder with dataset_info.json, or one above it that holds no other data set.
        split: such as "train"; TFDS slices ("train[:10%]", "train+val") work too.
        info: the data set.

    Raises:
        UserError: there is no such data set or split, or it is not of our form. On access: a
            record is damaged, sizes differ, or a label is outside the class range.
    """

    def __init__(self, root: Path, split: str, info: DatasetInfo) -> None:
        folder = _find_prepared(root)
        try:
            builder = tfds.builder_from_directory(str(folder))
        except Exception as error:  # TFDS lets errors of its many parsers through
            raise UserError(f"{folder}: cannot be read as a TFDS data set ({error})") from error
        self._reader = _choose_reader(builder, folder, info)
        self._name = str(folder)
        self._records = _open_records(builder, split, folder)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Example:
        # What TFDS itself calls an example that has no name.
        record = {**self._records[index], "tfds_id": f"{index:06d}"}
        return self._reader(record, f"{self._name} record {index}")

    def image_size(self, index: int) -> Size:
        """(height, width) of an image, without decoding it."""
        return read_image_size(self.encoded_image(index), name=f"{self._name} record {index}")

    def encoded_image(self, index: int) -> bytes:
        """The image as it is stored."""
        data: bytes = self._records[index][self._reader.image_key]
        return data


def _find_prepared(root: Path) -> Path:
    if not root.is_dir():
        raise UserError(f"data.root: there is no folder {root}")
    if (root / "dataset_info.json").is_file():
        return root
    # As TFDS lays it out: root/NAME/[CONFIG/]VERSION.
    found = sorted(path.parent for path in root.glob("*/**/dataset_info.json"))
    if len(found) == 1:
        return found[0]
    what = (
        "several data sets, name one: " + ", ".join(map(str, found))
        if found
        else ("no dataset_info.json. Prepare the data set first, or set data.format to 'folder'")
    )
    raise UserError(f"data.root: {root} holds {what}")


def _choose_reader(
    builder: Any, folder: Path, info: DatasetInfo
) -> OwnReader | CocoPanopticReader | CityscapesReader | SceneParseReader:
    file_format = builder.info.file_format
    if file_format not in (tfds.core.FileFormat.ARRAY_RECORD, tfds.core.FileFormat.TFRECORD):
        raise UserError(
            f"{folder} is stored as {file_format.value}, which cannot be read here; prepare it "
            "with file_format='array_record' or 'tfrecord'"
        )
    features = set(builder.info.features)
    own_name = builder.name == info.name.replace("-", "_")
    if own_name and features.issuperset(OWN) and features.intersection(OWN_LABELS):
        return OwnReader(info)
    # TFDS's own builders, by what they are called and what is in their records.
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
            "label maps of its 150 classes. For instances set data.dataset=ade20k-panoptic and "
            "data.mapper=instance; for the classes read the original folders (data.format=folder), "
            "or make records of them with `python -m maskformer_jax prepare tfds`"
        )
    if not own_name:
        raise UserError(
            f"{folder} holds the data set '{builder.name}', but data.dataset is '{info.name}'"
        )
    raise UserError(
        f"{folder}: the records have {', '.join(builder.info.features)}, but should have "
        f"{', '.join(OWN)} and one of {', '.join(OWN_LABELS)}. Prepare the data set with "
        "`python -m maskformer_jax prepare tfds`"
    )


def _open_records(builder: Any, split: str, folder: Path) -> Any:
    images = [
        name
        for name, feature in builder.info.features.items()
        if isinstance(feature, tfds.features.Image)
    ]
    # Without the decoder of TFDS: ours gives the same pixels for every source.
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
