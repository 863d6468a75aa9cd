"""TFRecord files, in which TFDS stores data sets unless told otherwise, read without TensorFlow.

A file is records one after the other: the length (8 bytes) and its checksum (4), the data, and the
checksum of the data (4). Going from length to length finds where each begins, so any can be read.
"""

import os
import struct
from array import array
from pathlib import Path
from typing import Any

from maskformer_jax.errors import UserError

_HEADER = struct.Struct("<QI")
_CHECKSUM = 4  # bytes


class TfRecords:
    """The records of one split, in the order on disk; picklable.

    Checksums are not looked at; the images in the records have their own.

    Args:
        builder: of TFDS, for a data set stored as TFRecord.
        split: such as "train" or "train+validation".
        decoders: as `builder.as_data_source` takes them.

    Raises:
        KeyError, ValueError: there is no such split.
        UserError: a file is missing, cut off, or holds another number of records than it should.
            On access: a record is damaged.
    """

    def __init__(self, builder: Any, split: str, *, decoders: dict[str, Any]) -> None:
        self._features = builder.info.features
        self._decoders = decoders
        self._paths: list[Path] = []
        # Plain arrays: a large data set has a hundred thousand records, and workers get a copy.
        self._files, self._starts, self._lengths = array("l"), array("q"), array("q")
        for shard in builder.info.splits[split].file_instructions:
            places = _find_records(Path(shard.filename), number=shard.examples_in_shard)
            for start, length in places[shard.skip : shard.skip + shard.take]:
                self._files.append(len(self._paths))
                self._starts.append(start)
                self._lengths.append(length)
            self._paths.append(Path(shard.filename))

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        path = self._paths[self._files[index]]
        with path.open("rb") as file:
            file.seek(self._starts[index])
            data = file.read(self._lengths[index])
        try:
            record: dict[str, Any] = self._features.deserialize_example_np(
                data, decoders=self._decoders
            )
        except Exception as error:  # TFDS lets errors of its many parsers through
            raise UserError(
                f"{path}: the record at byte {self._starts[index]} is damaged ({error}); "
                "copy or prepare the file again"
            ) from error
        return record


def _find_records(path: Path, *, number: int) -> list[tuple[int, int]]:
    """Where the data of each record begins, and its length, both in bytes."""
    places: list[tuple[int, int]] = []
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            position = 0
            while position < size:
                header = file.read(_HEADER.size)
                start = position + _HEADER.size
                length = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else size
                position = start + length + _CHECKSUM
                if position > size:
                    raise UserError(
                        f"{path}: is cut off or damaged in record {len(places)} of {number}; "
                        "copy or prepare the file again"
                    )
                places.append((start, length))
                file.seek(position)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if len(places) != number:
        raise UserError(
            f"{path}: holds {len(places)} records, but dataset_info.json says {number}; "
            "copy or prepare the file again"
        )
    return places
