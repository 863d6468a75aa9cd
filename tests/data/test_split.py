import pickle

import numpy as np
import pytest

from maskformer_jax.config import DataConfig
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.sources import open_source
from maskformer_jax.data.split import parse_split
from maskformer_jax.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train", range(10)),
        ("train[:]", range(10)),
        ("train[:3]", range(3)),
        ("train[8:]", range(8, 10)),
        ("train[2:4]", range(2, 4)),
        ("train[-2:]", range(8, 10)),
        ("train[:80%]", range(8)),
        ("train[80%:]", range(8, 10)),
        ("train[:99]", range(10)),
    ],
)
def test_ranges(text: str, expected: range) -> None:
    assert parse_split(text).name == "train"
    assert list(parse_split(text).indices(10)) == list(expected)


@pytest.mark.parametrize("text", ["", "train[3]", "train[:3", "train[a:b]", "[:3]"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"must be a name, or a name and a range"):
        parse_split(text)


def test_the_part_holds_the_same_examples(tmp_path, write) -> None:
    for i in range(4):
        image = np.full((4, 6, 3), i, np.uint8)
        write(tmp_path, "train", str(i), image, np.zeros((4, 6), np.uint8))
    info = load_dataset_info("camvid")
    config = DataConfig(dataset="camvid", root=str(tmp_path))
    part = pickle.loads(pickle.dumps(open_source(config, "train[1:3]", info)))
    assert [part[i].image_id for i in range(len(part))] == ["1", "2"]
    assert int(part[1].image[0, 0, 0]) == 2
    assert part.image_size(1) == (4, 6)
    with pytest.raises(UserError, match=r"'train\[4:\]' is empty: 'train' has 4 examples"):
        open_source(config, "train[4:]", info)


def test_shuffled_parts_are_disjoint_and_stay_the_same() -> None:
    train = parse_split("train[shuffled :80%]").indices(10)
    val = parse_split("train[shuffled 80%:]").indices(10)
    assert sorted(train + val) == list(range(10))
    assert (len(train), len(val)) == (8, 2)
    assert val != [8, 9]
    assert parse_split("train[shuffled 80%:]").indices(10) == val
