"""The train state: everything that a step reads and updates."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from flax import linen as nn
from jax import numpy as jnp

from maskformer_jax.config import Config


class TrainState(NamedTuple):
    """The arrays of a run. There is no random key among them: it is derived from seed and step."""

    step: Any  # int32 scalar, number of steps taken
    params: Any
    constants: Any  # frozen batch-norm statistics; empty where the model has none
    opt_state: Any
    ema_params: Any = None  # moving average of the parameters, with optim.ema_decay above 0


def make_init(model: nn.Module, config: Config) -> Callable[[], Any]:
    """Return a function without arguments that draws the model's variables from `train.seed`."""

    def init() -> Any:
        size = max(config.model.size_divisibility, 32)
        images = jnp.zeros((1, size, size, 3), jnp.uint8)
        return model.init(jax.random.key(config.train.seed), images)

    return init


def create_train_state(
    variables: Any, optimizer: optax.GradientTransformation, *, with_average: bool = False
) -> TrainState:
    """Return the state before the first step.

    Args:
        variables: as `model.init` returns them.
        optimizer: whose state is initialized.
        with_average: whether to keep a moving average of the parameters; it starts at their values.
    """
    params = variables["params"]
    return TrainState(
        step=jnp.int32(0),
        params=params,
        constants=variables.get("constants", {}),
        opt_state=optimizer.init(params),
        # A copy, since a step donates the buffers of its state, and none may be donated twice.
        ema_params=jax.tree.map(jnp.copy, params) if with_average else None,
    )


def model_variables(state: TrainState) -> dict[str, Any]:
    """Return the variables to evaluate and save, in the form of `model.init`'s result.

    The parameters are the averaged ones if the state has them. Empty collections are left out.
    """
    params = state.params if state.ema_params is None else state.ema_params
    collections = {"params": params, "constants": state.constants}
    return {name: tree for name, tree in collections.items() if tree}
