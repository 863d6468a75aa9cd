"""Nothing compiles after the first step and the first evaluation of each shape."""

from pathlib import Path
from typing import Any

import jax
import pytest
from data.drawn_coco import write_coco_panoptic

from maskformer_jax.config import AugmentConfig, Config, DataConfig, EvalConfig
from maskformer_jax.evaluation import buckets
from maskformer_jax.training import loop
from maskformer_jax.training.validation import Validation


@pytest.fixture
def counts(compilations: list[str], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many programs were compiled when each evaluation ended."""
    counts: list[int] = []
    run = Validation.run

    def counting(self: Validation, *arguments: Any, **options: Any) -> dict[str, float] | None:
        scores = run(self, *arguments, **options)
        counts.append(len(compilations))
        return scores

    monkeypatch.setattr(Validation, "run", counting)
    return counts


def test_nothing_compiles_after_warm_up(
    tiny_config: Config, tmp_path: Path, compilations: list[str], counts: list[int]
) -> None:
    tiny_config.train.eval_every = 2
    tiny_config.train.checkpoint_every = 2
    loop.train(tiny_config, tmp_path)
    # The first checkpoint is written after the first evaluation; from the second on all is warm.
    assert len(counts) == 4
    assert counts[0] > 0
    assert counts[1:] == [counts[1]] * 3
    jax.jit(lambda x: x * 3)(counts[0])
    assert len(compilations) > counts[-1], "the listener does not hear compilations"


def test_images_of_many_sizes_compile_once_for_each_bucket(
    toy_config: Config,
    tmp_path: Path,
    compilations: list[str],
    counts: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the COCO recipes train and evaluate: images of any shape, padded."""
    monkeypatch.setattr(buckets, "PROGRAM_COST", 0.0)  # six images would share one program
    for split in ("train2017", "val2017"):
        write_coco_panoptic(tmp_path, split, number=6)
    config = toy_config
    config.data = DataConfig(
        dataset="coco-panoptic",
        root=str(tmp_path),
        format="coco_panoptic",
        mapper="coco_panoptic",
        train_split="train2017",
        eval_split="val2017",
        num_segments=6,
        augment=AugmentConfig(
            short_edges=(20, 24, 28, 32),
            max_size=48,
            crop_kind="absolute_range",
            crop_size=(12, 24),
            crop_probability=0.5,
            pre_crop_short_edges=(20, 30),
            buckets=((32, 48), (48, 32), (32, 32)),
        ),
    )
    config.train.batch_size = 2
    config.train.num_steps, config.train.eval_every, config.train.checkpoint_every = 24, 8, 8
    config.eval = EvalConfig(task="panoptic", short_edge=24, max_size=40, max_programs=2)
    loop.train(config, tmp_path / "run")
    assert compilations.count("jit(train_step)") == len(config.data.augment.buckets)
    assert compilations.count("jit(inference)") == 2
    assert len(counts) == 3
    assert counts[1] == counts[2]
