"""Records of TFDS's own builders give the same examples as the original folders."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data.example_equality import assert_equal
from data.layouts import LAYOUTS
from data.stock_tfds import to_tfrecord, write_cityscapes, write_coco_panoptic, write_scene_parse

from maskformer_jax.__main__ import main
from maskformer_jax.config import DataConfig
from maskformer_jax.data.example import Example, Source
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.samples import require_instances
from maskformer_jax.data.sources import open_source
from maskformer_jax.data.tfrecords import TfRecords
from maskformer_jax.errors import UserError


class Case(NamedTuple):
    dataset: str
    layout: str
    write: Callable[[Path, Path], Path]
    splits: dict[str, str]  # TFDS's name to the folders'


CASES = {
    "coco": Case(
        *("coco-panoptic", "coco-panoptic", write_coco_panoptic),
        {"train": "train2017", "validation": "val2017"},
    ),
    "cityscapes": Case(
        *("cityscapes-19", "cityscapes", write_cityscapes), {"train": "train", "validation": "val"}
    ),
    "scene_parse150": Case(
        *("ade20k-panoptic", "ade20k-panoptic", write_scene_parse),
        {"train": "training", "test": "validation"},
    ),
}


class Written(NamedTuple):
    case: Case
    raw: Path
    records: dict[str, Path]  # by the format of the files


@pytest.fixture(scope="module", params=CASES)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    root, case = tmp_path_factory.mktemp("stock"), CASES[request.param]
    LAYOUTS[case.layout].write(root / "raw")
    if preparation := LAYOUTS[case.layout].prepare:
        assert main(["prepare", preparation, f"--root={root / 'raw'}"]) == 0
    folders = {}
    for file_format in ("array_record", "tfrecord"):
        folders[file_format] = case.write(root / file_format, root / "raw")
    to_tfrecord(folders["tfrecord"])
    return Written(case, root / "raw", folders)


def open_records(folder: Path, split: str, dataset: str) -> Source:
    return open_source(
        DataConfig(root=str(folder), format="tfds"), split, load_dataset_info(dataset)
    )


def read_all(source: Source) -> list[Example]:
    return [source[index] for index in range(len(source))]


@pytest.mark.parametrize("file_format", ["array_record", "tfrecord"])
def test_examples_are_those_of_the_folders(written: Written, file_format: str) -> None:
    case, raw, folders = written
    info = load_dataset_info(case.dataset)
    data = DataConfig(root=str(raw), **LAYOUTS[case.layout].data)
    for split, folder in case.splits.items():
        source = open_records(folders[file_format], split, case.dataset)
        expected = open_source(data, folder, info)
        # TFDS shuffles while writing; the files of the images tell which is which.
        places = {expected.encoded_image(index): index for index in range(len(expected))}
        assert len({example.image_id for example in read_all(source)}) == len(places) == 3
        for index in range(len(source)):
            found, wanted = source[index], expected[places.pop(source.encoded_image(index))]
            if case.dataset == "ade20k-panoptic":
                # No names, and nothing but the things.
                things = require_instances(wanted, data, info)
                assert len(things) == 1
                wanted = Example(found.image_id, wanted.image, instances=things)
            wanted = wanted._replace(image_id=Path(wanted.image_id).name)
            if case.dataset == "cityscapes-19":
                wanted = wanted._replace(image_id=wanted.image_id.removesuffix("_leftImg8bit"))
            assert_equal(found, wanted)
            assert source.image_size(index) == wanted.image.shape[:2]
        assert not places


def test_tfrecords_are_in_the_order_of_array_records(written: Written) -> None:
    sources = [
        open_records(folder, "train", written.case.dataset) for folder in written.records.values()
    ]
    for one, other in zip(*map(read_all, sources), strict=True):
        assert_equal(one, other)


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TFRecord files of COCO panoptic."""
    root = tmp_path_factory.mktemp("coco")
    LAYOUTS["coco-panoptic"].write(root / "raw")
    folder = write_coco_panoptic(root / "records", root / "raw")
    to_tfrecord(folder)
    return folder


