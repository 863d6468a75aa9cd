"""What a record of our TFDS data sets holds, the same for every data set.

Images travel as encoded bytes, so that neither writing nor reading needs TensorFlow.
"""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


def segmentation_features(names: list[str], *, image_format: str) -> tfds.features.FeaturesDict:
    """The features of a record.

    Args:
        names: of the classes, in label order.
        image_format: "jpeg" or "png".

    Returns:
        image; label_map, a PNG of category ids; panoptic_map, an RGB PNG with the segment id
        R + 256 G + 65536 B (0 is void); its segments, whose bbox is relative to the image's size;
        and image_id.
    """
    image = {"shape": (None, None, 3), "encoding_format": image_format}
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(**image),
            "label_map": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
            "panoptic_map": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "segments": tfds.features.Sequence(
                {
                    "id": np.int64,
                    "label": tfds.features.ClassLabel(names=names),
                    "is_crowd": np.bool_,
                    "area": np.int64,
                    "bbox": tfds.features.BBoxFeature(),
                }
            ),
            "image_id": tfds.features.Text(),
        }
    )


def encode_png(array: np.ndarray) -> io.BytesIO:
    """A PNG of uint8 [h, w] or [h, w, 3], in the form that TFDS takes for encoded data."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    buffer.seek(0)
    return buffer


def encode_panoptic_map(panoptic_map: np.ndarray) -> io.BytesIO:
    """An RGB PNG of segment ids, R + 256 G + 65536 B."""
    channels = [(panoptic_map >> shift) & 255 for shift in (0, 8, 16)]
    return encode_png(np.stack(channels, axis=-1).astype(np.uint8))
