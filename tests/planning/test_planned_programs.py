"""What `plan --what=eval` lowers, on a CPU: sizes, and turns of the loop over bands."""

from typing import Any

import jax
import pytest

from maskformer_jax.__main__ import main
from maskformer_jax.commands.planned_programs import plan_evaluation
from maskformer_jax.config import Config
from maskformer_jax.config.io import load_config
from maskformer_jax.config.overrides import apply_overrides
from maskformer_jax.planning.chips import CHIPS
from maskformer_jax.planning.topology import Topology
from maskformer_jax.postprocess import row_bands

HERE = Topology(name="here", chip=CHIPS["v5e"], devices=jax.devices("cpu")[:1])


def small(name: str, *overrides: str) -> Config:
    fewer = ["model.transformer_decoder.num_layers=1", "model.transformer_decoder.num_queries=9"]
    return apply_overrides(load_config(name), [*fewer, *overrides])


@pytest.mark.parametrize(
    "config",
    [
        small("shapes/maskformer_R18"),
        small("shapes/maskformer_R18", "eval.shapes=exact"),
        small("coco-panoptic/maskformer_panoptic_R50_cpu", "eval.max_instances=30"),
        small("coco-panoptic/maskformer_panoptic_R50_cpu", "eval.max_instances=300"),
        small("coco-panoptic/maskformer_panoptic_R50_cpu", "eval.semantic_rule=general"),
        small("penn-fudan/maskformer_R50_cpu", "eval.task=instance"),
        small("ade20k-150/per_pixel_baseline_R50_bs16_160k"),
    ],
    ids=lambda config: f"{config.name}-{config.eval.task}",
)
def test_turns_are_the_bands_of_the_program(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    original = row_bands.map_bands

    def count(*arguments: Any, sizes: Any, **keywords: Any) -> Any:
        rows = row_bands._rows_of_band(sizes, rows_per_band=None, channels=keywords["channels"])
        counts.append(-(-sizes.output_bound[0] // rows))
        return original(*arguments, sizes=sizes, **keywords)

    for module in ("row_bands", "mask_readers"):
        monkeypatch.setattr(f"maskformer_jax.postprocess.{module}.map_bands", count)
    program = plan_evaluation(config, HERE, size=(32, 64), output_size=(700, 300))
    assert counts == [program.turns]
    assert program.turns > 1
    assert "images of 32 x 64" in program.title
    assert program.title.endswith("results of 700 x 300")


def test_results_are_as_large_as_the_images() -> None:
    config = small("shapes/maskformer_R18")
    assert "results of 96 x 96" in plan_evaluation(config, HERE, size=(96, 96), output_size=None)[1]


def test_a_step_has_no_results(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--config=shapes/maskformer_R18", "--topology=v5e:2x2", "--output-size=48x48"]
    assert main(["plan", *arguments]) == 1
    assert "--output-size is of results, and needs --what=eval" in capsys.readouterr().err
