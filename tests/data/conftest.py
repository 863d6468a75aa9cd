"""Fixtures: a small data set on disk, drawn once, and a writer of examples."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskformer_jax.config import AugmentConfig, Config, DataConfig, EvalConfig, TrainConfig
from maskformer_jax.data.labels import to_stored
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.shapes import draw_example

GOLDEN = Path(__file__).parents[1] / "golden" / "components.npz"


def write_example(
    root: Path, split: str, name: str, image: np.ndarray, label_map: np.ndarray
) -> None:
    for folder, array in (("images", image), ("annotations", label_map)):
        path = root / folder / split / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as file:
        return {key: file[key] for key in file.files if key.startswith(("data/", "color/"))} | {
            key: file[key] for key in file.files if key.startswith("resize/nearest")
        }


@pytest.fixture(scope="session")
def shapes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven training and five validation drawings as PNG files."""
    root = tmp_path_factory.mktemp("shapes")
    for split, size in (("train", 7), ("val", 5)):
        for index in range(size):
            drawing = draw_example(split, index)
            label_map = to_stored(drawing.label_map, load_dataset_info("shapes"))
            write_example(root, split, f"{index:03d}", drawing.image, label_map)
    return root


@pytest.fixture
def write() -> Callable[..., None]:
    return write_example


@pytest.fixture
def make_config(shapes_root: Path) -> Callable[..., Config]:
    """A recipe for tiny crops of the drawings; arguments change its `data` settings."""

    def make(**data: object) -> Config:
        augment = AugmentConfig(short_edges=(40, 64, 96), max_size=200, crop_size=(48, 64))
        settings = {
            "dataset": "shapes",
            "root": str(shapes_root),
            "num_segments": 9,
            "augment": augment,
        }
        return Config(
            data=DataConfig(**(settings | data)),
            train=TrainConfig(batch_size=4, seed=3),
            eval=EvalConfig(short_edge=48, max_size=60),
        )

    return make
