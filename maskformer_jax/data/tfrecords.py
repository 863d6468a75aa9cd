"""Random access to TFRecord files, the default format of TFDS, without TensorFlow.

A file is a sequence of records: length (8 bytes), checksum of the length (4), data, checksum of the
data (4). Hopping from length to length gives the position of every record.
"""

import os
import struct
from array import array
from pathlib import Path
from typing import Any

from maskformer_jax.errors import UserError

_HEADER = struct.Struct("<QI")
_CHECKSUM_SIZE = 4  # bytes


class TfRecords:
    """The records of one split, in the order on disk; picklable.

    Checksums are not verified: the encoded images in the records have their own.

    Args:
        builder: a TFDS builder of a data set stored as TFRecord.
        split: such as "train" or "train+validation".
        decoders: as for `builder.as_data_source`.

    Raises:
        KeyError, ValueError: there is no such split.
        UserError: a file is missing, truncated, or has an unexpected number of records. On
            access: a record is damaged.
    """

    def __init__(self, builder: Any, split: str, *, decoders: dict[str, Any]) -> None:
        self._features = builder.info.features
        self._decoders = decoders
        self._paths: list[Path] = []
        # Compact arrays: there may be a hundred thousand records, and every worker gets a copy.
        self._files, self._starts, self._lengths = array("l"), array("q"), array("q")
        for shard in builder.info.splits[split].file_instructions:
            spans = _find_records(Path(shard.filename), expected=shard.examples_in_shard)
            for start, length in spans[shard.skip : shard.skip + shard.take]:
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
        except Exception as error:  # whatever the parsers that TFDS uses raise
            raise UserError(
                f"{path}: the record at byte {self._starts[index]} is damaged ({error}); "
                "copy or prepare the file again"
            ) from error
        return record


def _find_records(path: Path, *, expected: int) -> list[tuple[int, int]]:
    """Return the start and the length of the data of each record, in bytes."""
    spans: list[tuple[int, int]] = []
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            position = 0
            while position < size:
                header = file.read(_HEADER.size)
                start = position + _HEADER.size
                length = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else size
                position = start + length + _CHECKSUM_SIZE
                if position > size:
                    raise UserError(
                        f"{path}: is truncated or damaged in record {len(spans)} of {expected}; "
                        "copy or prepare the file again"
                    )
                spans.append((start, length))
                file.seek(position)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if len(spans) != expected:
        raise UserError(
            f"{path}: has {len(spans)} records, but dataset_info.json says {expected}; "
            "copy or prepare the file again"
        )
    return spans
