"""What a record of our TFDS data sets holds, the same for every data set.

Images travel as encoded bytes, so that neither writing nor reading needs TensorFlow.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.panoptic import encode_ids
from maskformer_jax.data.prepare.output import encode_image


def segmentation_features(
    names: list[str], *, image_format: str, label_map: bool, panoptic: bool, instances: bool = False
) -> tfds.features.FeaturesDict:
    """The features of a record: image, image_id, and what is known about the image.

    Args:
        names: of the classes, in label order.
        image_format: "jpeg" or "png".
        label_map: whether there is a PNG of what label maps of the data set hold.
        panoptic: whether there is panoptic_map, an RGB PNG with the segment id
            R + 256 G + 65536 B (0 is void), and its segments, whose bbox is relative to the size.
        instances: whether there are instances, whose bbox is left, top, width, height in pixels
            and whose counts are COCO's compressed run lengths.
    """
    label = tfds.features.ClassLabel(names=names)
    features: dict[str, Any] = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format=image_format),
        "image_id": tfds.features.Text(),
    }
    if label_map:
        features["label_map"] = tfds.features.Image(shape=(None, None, 1), encoding_format="png")
    if panoptic:
        features["panoptic_map"] = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
        features["segments"] = tfds.features.Sequence(
            {
                "id": np.int64,
                "label": label,
                "is_crowd": np.bool_,
                "area": np.int64,
                "bbox": tfds.features.BBoxFeature(),
            }
        )
    if instances:
        features["instances"] = tfds.features.Sequence(
            {
                "label": label,
                "is_crowd": np.bool_,
                "area": np.float64,
                "bbox": tfds.features.Tensor(shape=(4,), dtype=np.float64),
                "counts": tfds.features.Text(),
            }
        )
    return tfds.features.FeaturesDict(features)


def encode_png(array: np.ndarray) -> io.BytesIO:
    """A PNG of uint8 or uint16 [h, w] or uint8 [h, w, 3], in the form that TFDS takes."""
    return io.BytesIO(encode_image(array, "PNG"))


def encode_label_map(label_map: np.ndarray, dataset: DatasetInfo) -> io.BytesIO:
    """A PNG of what label maps of the data set hold; -1 becomes its ignore label."""
    void = [] if dataset.ignore_label is None else [dataset.ignore_label]
    values = np.array([*dataset.stored_values, *void])
    dtype = np.uint8 if values.max() <= 255 else np.uint16
    return encode_png(values.astype(dtype)[label_map])  # -1 is the last value


def encode_panoptic_map(panoptic_map: np.ndarray) -> io.BytesIO:
    """An RGB PNG of segment ids, R + 256 G + 65536 B."""
    return encode_png(encode_ids(panoptic_map))


def relative_box(mask: np.ndarray) -> tfds.features.BBox:
    """The box around a mask, relative to its size; empty for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return tfds.features.BBox(ymin=0.0, xmin=0.0, ymax=0.0, xmax=0.0)
    height, width = mask.shape
    return tfds.features.BBox(
        ymin=rows[0] / height,
        xmin=columns[0] / width,
        ymax=(rows[-1] + 1) / height,
        xmax=(columns[-1] + 1) / width,
    )


def write_records(builder: tfds.core.DatasetBuilder, folder: Path) -> None:
    """Makes the records and puts the folder that holds them where `folder` says."""
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
    Path(builder.data_dir).rename(folder)
