"""Batches of images that vary in size: the mappers "coco_panoptic" and "instance"."""

from itertools import islice

import numpy as np
import pytest
from data.drawn_coco import write_coco_instances, write_coco_panoptic
from data.layouts import write_penn_fudan

from maskformer_jax.config import AugmentConfig, Config, DataConfig, TrainConfig
from maskformer_jax.data.eval_examples import eval_examples
from maskformer_jax.data.example import Example, Instance, PanopticLabels, PanopticSegment
from maskformer_jax.data.geometry import Geometry
from maskformer_jax.data.pipeline import batch_image_ids, train_batches
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.samples import make_padded
from maskformer_jax.errors import UserError

AUGMENT = AugmentConfig(
    short_edges=(24, 32),
    max_size=60,
    crop_kind="absolute_range",
    crop_size=(12, 30),
    crop_probability=0.5,
    pre_crop_short_edges=(20, 30),
    color=False,
)


def make_config(root, **data):
    fields = {"dataset": "coco-panoptic", "format": "coco_panoptic", "mapper": "coco_panoptic"}
    names = {"train_split": "train2017", "eval_split": "train2017", "num_segments": 5}
    return Config(
        data=DataConfig(root=str(root), augment=AUGMENT, **(fields | names | data)),
        train=TrainConfig(batch_size=2, seed=5),
    )


@pytest.fixture
def panoptic(tmp_path):
    write_coco_panoptic(tmp_path, "train2017", number=5)
    return make_config(tmp_path)


@pytest.fixture
def instances(tmp_path):
    write_coco_instances(tmp_path, "train2017", number=5)
    return make_config(
        tmp_path, dataset="coco-instances", format="coco_instances", mapper="instance"
    )


def take(config, number, **options):
    with train_batches(config, **options) as batches:
        return list(islice(batches, number))