def test_tfrecords_in_slices_unions_and_workers(coco: Path) -> None:
    whole = read_all(open_records(coco, "train", "coco-panoptic"))
    [last] = read_all(open_records(coco, "train[2:]", "coco-panoptic"))
    assert_equal(last, whole[2])
    assert len(open_records(coco, "train+validation", "coco-panoptic")) == 6
    builder, skip = tfds.builder_from_directory(str(coco)), tfds.decode.SkipDecoding()
    decoders = {"image": skip, "panoptic_image": skip}
    [second] = TfRecords(builder, "train[1:2]", decoders=decoders)
    assert str(int(second["image/id"])) == whole[1].image_id.lstrip("0")
    copy = pickle.loads(pickle.dumps(open_records(coco, "train", "coco-panoptic")))
    assert_equal(copy[1], whole[1])


def test_classes_are_known_by_their_names(tmp_path: Path) -> None:
    LAYOUTS["coco-panoptic"].write(tmp_path / "raw")
    info = load_dataset_info("coco-panoptic")
    names = [category.name for category in info.categories]
    folder = write_coco_panoptic(tmp_path / "a", tmp_path / "raw", names=names[::-1])
    example = open_records(folder, "train", "coco-panoptic")[0]
    assert [segment.label for segment in example.panoptic.segments] == [0, 0, 80]
    folder = write_coco_panoptic(tmp_path / "b", tmp_path / "raw", names=[*names, "unicorn"])
    with pytest.raises(UserError, match="class 'unicorn', which is not in 'coco-panoptic'"):
        open_records(folder, "train", "coco-panoptic")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-10], "is truncated or damaged in record 2 of 3"),
        (lambda data: data[:5], "is truncated or damaged in record 0 of 3"),
        (lambda data: data[: len(data) - last_record(data)], "has 2 records, but .* says 3"),
    ],
)
def test_damaged_tfrecords(
    coco: Path, tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    for path in coco.iterdir():
        data = path.read_bytes()
        (tmp_path / path.name).write_bytes(damage(data) if "-train." in path.name else data)
    with pytest.raises(UserError, match=f"coco-train.tfrecord-00000-of-00001: {message}"):
        open_records(tmp_path, "train", "coco-panoptic")
    (tmp_path / "coco-validation.tfrecord-00000-of-00001").unlink()
    with pytest.raises(UserError, match=r"cannot read .*validation.*: No such file"):
        open_records(tmp_path, "validation", "coco-panoptic")


def test_damaged_record(coco: Path, tmp_path: Path) -> None:
    for path in coco.iterdir():
        data = bytearray(path.read_bytes())
        if "-train." in path.name:
            data[12:40] = bytes([255] * 28)
        (tmp_path / path.name).write_bytes(data)
    source = open_records(tmp_path, "train", "coco-panoptic")
    with pytest.raises(UserError, match="the record at byte 12 is damaged"):
        source[0]
    assert source[1].image.shape[2] == 3


def last_record(data: bytes) -> int:
    """Return the size in bytes of the last of three records."""
    position = 0
    for _ in range(2):
        position += int(np.frombuffer(data, np.uint64, 1, position)[0]) + 16
    return len(data) - position


def test_no_split_of_that_name(coco: Path) -> None:
    with pytest.raises(UserError, match="no split 'val2017'; it has train, validation"):
        open_records(coco, "val2017", "coco-panoptic")


def test_scene_parse_has_no_label_maps(tmp_path: Path) -> None:
    LAYOUTS["ade20k-panoptic"].write(tmp_path / "raw")
    folder = write_scene_parse(tmp_path / "records", tmp_path / "raw")
    with pytest.raises(UserError, match=r"holds the instance annotations .*mapper=instance"):
        open_records(folder, "train", "ade20k-150")
