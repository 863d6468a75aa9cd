"""Losses and gradients of a batch, all at once or accumulated over parts of it."""

from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp
from jax.sharding import Mesh

from maskformer_jax.config import Config
from maskformer_jax.criterion.normalizers import count_normalizers
from maskformer_jax.errors import UserError
from maskformer_jax.training.finite import FINITE_IMAGES
from maskformer_jax.types import Batch


def make_differentiate(
    loss_function: Callable[..., tuple[Any, dict[str, Any]]], config: Config, *, mesh: Mesh
) -> Callable[..., tuple[tuple[Any, dict[str, Any]], Any]]:
    """Return a function of (params, constants, batch, dropout key) to ((loss, terms), gradient).

    With `optim.accumulate_steps` above 1, parts of the batch are processed one after the other.
    The sums of each part are divided by the normalizers of the whole batch (its number of
    segments, the weights of its queries), which do not depend on predictions. Losses and gradients
    therefore add up to those of the whole batch, except for rounding, and for dropout and random
    points, which each part draws with a key of its own.

    Args:
        loss_function: as `make_loss_function` gives it.
        config: `optim.accumulate_steps` and `train.batch_size` are used, and what the normalizers
            depend on.
        mesh: the devices that share each batch.

    Raises:
        UserError: the devices cannot share the parts evenly.
    """
    differentiate = jax.value_and_grad(loss_function, has_aux=True)
    parts, devices = config.optim.accumulate_steps, mesh.size
    if parts == 1:
        return differentiate
    if config.train.batch_size % (parts * devices):
        raise UserError(
            f"config.train.batch_size is {config.train.batch_size}, but must be a multiple of "
            f"{parts * devices} (optim.accumulate_steps {parts} x {devices} devices)"
        )

    def accumulate(params: Any, constants: Any, batch: Batch, dropout_key: Any) -> tuple:
        normalizers = count_normalizers(
            batch, config.loss, num_queries=config.model.transformer_decoder.num_queries
        )

        def add(sums: Any, part: Any) -> tuple[Any, Any]:
            index, batch, normalizers = part
            key = jax.random.fold_in(dropout_key, index)
            (loss, terms), grads = differentiate(params, constants, batch, key, normalizers)
            finite = terms.pop(FINITE_IMAGES)
            return jax.tree.map(jnp.add, sums, ((loss, terms), grads)), finite

        split = jax.tree.map(
            lambda x: split_batch(x, parts=parts, devices=devices), (batch, normalizers)
        )
        arguments = (jnp.arange(parts), *split)
        first = jax.tree.map(lambda x: x[0], arguments)
        shapes = jax.eval_shape(
            lambda part: differentiate(params, constants, part[1], dropout_key, part[2]), first
        )
        shapes[0][1].pop(FINITE_IMAGES)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        ((loss, terms), grads), finite = jax.lax.scan(add, zeros, arguments)
        finite = join_batch(finite, parts=parts, devices=devices)
        return (loss, {**terms, FINITE_IMAGES: finite}), grads

    return accumulate


def split_batch(x: Any, *, parts: int, devices: int) -> Any:
    """Split [B, ...] into [parts, B / parts, ...].

    Each part takes an equal number of images from every device, so that none moves.
    """
    x = x.reshape(devices, parts, -1, *x.shape[1:]).swapaxes(0, 1)
    return x.reshape(parts, -1, *x.shape[3:])


def join_batch(x: Any, *, parts: int, devices: int) -> Any:
    """Undo `split_batch` for one value per image: [parts, B / parts] to [B]."""
    return x.reshape(parts, devices, -1).swapaxes(0, 1).reshape(-1)
