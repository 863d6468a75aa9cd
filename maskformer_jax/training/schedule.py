"""Learning-rate schedules, as factors of the base rate.

Both follow detectron2's solver: the step is 0-based, update t uses `factor(t)`.
"""

import optax
from jax import numpy as jnp
from jaxtyping import Array

from maskformer_jax.config import OptimConfig


def make_schedule(config: OptimConfig, *, num_steps: int) -> optax.Schedule:
    """The factor by which step t multiplies every learning rate.

    "poly": `warmup(t) * (1 - t / num_steps) ** power`; the polynomial also acts during warm-up.
    "multistep": a straight line from `warmup_factor` to 1, then 1, times `decay` from every
    milestone on.
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
    # Dividing integers would give float32 even where float64 is on.
    return lambda step: chosen(jnp.asarray(step).astype(float))
