"""The shapes data set as ArrayRecord files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from maskformer_jax.data.prepare.output import new_paths
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.shapes import IMAGE_SIZE, Drawing, draw_example, encode_label_map
from maskformer_jax.data.tfds_builders.segmentation import (
    encode_panoptic_map,
    encode_png,
    segmentation_features,
    write_records,
)
from maskformer_jax.errors import UserError

# Registering would make importing this module change what `tfds.builder` finds.
with tfds.core.registered.skip_registration():

    class Shapes(tfds.core.GeneratorBasedBuilder):
        """Draws `sizes[split]` examples of each split."""

        VERSION = tfds.core.Version("1.0.0")
        RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 (TFDS reads the class attribute)
        name = "shapes"
        # There are no files of checksums or metadata for TFDS to look for beside this module, and
        # looking takes a package that TFDS does not require (importlib_resources).
        pkg_dir_path = None
        code_path = None

        def __init__(self, *, sizes: dict[str, int], **kwargs: Any) -> None:
            self._sizes = sizes
            super().__init__(**kwargs)

        def _info(self) -> tfds.core.DatasetInfo:
            names = [category.name for category in load_dataset_info("shapes").categories]
            return tfds.core.DatasetInfo(
                builder=self,
                description="Coloured shapes on textured ground, drawn in code.",
                features=segmentation_features(
                    names, image_format="png", label_map=True, panoptic=True
                ),
                disable_shuffling=True,  # the records stay in the order in which they are drawn
            )

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            return {split: self._generate_examples(split) for split in self._sizes}

        def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
            for index in range(self._sizes[split]):
                yield index, _to_record(draw_example(split, index), image_id=f"{index:06d}")


def prepare_shapes(root: Path, *, num_train: int, num_val: int) -> None:
    """Draws the data set into the folder `root`, for `config.data.format = "tfds"`.

    The folder appears at the end, complete; a run that is stopped leaves none.

    Args:
        root: the folder to make; it must not exist, or be empty.
        num_train: images of the split "train".
        num_val: images of the split "val".

    Raises:
        UserError: `root` holds something already, a number is not positive, or writing fails.
    """
    sizes = {"train": num_train, "val": num_val}
    for split, size in sizes.items():
        if size < 1:
            raise UserError(f"num_{split} is {size}, but must be at least 1")
    with new_paths(root) as [staged]:
        builder = Shapes(
            sizes=sizes, data_dir=str(staged.parent / "records"), file_format="array_record"
        )
        write_records(builder, staged)


def _to_record(drawing: Drawing, *, image_id: str) -> dict[str, Any]:
    height, width = IMAGE_SIZE
    return {
        "image": encode_png(drawing.image),
        "label_map": encode_png(encode_label_map(drawing.label_map)),
        "panoptic_map": encode_panoptic_map(drawing.panoptic_map),
        "segments": [
            {
                "id": segment.id,
                "label": segment.label,
                "is_crowd": False,
                "area": segment.area,
                "bbox": tfds.features.BBox(
                    ymin=segment.bbox[0] / height,
                    xmin=segment.bbox[1] / width,
                    ymax=segment.bbox[2] / height,
                    xmax=segment.bbox[3] / width,
                ),
            }
            for segment in drawing.segments
        ],
        "image_id": image_id,
    }
