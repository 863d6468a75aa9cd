"""Learning rates against the official schedulers, for every published config."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from maskformer_jax.config import OptimConfig
from maskformer_jax.training.schedule import make_schedule

COMPONENTS = np.load(Path(__file__).parents[1] / "golden" / "components.npz")
META = json.loads(str(COMPONENTS["meta"]))
CONFIGS = sorted(key.removeprefix("lr/") for key in META if key.startswith("lr/"))


@pytest.mark.parametrize("name", CONFIGS)
def test_learning_rates_equal_the_official_schedulers(name: str) -> None:
    meta = META[f"lr/{name}"]
    config = OptimConfig(
        learning_rate=meta["base_lr"],
        schedule="poly" if meta["scheduler"] == "WarmupPolyLR" else "multistep",
        milestones=(369_600,),
        warmup_steps=meta["warmup_iters"],
        warmup_factor=meta["warmup_factor"],
    )
    factor = jax.jit(make_schedule(config, num_steps=meta["max_iter"]))
    steps = COMPONENTS[f"lr/{name}/steps"]
    rates = [config.learning_rate * float(factor(step)) for step in steps]
    # float32 cannot hold 1 - t/T better than 6e-8, which a rate near zero feels most.
    expected = COMPONENTS[f"lr/{name}/values"]
    np.testing.assert_allclose(rates, expected, rtol=1e-6, atol=1e-7 * config.learning_rate)