def assert_equal(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for a, b in zip(one, other, strict=True):
            assert (a is None) == (b is None)
            np.testing.assert_array_equal(a, b)


def test_panoptic_batches(panoptic):
    grey = np.array([12, 72, 132])
    sizes = set()
    for batch in take(panoptic, 12):
        sizes.add(batch.image.shape[1:3])
        assert batch.masks is None
        assert batch.segment_valid.sum(axis=1).tolist() == [3, 3]  # also what a crop removed
        assert batch.labels[:, :3].tolist() == [[0, 0, 80]] * 2
        assert (batch.segment_map[~batch.image_valid] == -1).all()
        assert (batch.image[~batch.image_valid] == 0).all()
        for image, segment_map in zip(batch.image, batch.segment_map, strict=True):
            for slot in range(3):
                # In slivers the resize mixes the greys of two segments.
                if (inside := image[segment_map == slot]).size > 500:
                    assert np.abs(np.median(inside) - grey).argmin() == slot
    assert sizes == {(32, 64), (64, 32)}


def test_threads_resuming_and_processes_do_not_change_the_batches(panoptic):
    whole = take(panoptic, 8)
    panoptic.data.num_threads = 0
    assert_equal(take(panoptic, 5, start_step=3), whole[3:])
    shares = [take(panoptic, 8, process_index=p, process_count=2) for p in range(2)]
    for batch, one, other in zip(whole, *shares, strict=True):
        for field in ("image", "segment_map", "labels", "image_valid"):
            parts = [getattr(one, field), getattr(other, field)]
            np.testing.assert_array_equal(np.concatenate(parts), getattr(batch, field))
    assert batch_image_ids(panoptic, 0) != batch_image_ids(panoptic, 1)


def test_workers_give_the_same_batches(panoptic):
    whole = take(panoptic, 5)
    panoptic.data.num_workers = 1
    assert_equal(take(panoptic, 3, start_step=2), whole[2:])


def test_more_segments_than_slots_names_the_image(panoptic):
    panoptic.data.num_segments = 2
    with pytest.raises(
        UserError, match=r"num_segments is 2, but must be 3 or more for image '0000000000\d\d'"
    ):
        take(panoptic, 1)


def test_annotations_of_another_kind(panoptic, instances):
    panoptic.data.mapper = "semantic"
    panoptic.data.augment = AugmentConfig(short_edges=(24,), crop_size=(24, 24))
    assert take(panoptic, 1)[0].image.shape == (2, 24, 24, 3)
    instances.data.mapper = "coco_panoptic"
    with pytest.raises(
        UserError, match=r"data\.mapper is 'coco_panoptic', but image .* has no panoptic annotation"
    ):
        take(instances, 1)


def test_instance_batches(instances):
    for batch in take(instances, 8):
        height, width = batch.image.shape[1:3]
        assert batch.segment_map is None
        assert batch.masks.shape == (2, 5, height, width // 8)
        masks = np.unpackbits(batch.masks, axis=-1, count=width)
        np.testing.assert_array_equal(masks.any(axis=(2, 3)), batch.segment_valid)
        outside = np.broadcast_to(~batch.image_valid[:, None], masks.shape)
        assert not masks[outside].any()


def draw_example():
    from pycocotools import mask as coco_mask

    masks = np.zeros((3, 8, 12), np.uint8)
    masks[0, :4, :6] = 1  # upper left
    masks[1, 2:6, 3:12] = 1  # overlaps it
    masks[2, 7:, 11:] = 1  # a corner
    rles = [dict(coco_mask.encode(np.asfortranarray(mask))) for mask in masks]
    instances = [
        Instance(label, is_crowd, 1.0, (0.0, 0.0, 1.0, 1.0), rle)
        for label, is_crowd, rle in zip((7, 3, 5), (False, False, False), rles, strict=True)
    ]
    crowd = instances[0]._replace(is_crowd=True)
    image = np.zeros((8, 12, 3), np.uint8)
    return Example("x", image, instances=(instances[0], crowd, *instances[1:])), masks


def padded(example, geometry, mapper="instance", num_segments=4):
    config = DataConfig(mapper=mapper, num_segments=num_segments, augment=AUGMENT)
    info = load_dataset_info("coco-panoptic")
    return make_padded(example, geometry, size=(10, 20), config=config, info=info)


def test_masks_overlap_and_follow_the_image():
    example, masks = draw_example()
    row = padded(example, Geometry(True, None, (8, 12), 0))
    unpacked = np.unpackbits(row.masks, axis=-1, count=20)
    np.testing.assert_array_equal(unpacked[:3, :8, :12], masks[:, :, ::-1])
    assert not unpacked[:, 8:].any()
    assert not unpacked[:, :, 12:].any()
    assert row.labels.tolist() == [7, 3, 5, 0]
    assert row.segment_valid.tolist() == [True, True, True, False]


def test_instances_that_the_resize_removes_are_dropped():
    example, masks = draw_example()
    # Half size takes every second pixel, beginning with the second: the corner stays, and in the
    # quarter only (7, 11) is left of what was there; a size of 2 x 3 leaves the corner out.
    row = padded(example, Geometry(False, None, (2, 3), 0))
    unpacked = np.unpackbits(row.masks, axis=-1, count=20)
    np.testing.assert_array_equal(unpacked[:2, :2, :3], masks[:2, 2::4, 2::4])
    assert row.labels.tolist() == [7, 3, 0, 0]


def test_more_instances_than_slots():
    with pytest.raises(UserError, match=r"num_segments is 2, but must be 3 or more for image 'x'"):
        padded(draw_example()[0], Geometry(False, None, (8, 12), 0), num_segments=2)


def test_things_serve_as_instances():
    id_map = np.kron(np.array([[5, 6], [0, 9]], np.int32), np.ones((4, 6), np.int32))
    segments = tuple(
        PanopticSegment(number, label, is_crowd, 24)
        for number, label, is_crowd in ((5, 0, False), (6, 2, True), (9, 80, False))
    )
    example = Example(
        "x", np.zeros((8, 12, 3), np.uint8), panoptic=PanopticLabels(id_map, segments)
    )
    row = padded(example, Geometry(False, None, (8, 12), 0))
    assert row.segment_valid.tolist() == [True, False, False, False]  # no crowd, no stuff
    mask = np.unpackbits(row.masks[0], axis=-1, count=20)[:8, :12]
    np.testing.assert_array_equal(mask, id_map == 5)


def test_penn_fudan(tmp_path):
    write_penn_fudan(tmp_path)
    fields = {"dataset": "penn-fudan", "format": "penn_fudan", "train_split": "train"}
    config = make_config(tmp_path, eval_split="val", **fields)
    [batch] = take(config, 1)
    assert batch.labels[:, :3].tolist() == [[0, 0, 1]] * 2
    [example] = eval_examples(config)
    assert example.image_id == "P4"
    assert set(np.unique(example.label_map)) == {0, 1}
    assert len(example.instances) == 2
