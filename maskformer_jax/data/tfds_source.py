"""Records of our TFDS builders (`tfds_builders`), read from ArrayRecord without TensorFlow."""

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.example import Example
from maskformer_jax.data.folder import check_same_size
from maskformer_jax.data.images import decode_image, decode_label_map
from maskformer_jax.data.labels import LabelTable
from maskformer_jax.errors import UserError

_NEEDED_FEATURES = ("image", "label_map", "image_id")


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
        _check_builder(builder, folder, info)
        self._name = str(folder)
        self._table = LabelTable(info)
        self._records = _open_records(builder, split, folder)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Example:
        record = self._records[index]
        image_id = record["image_id"].decode()
        name = f"{self._name} record {image_id}"
        image = decode_image(record["image"], name=f"{name} (image)")
        stored = decode_label_map(record["label_map"], name=f"{name} (label map)")
        check_same_size(image.shape[:2], stored.shape, name=name)
        return Example(image_id, image, self._table.translate(stored, name=f"{name} (label map)"))


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


def _check_builder(builder: Any, folder: Path, info: DatasetInfo) -> None:
    if builder.name != info.name.replace("-", "_"):
        raise UserError(
            f"{folder} holds the data set '{builder.name}', but data.dataset is '{info.name}'"
        )
    file_format = builder.info.file_format
    if file_format is not tfds.core.FileFormat.ARRAY_RECORD:
        raise UserError(
            f"{folder} is stored as {file_format.value}, which has no random access; prepare it "
            "with file_format='array_record'"
        )
    missing = [name for name in _NEEDED_FEATURES if name not in builder.info.features]
    if missing:
        raise UserError(
            f"{folder}: the records lack {', '.join(missing)}; they have "
            f"{', '.join(builder.info.features)}. Prepare it with a builder of this package"
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
        records = builder.as_data_source(split, decoders=decoders)
    except (ValueError, KeyError) as error:
        splits = ", ".join(builder.info.splits)
        raise UserError(f"{folder}: there is no split '{split}'; it has {splits}") from error
    if not len(records):
        raise UserError(f"{folder}: the split '{split}' is empty")
    return records
