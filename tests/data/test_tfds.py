import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from maskformer_jax.config import DataConfig
from maskformer_jax.data.images import decode_image
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.shapes import draw_example
from maskformer_jax.data.sources import open_source
from maskformer_jax.data.tfds_builders import shapes as shapes_builder
from maskformer_jax.data.tfds_builders.shapes import prepare_shapes
from maskformer_jax.errors import UserError

INFO = load_dataset_info("shapes")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds") / "shapes"
    prepare_shapes(root, num_train=4, num_val=2)
    return root


def open_tfds(root, split="train", info=INFO):
    return open_source(DataConfig(root=str(root), format="tfds"), split, info)


@pytest.mark.parametrize(("split", "size"), [("train", 4), ("val", 2)])
def test_records_are_the_drawings_in_their_order(prepared, split, size):
    source = open_tfds(prepared, split)
    assert len(source) == size
    for index in range(size):
        image_id, image, label_map, *_ = source[index]
        drawing = draw_example(split, index)
        assert image_id == f"{index:06d}"
        np.testing.assert_array_equal(image, drawing.image)
        np.testing.assert_array_equal(label_map, drawing.label_map)
        assert label_map.dtype == np.int32


def test_panoptic_records_are_the_drawings(prepared):
    builder = tfds.builder_from_directory(str(prepared))
    skip = tfds.decode.SkipDecoding()
    names = ("image", "label_map", "panoptic_map")
    record = builder.as_data_source("train", decoders=dict.fromkeys(names, skip))[1]
    drawing = draw_example("train", 1)
    rgb = decode_image(record["panoptic_map"], name="x").astype(np.int32)
    np.testing.assert_array_equal(rgb @ [1, 256, 65536], drawing.panoptic.id_map)
    segments, drawn = record["segments"], drawing.panoptic.segments
    assert [int(value) for value in segments["id"]] == [s.segment_id for s in drawn]
    assert [int(value) for value in segments["label"]] == [s.label for s in drawn]
    assert [int(value) for value in segments["area"]] == [s.area for s in drawn]
    assert not any(segments["is_crowd"])
    boxes = np.stack(segments["bbox"]) * [96, 128, 96, 128]
    for (top, left, bottom, right), segment in zip(np.rint(boxes).astype(int), drawn, strict=True):
        mask = drawing.panoptic.id_map == segment.segment_id
        assert mask[top:bottom, left:right].sum() == segment.area
        for side in (mask[top], mask[bottom - 1], mask[:, left], mask[:, right - 1]):
            assert side.any()
    np.testing.assert_allclose(boxes, np.rint(boxes), atol=1e-4)


def test_source_can_be_sent_to_a_worker(prepared):
    copy = pickle.loads(pickle.dumps(open_tfds(prepared)))
    np.testing.assert_array_equal(copy[3].label_map, draw_example("train", 3).label_map)


def test_slices_and_unions_of_splits(prepared):
    assert len(open_tfds(prepared, "train[:50%]")) == 2
    assert len(open_tfds(prepared, "train+val")) == 6


def test_a_folder_above_is_found(prepared):
    assert len(open_tfds(prepared.parent)) == 4


def test_tensorflow_is_not_imported(prepared):
    code = f"""
import sys
from maskformer_jax.config import DataConfig
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.sources import open_source
from maskformer_jax.data.tfds_builders.shapes import prepare_shapes
config = DataConfig(root={str(prepared)!r}, format="tfds")
print(open_source(config, "train", load_dataset_info("shapes"))[0].image.shape)
print("tensorflow" in sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.split("\n")[:2] == ["(96, 128, 3)", "False"]


def test_nothing_half_written_stays_behind(tmp_path, monkeypatch):
    def fail_late(split, index):
        if index == 2:
            raise OSError(28, "No space left on device")
        return draw_example(split, index)

    monkeypatch.setattr(shapes_builder, "draw_example", fail_late)
    with pytest.raises(UserError, match=r"cannot write .*No space left"):
        prepare_shapes(tmp_path / "shapes", num_train=4, num_val=1)
    assert list(tmp_path.iterdir()) == []


def test_existing_data_is_not_overwritten(prepared):
    before = sorted(path.name for path in prepared.iterdir())
    with pytest.raises(UserError, match="exists already"):
        prepare_shapes(prepared, num_train=1, num_val=1)
    assert sorted(path.name for path in prepared.iterdir()) == before


def test_sizes_must_be_positive(tmp_path):
    with pytest.raises(UserError, match="--num-val is 0"):
        prepare_shapes(tmp_path / "shapes", num_train=1, num_val=0)


def test_unknown_split_lists_those_there_are(prepared):
    with pytest.raises(UserError, match="no split 'validation'; it has train, val"):
        open_tfds(prepared, "validation")


def test_data_set_of_another_config(prepared):
    with pytest.raises(UserError, match=r"data\.dataset is 'camvid', but .* holds 'shapes'"):
        open_tfds(prepared, info=load_dataset_info("camvid"))


def test_folder_that_is_not_prepared(tmp_path):
    with pytest.raises(UserError, match=r"no dataset_info\.json"):
        open_tfds(tmp_path)


def test_damaged_description(prepared, tmp_path):
    content = json.loads((prepared / "dataset_info.json").read_text())
    (tmp_path / "dataset_info.json").write_text(json.dumps(content)[:100])
    with pytest.raises(UserError, match="cannot be read as a TFDS data set"):
        open_tfds(tmp_path)
