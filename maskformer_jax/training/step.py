"""One training step: differentiate the loss, update the parameters, report, average."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from flax import linen as nn
from jax import numpy as jnp
from jax.sharding import Mesh

from maskformer_jax.compiler_options import training_options
from maskformer_jax.config import Config, OptimConfig
from maskformer_jax.criterion.criterion import compute_losses
from maskformer_jax.criterion.normalizers import Normalizers
from maskformer_jax.precision import multiply_in, precision_of_masks, resolve_precision
from maskformer_jax.training.accumulation import make_differentiate
from maskformer_jax.training.mesh import batch_sharding, replicated
from maskformer_jax.training.schedule import make_schedule
from maskformer_jax.training.state import TrainState
from maskformer_jax.types import Batch

Metrics = dict[str, Any]


def make_loss_function(
    model: nn.Module, config: Config, *, num_classes: int, mesh: Mesh | None
) -> Callable[..., tuple[Any, Metrics]]:
    """Return the training loss: (params, constants, batch, dropout key) to (total, terms).

    For a part of a batch, the normalizers of the whole batch are a fifth argument.
    """
    precision = resolve_precision(
        config.model.matmul_precision, compute_dtype=config.model.compute_dtype, train=True
    )

    def loss(
        params: Any,
        constants: Any,
        batch: Batch,
        dropout_key: Any,
        normalizers: Normalizers | None = None,
    ) -> tuple[Any, Metrics]:
        with multiply_in(precision):
            predictions: Any = model.apply(
                {"params": params, "constants": constants},
                batch.image,
                batch.image_valid,
                train=True,
                rngs={"dropout": dropout_key},
            )
        return compute_losses(
            predictions,
            batch,
            config.loss,
            num_classes=num_classes,
            size_divisibility=config.model.size_divisibility,
            mesh=mesh,
            key=jax.random.fold_in(dropout_key, 1),
            normalizers=normalizers,
            precision=precision_of_masks(precision),
        )

    return loss


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    config: Config,
    *,
    num_classes: int,
    mesh: Mesh,
    shardings: TrainState,
) -> jax.stages.Wrapped:
    """Return the compiled step: (state, batch) to (state, metrics).

    The step donates the buffers of the state it is given, which cannot be used afterwards.

    The metrics are float32 scalars, except `finite_images`:

    - `loss` and its weighted terms;
    - `grad_norm`: of the full gradient, before clipping;
    - `learning_rate`: of the heads (the backbone's may be lower), at this step;
    - `finite_images`, bool [B]: whether all predictions and matching costs of an image are finite;
    - with `optim.skip_nonfinite`, `update_skipped`: 1 if the gradient was not finite, so that the
      step changed nothing but the step number. After as many skipped steps in a row as the option
      allows, the next such update is made, with `update_skipped` 0;
    - with `optim.skip_nonfinite`, `skipped_updates`: the number of such steps in the run so far.
    """
    loss_function = make_loss_function(model, config, num_classes=num_classes, mesh=mesh)
    differentiate = make_differentiate(loss_function, config, mesh=mesh)
    schedule = make_schedule(config.optim, num_steps=config.train.num_steps)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        # The key depends on seed and step alone, so that a resumed run draws the same dropout.
        dropout_key = jax.random.fold_in(jax.random.key(config.train.seed), state.step)
        # Parameters split over "fsdp" are gathered once and gradients are summed whole, behind
        # barriers. Left to itself the compiler follows the split of a kernel along its features: it
        # splits activations, or gathers them to compute a part of a kernel's gradient, which moves
        # several times the bytes (docs/pods.md).
        whole, constants = _make_whole((state.params, state.constants), mesh)
        (loss, terms), grads = differentiate(whole, constants, batch, dropout_key)
        grads = jax.lax.with_sharding_constraint(_make_whole(grads, mesh), shardings.params)

        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)

        metrics = {
            "loss": loss,
            **terms,
            "grad_norm": optax.tree.norm(grads),
            "learning_rate": config.optim.learning_rate
            * schedule(_count_updates(state, config.optim)),
        }
        skipped = jnp.bool_(False)
        if config.optim.skip_nonfinite:
            skipped = _was_skipped(opt_state, config.optim)
            metrics["update_skipped"] = skipped.astype(jnp.float32)
            metrics["skipped_updates"] = opt_state.total_notfinite.astype(jnp.float32)

        ema_params = state.ema_params
        if ema_params is not None:
            ema_params = _average(ema_params, params, skipped, decay=config.optim.ema_decay)
        return TrainState(state.step + 1, params, state.constants, opt_state, ema_params), metrics

    return jax.jit(
        train_step,
        in_shardings=(shardings, batch_sharding(mesh)),
        out_shardings=(shardings, replicated(mesh)),
        donate_argnums=0,
        compiler_options=training_options(
            mesh.local_devices[0],
            images=config.train.batch_size // (mesh.size * config.optim.accumulate_steps),
            remat=config.model.remat,
        ),
    )


def _make_whole(arrays: Any, mesh: Mesh) -> Any:
    """Gather what is split over "fsdp", where no operation before or after looks through."""
    if mesh.shape["fsdp"] == 1:
        return arrays
    whole = jax.lax.with_sharding_constraint(arrays, replicated(mesh))
    return jax.lax.optimization_barrier(whole)


def _count_updates(state: TrainState, config: OptimConfig) -> Any:
    """Count the steps so far that moved the parameters, which is what the schedule counts."""
    if not config.skip_nonfinite:
        return state.step
    return state.step - state.opt_state.total_notfinite


def _was_skipped(opt_state: Any, config: OptimConfig) -> Any:
    """Whether `optax.apply_if_finite` skipped the latest update, bool scalar."""
    nonfinite_in_a_row = opt_state.notfinite_count
    return (nonfinite_in_a_row > 0) & (nonfinite_in_a_row <= config.skip_nonfinite)


def _average(mean: Any, params: Any, skipped: Any, *, decay: float) -> Any:
    """Move the average of the parameters towards their new values, unless the step was skipped."""
    weight = 1 - decay
    return jax.tree.map(
        lambda old, new: jnp.where(skipped, old, old + weight * (new - old)), mean, params
    )
