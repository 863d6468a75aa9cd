"""Variables for tests: drawn in NumPy, which spares the compilation of every initializer."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn


def draw(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """No value stays zero or one, which would hide a mistake."""
    x = rng.normal(size=shape)
    if name in ("scale", "weight", "running_var"):
        return np.exp(0.2 * x)
    if name in ("bias", "running_mean"):
        return 0.2 * x
    if name == "query_embed":
        return x
    fan_in = np.prod(shape[:1] if len(shape) == 3 else shape[:-1])
    return x * np.sqrt(1.5 / fan_in)


@pytest.fixture(scope="session")
def make_variables() -> Callable[..., Any]:
    """Function of a module and its inputs, to random variables."""

    def make(module: nn.Module, *inputs: Any, seed: int = 0, **kwargs: Any) -> Any:
        rng = np.random.default_rng(seed)
        return jax.tree_util.tree_map_with_path(
            lambda path, x: jnp.asarray(draw(path[-1].key, x.shape, rng), x.dtype),
            jax.eval_shape(module.init, jax.random.key(0), *inputs, **kwargs),
        )

    return make
