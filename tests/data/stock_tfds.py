"""Data sets in the format of TFDS's own builders, written without TensorFlow.

Features, names and splits are those of `coco/2017_panoptic` 1.1.0, `cityscapes` 1.0.0 and
`scene_parse150` 1.0.0 in TFDS 4.9.10; the records are shuffled, as TFDS does.
"""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader
from tensorboardX.record_writer import RecordWriter

from maskformer_jax.data.registry import load_dataset_info

Records = dict[str, list[dict[str, Any]]]  # by split

with tfds.core.registered.skip_registration():

    class Stock(tfds.core.GeneratorBasedBuilder):
        """Writes the given records."""

        VERSION = tfds.core.Version("1.0.0")
        name = "stock"
        pkg_dir_path = None
        code_path = None

        def __init__(self, name: str, features: Any, records: Records, **options: Any) -> None:
            self.name = name
            self._features, self._records = features, records
            super().__init__(**options)

        def _info(self) -> tfds.core.DatasetInfo:
            return tfds.core.DatasetInfo(builder=self, features=self._features)

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            return {split: self._generate_examples(split) for split in self._records}

        def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
            yield from enumerate(self._records[split])


def write_coco_panoptic(root: Path, raw: Path, *, names: Sequence[str] | None = None) -> Path:
    """Convert COCO's folders; `names` are the class names in any order."""
    categories = load_dataset_info("coco-panoptic").categories
    name_of = {category.category_id: category.name for category in categories}
    records: Records = {}
    for split, folder in (("train", "train2017"), ("validation", "val2017")):
        fields = json.loads((raw / f"annotations/panoptic_{folder}.json").read_text())
        maps = raw / f"annotations/panoptic_{folder}"
        annotations = {entry["image_id"]: entry for entry in fields["annotations"]}
        records[split] = []
        for image in fields["images"]:
            annotation = annotations[image["id"]]
            segments = [
                {
                    "id": segment["id"],
                    "area": segment["area"],
                    "bbox": relative(segment["bbox"], image["height"], image["width"]),
                    "label": name_of[segment["category_id"]],
                    "is_crowd": bool(segment["iscrowd"]),
                }
                for segment in annotation["segments_info"]
            ]
            records[split].append(
                {
                    "image": encoded(raw / folder / image["file_name"]),
                    "image/filename": image["file_name"],
                    "image/id": image["id"],
                    "panoptic_image": encoded(maps / annotation["file_name"]),
                    "panoptic_image/filename": annotation["file_name"],
                    "panoptic_objects": segments,
                }
            )
    features = {
        "image": tfds.features.Image(encoding_format="jpeg"),
        "image/filename": tfds.features.Text(),
        "image/id": np.int64,
        "panoptic_image": tfds.features.Image(encoding_format="png"),
        "panoptic_image/filename": tfds.features.Text(),
        "panoptic_objects": tfds.features.Sequence(
            {
                "id": np.int64,
                "area": np.int64,
                "bbox": tfds.features.BBoxFeature(),
                "label": tfds.features.ClassLabel(names=names or list(name_of.values())),
                "is_crowd": np.bool_,
            }
        ),
    }
    return write("coco", root, features, records)


def write_cityscapes(root: Path, raw: Path) -> Path:
    """Convert the folders of Cityscapes."""
    records: Records = {}
    for split, folder in (("train", "train"), ("validation", "val")):
        records[split] = []
        for path in sorted((raw / "leftImg8bit" / folder).rglob("*.png")):
            image_id = path.name.removesuffix("_leftImg8bit.png")
            labels = raw / "gtFine" / folder / path.parent.name / f"{image_id}_gtFine_labelIds.png"
            records[split].append(
                {
                    "image_id": image_id,
                    "image_left": encoded(path),
                    "segmentation_label": encoded(labels),
                }
            )
    features = {
        "image_id": tfds.features.Text(),
        "image_left": tfds.features.Image(shape=(1024, 2048, 3), encoding_format="png"),
        "segmentation_label": tfds.features.Image(
            shape=(1024, 2048, 1), encoding_format="png", use_colormap=True
        ),
    }
    return write("cityscapes", root, features, records)


def write_scene_parse(root: Path, raw: Path) -> Path:
    """Convert the folders of ADE20K; the records have no image names."""
    records = {
        split: [
            {
                "image": encoded(path),
                "annotation": encoded(raw / f"annotations_instance/{folder}/{path.stem}.png"),
            }
            for path in sorted((raw / "images" / folder).glob("*.jpg"))
        ]
        for split, folder in (("train", "training"), ("test", "validation"))
    }
    features = {
        "image": tfds.features.Image(encoding_format="jpeg"),
        "annotation": tfds.features.Image(encoding_format="png"),
    }
    return write("scene_parse150", root, features, records)


def write(name: str, root: Path, features: dict[str, Any], records: Records) -> Path:
    """Write records; return the folder with dataset_info.json, ROOT/NAME/VERSION."""
    builder = Stock(
        name,
        tfds.features.FeaturesDict(features),
        records,
        data_dir=str(root),
        file_format="array_record",
    )
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
    return Path(builder.data_dir)


def to_tfrecord(folder: Path) -> None:
    """Convert the files of a folder to TFRecord, TFDS's default format."""
    for path in folder.glob("*.array_record-*"):
        reader = ArrayRecordReader(str(path))
        writer = RecordWriter(str(path).replace("array_record", "tfrecord"))
        for data in reader.read_all():
            writer.write(data)
        writer.close()
        reader.close()
        path.unlink()
    path = folder / "dataset_info.json"
    path.write_text(path.read_text().replace("array_record", "tfrecord"))


def relative(bbox: list[float], height: int, width: int) -> tfds.features.BBox:
    left, top, box_width, box_height = bbox
    return tfds.features.BBox(
        ymin=top / height,
        xmin=left / width,
        ymax=(top + box_height) / height,
        xmax=(left + box_width) / width,
    )


def encoded(path: Path) -> io.BytesIO:
    return io.BytesIO(path.read_bytes())
