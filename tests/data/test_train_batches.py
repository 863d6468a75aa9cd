"""The training stream is a pure function of (seed, step)."""

import time
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from maskformer_jax.data.pipeline import batch_image_ids, train_batches
from maskformer_jax.errors import UserError
from maskformer_jax.types import Batch


def take(config, number, **options) -> list[Batch]:
    with train_batches(config, **options) as batches:
        return list(islice(batches, number))


def assert_equal(left: list[Batch], right: list[Batch]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for field, a, b in zip(Batch._fields, one, other, strict=True):
            assert (a is None) == (b is None), field
            np.testing.assert_array_equal(a, b, err_msg=field)


def test_batches_have_the_promised_shapes_and_types(make_config):
    (batch,) = take(make_config(num_segments=11), 1)
    assert batch.masks is None
    arrays = dict(zip(Batch._fields[:5], batch[:5], strict=True))
    assert {name: (a.shape, a.dtype.name) for name, a in arrays.items()} == {
        "image": ((4, 48, 64, 3), "uint8"),
        "image_valid": ((4, 48, 64), "bool"),
        "segment_map": ((4, 48, 64), "int16"),
        "labels": ((4, 11), "int32"),
        "segment_valid": ((4, 11), "bool"),
    }


def test_segment_maps_index_valid_segments(make_config):
    for batch in take(make_config(), 3):
        for segment_map, labels, valid in zip(*batch[2:5], strict=True):
            used = np.unique(segment_map[segment_map >= 0])
            np.testing.assert_array_equal(used, np.flatnonzero(valid))
            assert (np.diff(labels[valid]) > 0).all()


def test_padding_is_image_and_void(make_config):
    config = make_config()
    config.data.augment.short_edges = (30,)
    for batch in take(config, 2):
        assert batch.image_valid.all()
        assert (batch.image[:, 30:] == 128).all()
        assert (batch.segment_map[:, 30:] == -1).all()


@pytest.mark.parametrize("num_threads", [0, 1, 3])
def test_threads_do_not_change_the_batches(make_config, num_threads):
    config = make_config(num_threads=2)
    expected = take(config, 6)
    config.data.num_threads = num_threads
    assert_equal(take(config, 6), expected)


def test_the_seed_decides(make_config):
    config = make_config()
    expected = take(config, 2)
    assert_equal(take(config, 2), expected)
    config.train.seed = 4
    assert not np.array_equal(take(config, 2)[0].image, expected[0].image)


@pytest.mark.parametrize("start_step", [1, 3, 5])
def test_resuming_goes_on_where_it_stopped(make_config, start_step):
    config = make_config()
    everything = take(config, 8)
    assert_equal(take(config, 8 - start_step, start_step=start_step), everything[start_step:])


def test_processes_share_the_global_batch(make_config):
    config = make_config()
    whole = take(config, 3)
    shares = [take(config, 3, process_index=p, process_count=2) for p in range(2)]
    for step, batch in enumerate(whole):
        for field, array in enumerate(batch[:5]):
            together = np.concatenate([share[step][field] for share in shares])
            np.testing.assert_array_equal(together, array)


def test_image_ids_of_a_step(make_config, tmp_path, write):
    config = plain_config(make_config, tmp_path, write, size=10)
    for step, batch in enumerate(take(config, 6)):  # more than an epoch
        shown = [str(value) for value in batch.image[:, 0, 0, 0] // 10]
        assert batch_image_ids(config, step) == shown


def plain_config(make_config, tmp_path, write, *, size):
    """Write images of a single colour each, which identifies them in a batch."""
    for index in range(size):
        image = np.full((48, 64, 3), 10 * index, np.uint8)
        write(tmp_path, "train", f"{index}", image, np.zeros((48, 64), np.uint8))
    config = make_config(root=str(tmp_path))
    config.data.augment.short_edges = (48,)
    config.data.augment.color = False
    return config


def test_every_epoch_holds_every_example_once_in_a_new_order(make_config, tmp_path, write):
    config = plain_config(make_config, tmp_path, write, size=10)
    batches = take(config, 10)  # four epochs
    seen = np.concatenate([batch.image[:, 0, 0, 0] for batch in batches]).reshape(4, 10) // 10
    for epoch in seen:
        assert sorted(epoch) == list(range(10))
    assert len({tuple(epoch) for epoch in seen}) == 4


def test_augmentation_differs_between_epochs(make_config, tmp_path, write):
    config = plain_config(make_config, tmp_path, write, size=1)
    config.data.augment.color = True
    image = np.full((48, 64, 3), [60, 100, 140], np.uint8)
    write(tmp_path, "train", "0", image, np.zeros((48, 64), np.uint8))
    colors = np.concatenate([batch.image[:, 0, 0] for batch in take(config, 4)])
    assert len(np.unique(colors, axis=0)) > 12


def test_a_data_set_smaller_than_the_batch(make_config, tmp_path, write):
    config = plain_config(make_config, tmp_path, write, size=3)
    seen = np.concatenate([batch.image[:, 0, 0, 0] for batch in take(config, 3)])
    assert Counter(seen.tolist()) == {0: 4, 10: 4, 20: 4}


def test_batch_size_must_divide(make_config):
    with pytest.raises(UserError, match=r"train\.batch_size is 4, .* multiple of the 3 processes"):
        train_batches(make_config(), process_count=3)


def test_too_many_segments_names_the_image(make_config):
    with pytest.raises(
        UserError, match=r"data\.num_segments is 1, but must be \d or more for image '00\d'"
    ):
        take(make_config(num_segments=1), 1)


def damage(root: Path) -> None:
    path = root / "images/train/1.png"
    path.write_bytes(path.read_bytes()[:60])


def test_a_bad_file_stops_the_threads(make_config, tmp_path, write):
    config = plain_config(make_config, tmp_path, write, size=3)
    damage(tmp_path)
    with pytest.raises(UserError, match=r"images/train/1\.png: cannot be decoded"):
        take(config, 1)


def test_a_missing_label_map_is_found_before_training(make_config, tmp_path, write):
    config = plain_config(make_config, tmp_path, write, size=2)
    Image.new("RGB", (64, 48)).save(tmp_path / "images/train/late.jpg")
    with pytest.raises(UserError, match=r"no label map: late\.jpg"):
        train_batches(config)


def children() -> set[int]:
    return {process.pid for process in psutil.Process().children()}


def test_workers_give_the_same_batches_resume_and_end(make_config):
    config = make_config()
    expected = take(config, 7)
    config.data.num_workers = 2
    before = children()
    with train_batches(config, start_step=2) as batches:
        assert_equal(list(islice(batches, 5)), expected[2:])
        # Besides the two, Python's own resource tracker may have started.
        workers = [
            process
            for process in psutil.Process().children()
            if process.pid not in before and "resource_tracker" not in " ".join(process.cmdline())
        ]
        assert len(workers) == 2
    assert not [process for process in workers if process.is_running()]


def test_a_bad_file_in_a_worker_reaches_the_main_process(make_config, tmp_path, write):
    config = plain_config(make_config, tmp_path, write, size=3)
    config.data.num_workers = 1
    damage(tmp_path)
    start = time.monotonic()
    with pytest.raises(UserError, match=r"images/train/1\.png: cannot be decoded"):
        take(config, 1)
    assert time.monotonic() - start < 30
