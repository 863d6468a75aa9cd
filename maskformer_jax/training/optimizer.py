"""AdamW with the published parameter groups and clipping of the full gradient."""

import re
from typing import Any, NamedTuple

import jax
import optax
from jax import numpy as jnp

from maskformer_jax.config import Config, OptimConfig
from maskformer_jax.training.schedule import make_schedule

BACKBONE_STAGES = ("stem", "res2", "res3", "res4", "res5")


class ParameterGroup(NamedTuple):
    """How one parameter is updated."""

    learning_rate: float  # before the schedule
    weight_decay: float


def parameter_groups(params: Any, config: OptimConfig, *, freeze_at: int = 0) -> Any:
    """The group of every parameter, in a tree like `params`.

    The learning rate depends on whether the parameter belongs to the backbone, the weight decay
    on what it is: normalisation and embeddings have their own, all else (biases included) decays
    like a weight. The first `freeze_at` of stem, res2 .. res5 do not move at all.
    """
    frozen = "|".join(BACKBONE_STAGES[:freeze_at]) or "(?!)"
    decay_rules = [
        (r"relative_position_bias_table|absolute_pos_embed", 0.0),
        (r"(^|[/_])norm\d*($|[/_])", config.weight_decay_norm),
        (r"(^|/)query_embed($|/)", config.weight_decay_embed),
        (r"", config.weight_decay),
    ]

    def choose(path: tuple, _: Any) -> ParameterGroup:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if re.match(rf"backbone/({frozen})", name):
            return ParameterGroup(0.0, 0.0)
        in_backbone = name.startswith("backbone/")
        rate = config.learning_rate * (config.backbone_multiplier if in_backbone else 1.0)
        decay = next(value for pattern, value in decay_rules if re.search(pattern, name))
        return ParameterGroup(rate, decay)

    return jax.tree_util.tree_map_with_path(choose, params)


def clip_by_full_norm(max_norm: float) -> optax.GradientTransformation:
    """Scales the whole gradient by min(1, max_norm / (norm + 1e-6)).

    `optax.clip_by_global_norm` lacks the 1e-6, which shows where the norm is small.
    """

    def clip(updates: optax.Updates, params: optax.Params | None) -> optax.Updates:
        del params
        factor = jnp.minimum(1.0, max_norm / (optax.tree.norm(updates) + 1e-6))
        return jax.tree.map(lambda update: update * factor, updates)

    return optax.stateless(clip)


def apply_groups(groups: Any) -> optax.GradientTransformation:
    """Adds the decoupled weight decay and multiplies by the learning rate of each group."""

    def scale(updates: optax.Updates, params: optax.Params | None) -> optax.Updates:
        def one(update: Any, param: Any, group: ParameterGroup) -> Any:
            return group.learning_rate * (update + group.weight_decay * param)

        return jax.tree.map(one, updates, params, groups)

    return optax.stateless(scale)


def make_optimizer(config: Config, params: Any) -> optax.GradientTransformation:
    """The published optimizer for these parameters (arrays or abstract).

    Order: clip the full gradient, Adam moments, weight decay and learning rate by group, schedule.
    With `optim.skip_nonfinite` n, an update that is not finite leaves parameters and moments as
    they are, up to n times in a row.
    """
    optim = config.optim
    freeze_at = getattr(config.model.backbone, "freeze_at", 0)  # ResNets have it
    groups = parameter_groups(params, optim, freeze_at=freeze_at)
    factor = make_schedule(optim, num_steps=config.train.num_steps)
    optimizer = optax.chain(
        clip_by_full_norm(optim.clip_norm),
        optax.scale_by_adam(b1=optim.b1, b2=optim.b2, eps=optim.eps),
        apply_groups(groups),
        optax.scale_by_schedule(lambda step: -factor(step)),
    )
    if optim.skip_nonfinite:
        optimizer = optax.apply_if_finite(optimizer, max_consecutive_errors=optim.skip_nonfinite)
    return optimizer
