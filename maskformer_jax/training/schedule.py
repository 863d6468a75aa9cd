"""Learning-rate schedules, as factors that multiply the base learning rate.

Both follow detectron2's solver: steps count from 0, and update t uses `schedule(t)`.
"""

import optax
from jax import numpy as jnp
from jaxtyping import Array

from maskformer_jax.config import OptimConfig


def make_schedule(config: OptimConfig, *, num_steps: int) -> optax.Schedule:
    """Return the function from a step t to the factor on every learning rate, a float scalar.

    "poly": `warmup(t) * (1 - t / num_steps) ** poly_power`; the decay starts at step 0, during
    the warm-up.
    "multistep": `warmup(t) * decay ** n` after n milestones.

    `warmup(t)` rises linearly from `warmup_factor` to 1 over `warmup_steps`.
    """

    def warmup(step: Array) -> Array:
        if config.warmup_steps == 0:
            return jnp.ones(())
        alpha = jnp.minimum(step / config.warmup_steps, 1.0)
        return config.warmup_factor * (1.0 - alpha) + alpha

    def poly(step: Array) -> Array:
        remaining = jnp.maximum(num_steps - step, 0) / num_steps
        return warmup(step) * remaining**config.poly_power

    def multistep(step: Array) -> Array:
        passed = (step >= jnp.asarray(config.milestones, float)).sum()
        return warmup(step) * jnp.power(jnp.asarray(config.decay, float), passed)

    chosen = {"poly": poly, "multistep": multistep}[config.schedule]
    # As integers, the division would give float32 even with 64-bit types enabled.
    return lambda step: chosen(jnp.asarray(step).astype(float))
