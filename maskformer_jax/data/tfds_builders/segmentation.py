"""The features of records in our TFDS data sets, and how values are encoded in them.

Images are stored as encoded bytes, so that neither writing nor reading needs TensorFlow.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.example import PanopticLabels
from maskformer_jax.data.labels import to_stored
from maskformer_jax.data.panoptic import encode_ids, segment_box
from maskformer_jax.data.tfds_records import SOURCE_ID
from maskformer_jax.image_files import encode_image

# Registration, here and of subclasses, would be a side effect of importing a module.
with tfds.core.registered.skip_registration():

    class RecordsBuilder(tfds.core.GeneratorBasedBuilder):
        """Base class of builders that keep the order of their examples."""

        VERSION = tfds.core.Version("1.0.0")
        RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 (TFDS reads the class attribute)
        name = "records"
        # TFDS need not look for checksum or metadata files beside a subclass's module, for which it
        # would need importlib_resources, a package that it does not require.
        pkg_dir_path = None
        code_path = None

        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__(skip_registration=True, **kwargs)

        def _describe(self, description: str, features: Any) -> tfds.core.DatasetInfo:
            return tfds.core.DatasetInfo(
                builder=self, description=description, features=features, disable_shuffling=True
            )


def segmentation_features(
    names: list[str],
    *,
    image_format: str,
    label_map: bool,
    panoptic: bool,
    instances: bool = False,
    source_id: bool = False,
) -> tfds.features.FeaturesDict:
    """Return the features of a record: image, image_id and annotations.

    Args:
        names: of the classes, in label order.
        image_format: "jpeg" or "png".
        label_map: whether records have a label_map, a PNG with the data set's stored values.
        panoptic: whether records have a panoptic_map, an RGB PNG of segment ids R + 256 G + 65536 B
            (0 is void), and segments, whose bbox is relative to the image size.
        instances: whether records have instances, whose bbox is left, top, width, height in pixels
            and whose counts are COCO's compressed run lengths.
        source_id: whether records have the id of the original JSON file, as JSON.
    """
    label = tfds.features.ClassLabel(names=names)
    features: dict[str, Any] = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format=image_format),
        "image_id": tfds.features.Text(),
    }
    if source_id:
        features[SOURCE_ID] = tfds.features.Text()
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
    """Encode uint8 or uint16 [h, w], or uint8 [h, w, 3], as a PNG for TFDS."""
    return io.BytesIO(encode_image(array))


def encode_label_map(label_map: np.ndarray, dataset: DatasetInfo) -> io.BytesIO:
    """Encode labels (-1 void) as a PNG of the data set's stored values."""
    return encode_png(to_stored(label_map, dataset))


def encode_panoptic(panoptic: PanopticLabels) -> dict[str, Any]:
    """Return the fields `panoptic_map` and `segments` of a record."""
    segments = [
        {
            "id": segment.segment_id,
            "label": segment.label,
            "is_crowd": segment.is_crowd,
            "area": segment.area,
            "bbox": _relative_box(panoptic.id_map == segment.segment_id),
        }
        for segment in panoptic.segments
    ]
    return {"panoptic_map": encode_png(encode_ids(panoptic.id_map)), "segments": segments}


def write_records(builder: tfds.core.DatasetBuilder, folder: Path) -> None:
    """Write the records and move their folder to `folder`."""
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
    Path(builder.data_dir).rename(folder)


def _relative_box(mask: np.ndarray) -> tfds.features.BBox:
    """Return the box of a mask relative to the image size; zeros if it is empty."""
    top, left, bottom, right = segment_box(mask)
    height, width = mask.shape
    return tfds.features.BBox(
        ymin=top / height, xmin=left / width, ymax=bottom / height, xmax=right / width
    )
