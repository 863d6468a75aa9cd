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
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_learning_rates_equal_the_official_schedulers(name: str, dtype: str) -> None:
    meta = META[f"lr/{name}"]
    config = OptimConfig(
        learning_rate=meta["base_lr"],
        schedule="poly" if meta["scheduler"] == "WarmupPolyLR" else "multistep",
        milestones=(369_600,),
        warmup_steps=meta["warmup_iters"],
        warmup_factor=meta["warmup_factor"],
    )
    with jax.enable_x64(dtype == "float64"):
        factor = jax.vmap(make_schedule(config, num_steps=meta["max_iter"]))
        factors = np.asarray(factor(COMPONENTS[f"lr/{name}/steps"].astype(np.int32)))
    assert factors.dtype == dtype
    # No precision holds 1 - t/T better than its rounding, which a rate near zero feels most.
    relative, absolute = (1e-6, 1e-7) if dtype == "float32" else (1e-12, 1e-15)
    np.testing.assert_allclose(
        config.learning_rate * factors.astype(float),
        COMPONENTS[f"lr/{name}/values"],
        rtol=relative,
        atol=absolute * config.learning_rate,
    )
