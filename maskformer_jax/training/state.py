"""Everything that changes during training, in one struct."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from flax import linen as nn
from jax import numpy as jnp

from maskformer_jax.config import Config


class TrainState(NamedTuple):
    """What a step takes and gives back. The dropout key is a function of seed and step."""

    step: Any  # int32 scalar, number of updates made
    params: Any
    constants: Any  # frozen batch-norm statistics; empty where the model has none
    opt_state: Any
    ema_params: Any = None  # moving average of the parameters, with optim.ema_decay above 0


def make_init(model: nn.Module, config: Config) -> Callable[[], Any]:
    """A function without arguments that draws the variables of the model from the config's seed."""

    def init() -> Any:
        size = max(config.model.size_divisibility, 32)
        images = jnp.zeros((1, size, size, 3), jnp.uint8)
        return model.init(jax.random.key(config.train.seed), images)

    return init


def create_train_state(
    variables: Any, optimizer: optax.GradientTransformation, *, with_average: bool = False
) -> TrainState:
    """The state before the first step. The average of the parameters, if any, starts from them."""
    params = variables["params"]
    return TrainState(
        step=jnp.int32(0),
        params=params,
        constants=variables.get("constants", {}),
        opt_state=optimizer.init(params),
        # Copied, since the buffers of a state are given away and none may be given away twice.
        ema_params=jax.tree.map(jnp.copy, params) if with_average else None,
    )


def model_variables(state: TrainState) -> dict[str, Any]:
    """What the model is applied to, as `model.init` gives it: without empty collections.

    The parameters are the averaged ones where the state has them.
    """
    params = state.params if state.ema_params is None else state.ema_params
    collections = {"params": params, "constants": state.constants}
    return {name: tree for name, tree in collections.items() if tree}
