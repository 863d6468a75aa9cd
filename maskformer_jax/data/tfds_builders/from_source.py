"""Conversion of any source to ArrayRecord files, for pods."""

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.example import Example, Instance, Source
from maskformer_jax.data.prepare.output import new_paths
from maskformer_jax.data.tfds_builders.segmentation import (
    RecordsBuilder,
    encode_label_map,
    encode_panoptic,
    segmentation_features,
    write_records,
)
from maskformer_jax.data.tfds_records import SOURCE_ID, builder_name


class FromSource(RecordsBuilder):
    """Copies the examples of sources; images are copied without decoding."""

    def __init__(
        self, *, dataset: DatasetInfo, sources: Mapping[str, Source], **kwargs: Any
    ) -> None:
        self.name = builder_name(dataset)
        self._dataset = dataset
        self._sources = sources
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        example = next(iter(self._sources.values()))[0]
        features = segmentation_features(
            [category.name for category in self._dataset.categories],
            image_format="jpeg",
            label_map=example.panoptic is None and example.label_map is not None,
            panoptic=example.panoptic is not None,
            instances=example.instances is not None,
            source_id=example.source_id is not None,
        )
        return self._describe(f"{self._dataset.name} for maskformer-jax.", features)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {name: self._generate_examples(source) for name, source in self._sources.items()}

    def _generate_examples(self, source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(len(source)):
            image = source.encoded_image(index)
            yield index, _to_record(source[index], image, self._dataset)


def prepare_records(root: Path, dataset: DatasetInfo, sources: Mapping[str, Source]) -> None:
    """Write sources as a TFDS data set, for `config.data.format = "tfds"`.

    The folder appears only when complete; an interrupted run leaves none.

    Args:
        root: the folder to create; it must not exist or must be empty.
        dataset: of the sources.
        sources: by name of the split.

    Raises:
        UserError: `root` is not empty, an example cannot be read, or writing fails.
    """
    with new_paths(root) as [staged]:
        builder = FromSource(
            dataset=dataset,
            sources=sources,
            data_dir=str(staged.parent / "records"),
            file_format="array_record",
        )
        write_records(builder, staged)


def _to_record(example: Example, image: bytes, dataset: DatasetInfo) -> dict[str, Any]:
    record: dict[str, Any] = {"image": io.BytesIO(image), "image_id": example.image_id}
    if example.source_id is not None:
        record[SOURCE_ID] = json.dumps(example.source_id)
    if example.panoptic is not None:
        record |= encode_panoptic(example.panoptic)
    elif example.label_map is not None:
        record["label_map"] = encode_label_map(example.label_map, dataset)
    if example.instances is not None:
        record["instances"] = [_to_fields(instance) for instance in example.instances]
    return record


def _to_fields(instance: Instance) -> dict[str, Any]:
    return {
        "label": instance.label,
        "is_crowd": instance.is_crowd,
        "area": instance.area,
        "bbox": np.array(instance.bbox),
        "counts": instance.rle["counts"].decode(),
    }
