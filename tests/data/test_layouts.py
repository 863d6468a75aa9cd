"""Every data set in its original layout: prepared, read, checked, converted to TFDS."""

import json
from itertools import islice

import numpy as np
import pytest
from data.drawn_scenes import draw_scene, save
from data.example_equality import assert_equal
from data.layouts import LAYOUTS

from maskformer_jax.__main__ import main
from maskformer_jax.config import AugmentConfig, Config, DataConfig, TrainConfig
from maskformer_jax.config.data import VARYING_MAPPERS
from maskformer_jax.data.check import check_dataset
from maskformer_jax.data.example import Example
from maskformer_jax.data.pipeline import train_batches
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.run_lengths import decode_mask
from maskformer_jax.data.sources import open_source
from maskformer_jax.data.tfds_builders.from_source import prepare_records


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Return a function that writes and prepares a layout once and returns its config."""
    made = {}

    def make_layout(name: str) -> Config:
        if name not in made:
            root = tmp_path_factory.mktemp("layout") / "data"
            LAYOUTS[name].write(root)
            if LAYOUTS[name].prepare:
                assert main(["prepare", LAYOUTS[name].prepare, f"--root={root}"]) == 0
            augment = AugmentConfig(short_edges=(24,), max_size=48, crop_size=(24, 24))
            data = DataConfig(root=str(root), augment=augment, num_segments=6, **LAYOUTS[name].data)
            made[name] = Config(data=data, train=TrainConfig(batch_size=2))
        return made[name]

    return make_layout


def read_all(config: Config, split: str) -> list[Example]:
    source = open_source(config.data, split, load_dataset_info(config.data.dataset))
    return [source[index] for index in range(len(source))]


@pytest.mark.parametrize("name", LAYOUTS)
def test_examples_are_as_drawn(make, name):
    config, layout = make(name), LAYOUTS[name]
    for split in (config.data.train_split, config.data.eval_split):
        examples = read_all(config, split)
        assert len({example.image_id for example in examples}) == len(examples) > 0
        for number, example in enumerate(examples):
            scene = draw_scene(4 if split == "val" and "penn" in name else number % 3)
            if "penn" in name:
                scene = draw_scene(int(example.image_id[1:]))
            assert np.abs(example.image.astype(int) - scene.image).max() < 20
            assert (example.panoptic is not None) == layout.panoptic
            assert (example.instances is not None) == layout.instances
            if layout.instances and not layout.panoptic:
                assert example.label_map is None
            else:
                np.testing.assert_array_equal(
                    example.label_map, np.array(layout.labels)[scene.blocks]
                )


@pytest.mark.parametrize("name", LAYOUTS)
def test_check_finds_nothing_wrong(make, name):
    report = check_dataset(make(name))
    assert report.problems == []
    assert all(split.most_segments in (2, 3) for split in report.splits)


@pytest.mark.parametrize("name", LAYOUTS)
def test_copies_as_records_are_equal(make, name, tmp_path):
    config = make(name)
    info = load_dataset_info(config.data.dataset)
    train, val = config.data.train_split, config.data.eval_split
    sources = {split: open_source(config.data, split, info) for split in (train, val)}
    prepare_records(tmp_path / "records", info, sources)
    fields = {name: getattr(config.data, name) for name in DataConfig.__slots__}
    data = DataConfig(**fields | {"format": "tfds", "root": str(tmp_path / "records")})
    records = open_source(data, val, info)
    assert len(records) == len(sources[val])
    for index in range(len(records)):
        assert_equal(records[index], sources[val][index])
        assert records.image_size(index) == sources[val].image_size(index)
        assert records.encoded_image(index) == sources[val].encoded_image(index)


@pytest.mark.parametrize("name", LAYOUTS)
def test_batches(make, name):
    config = make(name)
    if config.data.mapper in VARYING_MAPPERS:
        assert "absolute" in config.data.augment.crop_kind
    with train_batches(config) as batches:
        [batch] = islice(batches, 1)
    used = batch.segment_valid.sum(axis=1)
    assert (used >= 1).all()
    assert (batch.masks is None) == (config.data.mapper != "instance")


def test_ade20k_panoptic_areas_are_those_before_instances_hide_them(tmp_path):
    root = tmp_path / "data"
    LAYOUTS["ade20k-panoptic"].write(root)
    for split in ("training", "validation"):
        labels = np.full((24, 32), 1, np.uint8)
        colors = np.zeros((24, 32, 3), np.uint8)
        colors[:, :8, :2] = (1, 5)
        save(root / f"annotations/{split}/a0.png", labels)
        save(root / f"annotations_instance/{split}/a0.png", colors)
    assert main(["prepare", "ade20k-panoptic", f"--root={root}"]) == 0
    fields = json.loads((root / "ade20k_panoptic_train.json").read_text())
    wall, bed = fields["annotations"][0]["segments_info"]
    assert (wall["category_id"], wall["area"], wall["bbox"]) == (0, 24 * 32, [0, 0, 32, 24])
    assert (bed["category_id"], bed["area"], bed["bbox"]) == (7, 24 * 8, [0, 0, 8, 24])


def test_a_stuff_segment_that_instances_hide_stays_a_target(tmp_path):
    root = tmp_path / "data"
    LAYOUTS["ade20k-panoptic"].write(root)
    for split in ("training", "validation"):
        save(root / f"annotations_instance/{split}/a0.png", np.full((24, 32, 3), 1, np.uint8))
    assert main(["prepare", "ade20k-panoptic", f"--root={root}"]) == 0
    data = DataConfig(root=str(root), **LAYOUTS["ade20k-panoptic"].data)
    example = open_source(data, "training", load_dataset_info("ade20k-panoptic"))[0]
    assert [x.label for x in example.panoptic.segments] == [0, 3, 7]
    assert np.unique(example.panoptic.id_map).tolist() == [3]


def test_cityscapes_segments(make):
    example = read_all(make("cityscapes panoptic"), "train")[0]
    assert [x[:3] for x in example.panoptic.segments] == [
        (7, 0, False),
        (24, 11, True),  # a crowd of people
        (26_001, 13, False),
    ]
    assert example.image_id == "ulm_000000_000019"


def test_coco_masks_of_every_kind(make):
    example = read_all(make("coco-instances"), "train2017")[0]
    polygon, middle, left, crowd = example.instances
    assert [x.label for x in example.instances] == [0, 79, 16, 0]
    assert [x.is_crowd for x in example.instances] == [False, False, False, True]
    assert (polygon.area, polygon.bbox) == (12.5, (0, 0.5, 16, 12))
    expected = np.zeros((24, 32), np.uint8)
    expected[:12, :16] = 1
    np.testing.assert_array_equal(decode_mask(polygon.rle), expected)
    expected[:] = 0
    expected[6:18, 8:24] = 1
    np.testing.assert_array_equal(decode_mask(middle.rle), expected)
    for one in (left, crowd):
        blocks = draw_scene(0).blocks
        np.testing.assert_array_equal(decode_mask(one.rle), blocks % 2 == 0)
