"""The shapes data set as ArrayRecord files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from maskformer_jax.data.prepare.output import new_paths
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.shapes import Drawing, draw_example
from maskformer_jax.data.tfds_builders.segmentation import (
    RecordsBuilder,
    encode_label_map,
    encode_panoptic,
    encode_png,
    segmentation_features,
    write_records,
)
from maskformer_jax.errors import UserError


class Shapes(RecordsBuilder):
    """Draws `sizes[split]` examples of each split."""

    name = "shapes"

    def __init__(self, *, sizes: dict[str, int], **kwargs: Any) -> None:
        self._sizes = sizes
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        names = [category.name for category in load_dataset_info("shapes").categories]
        features = segmentation_features(names, image_format="png", label_map=True, panoptic=True)
        return self._describe("Coloured shapes on textured ground, drawn in code.", features)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in self._sizes}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(self._sizes[split]):
            yield index, _to_record(draw_example(split, index), image_id=f"{index:06d}")


def prepare_shapes(root: Path, *, num_train: int, num_val: int) -> None:
    """Draw the data set into the folder `root`, for `config.data.format = "tfds"`.

    The folder appears only when complete; an interrupted run leaves none.

    Args:
        root: the folder to create; it must not exist or must be empty.
        num_train: number of images in the split "train".
        num_val: number of images in the split "val".

    Raises:
        UserError: `root` is not empty, a number is not positive, or writing fails.
    """
    sizes = {"train": num_train, "val": num_val}
    for split, size in sizes.items():
        if size < 1:
            raise UserError(f"--num-{split} is {size}, but must be at least 1")
    with new_paths(root) as [staged]:
        builder = Shapes(
            sizes=sizes, data_dir=str(staged.parent / "records"), file_format="array_record"
        )
        write_records(builder, staged)


def _to_record(drawing: Drawing, *, image_id: str) -> dict[str, Any]:
    return {
        "image": encode_png(drawing.image),
        "label_map": encode_label_map(drawing.label_map, load_dataset_info("shapes")),
        **encode_panoptic(drawing.panoptic),
        "image_id": image_id,
    }
