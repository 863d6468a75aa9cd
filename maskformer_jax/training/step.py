"""One update of the model: predict, match, compare, differentiate, move."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from flax import linen as nn
from jax import numpy as jnp
from jax.sharding import Mesh

from maskformer_jax.config import Config
from maskformer_jax.criterion.criterion import compute_losses
from maskformer_jax.criterion.normalizers import Normalizers, count_normalizers
from maskformer_jax.errors import UserError
from maskformer_jax.parts.layers import remat_compiler_options
from maskformer_jax.training.mesh import batch_sharding, replicated
from maskformer_jax.training.schedule import make_schedule
from maskformer_jax.training.state import TrainState
from maskformer_jax.types import Batch

Metrics = dict[str, Any]


def make_loss_function(
    model: nn.Module, config: Config, *, num_classes: int, mesh: Mesh | None
) -> Callable[..., tuple[Any, Metrics]]:
    """The training loss as a function of (params, constants, batch, dropout key).

    For a part of a batch, the denominators of the whole come last.
    """

    def loss(
        params: Any,
        constants: Any,
        batch: Batch,
        dropout: Any,
        denominators: Normalizers | None = None,
    ) -> tuple[Any, Metrics]:
        predictions: Any = model.apply(
            {"params": params, "constants": constants},
            batch.image,
            batch.image_valid,
            train=True,
            rngs={"dropout": dropout},
        )
        return compute_losses(
            predictions,
            batch,
            config.loss,
            num_classes=num_classes,
            size_divisibility=config.model.size_divisibility,
            mesh=mesh,
            key=jax.random.fold_in(dropout, 1),
            normalizers=denominators,
        )

    return loss


def make_differentiate(
    loss_function: Callable[..., tuple[Any, Metrics]], config: Config, *, mesh: Mesh
) -> Callable[..., tuple[tuple[Any, Metrics], Any]]:
    """The loss, its terms and its gradient, as a function of the loss function's arguments.

    With `optim.accumulate_steps` the batch is gone through in parts. Each part's sums are divided
    by the denominators of the whole batch (its number of segments, the weights of its queries),
    which do not depend on predictions, so that losses and gradients of the parts add up to what
    the whole batch gives at once, but for rounding, and for dropout and random points, whose draws
    are each part's own.

    Raises:
        UserError: the devices cannot share the parts evenly.
    """
    differentiate = jax.value_and_grad(loss_function, has_aux=True)
    parts, devices = config.optim.accumulate_steps, mesh.size
    if parts == 1:
        return differentiate
    if config.train.batch_size % (parts * devices):
        raise UserError(
            f"optim.accumulate_steps={parts} on {devices} devices needs a train.batch_size that is "
            f"a multiple of {parts * devices}, not {config.train.batch_size}"
        )

    def split(x: Any) -> Any:
        """Each part takes some images of every device, so that none has to travel."""
        x = x.reshape(devices, parts, -1, *x.shape[1:]).swapaxes(0, 1)
        return x.reshape(parts, -1, *x.shape[3:])

    def join(x: Any) -> Any:
        return x.reshape(parts, devices, -1).swapaxes(0, 1).reshape(-1)

    def accumulate(params: Any, constants: Any, batch: Batch, dropout: Any) -> tuple:
        denominators = count_normalizers(
            batch, config.loss, num_queries=config.model.transformer_decoder.num_queries
        )

        def add(sums: Any, part: Any) -> tuple[Any, Any]:
            index, batch, denominators = part
            key = jax.random.fold_in(dropout, index)
            (total, terms), grads = differentiate(params, constants, batch, key, denominators)
            finite = terms.pop("finite_images")
            return jax.tree.map(jnp.add, sums, ((total, terms), grads)), finite

        first = jax.tree.map(split, (batch, denominators))
        arguments = (jnp.arange(parts), *first)
        one = jax.tree.map(lambda x: x[0], arguments)
        shapes = jax.eval_shape(
            lambda part: differentiate(params, constants, part[1], dropout, part[2]), one
        )
        shapes[0][1].pop("finite_images")
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        ((total, terms), grads), finite = jax.lax.scan(add, zeros, arguments)
        return (total, {**terms, "finite_images": join(finite)}), grads

    return accumulate


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    config: Config,
    *,
    num_classes: int,
    mesh: Mesh,
    shardings: TrainState,
) -> jax.stages.Wrapped:
    """The compiled step: (state, batch) to (state, metrics).

    It consumes the state it is given (its buffers are donated).

    The metrics are `finite_images`, bool [B], False for the images of the batch whose predictions
    or matching costs are not all finite, and float32 scalars: the weighted loss terms, their sum
    `loss`, `grad_norm` (before clipping) and `learning_rate` (of the head).

    With `optim.skip_nonfinite` there are besides `update_skipped`, 1 where this step changed
    nothing but the step number since its gradient was not finite, and `skipped_updates`, how many
    steps of the run did so. When more in a row are not finite than the option allows, the update
    is made and `update_skipped` is 0.
    """
    loss_function = make_loss_function(model, config, num_classes=num_classes, mesh=mesh)
    differentiate = make_differentiate(loss_function, config, mesh=mesh)
    factor = make_schedule(config.optim, num_steps=config.train.num_steps)

    def updates_made(state: TrainState) -> Any:
        """The steps that moved the parameters: the schedule counts these."""
        if not config.optim.skip_nonfinite:
            return state.step
        return state.step - state.opt_state.total_notfinite

    platform = mesh.devices.flat[0].platform

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        dropout = jax.random.fold_in(jax.random.key(config.train.seed), state.step)
        (total, terms), grads = differentiate(state.params, state.constants, batch, dropout)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        metrics = {
            "loss": total,
            **terms,
            "grad_norm": optax.tree.norm(grads),
            "learning_rate": config.optim.learning_rate * factor(updates_made(state)),
        }
        params = optax.apply_updates(state.params, updates)
        skipped = jnp.bool_(False)
        if config.optim.skip_nonfinite:
            skipped = (opt_state.notfinite_count > 0) & (
                opt_state.notfinite_count <= config.optim.skip_nonfinite
            )
            metrics["update_skipped"] = skipped.astype(jnp.float32)
            metrics["skipped_updates"] = opt_state.total_notfinite.astype(jnp.float32)
        average = state.ema_params
        if average is not None:
            rest = 1 - config.optim.ema_decay
            average = jax.tree.map(
                lambda mean, new: jnp.where(skipped, mean, mean + rest * (new - mean)),
                average,
                params,
            )
        return TrainState(state.step + 1, params, state.constants, opt_state, average), metrics

    return jax.jit(
        train_step,
        in_shardings=(shardings, batch_sharding(mesh)),
        out_shardings=(shardings, replicated(mesh)),
        donate_argnums=0,
        compiler_options=remat_compiler_options(platform) if config.model.remat else None,
    )
