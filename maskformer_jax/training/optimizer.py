"""AdamW with the published parameter groups and clipping of the full gradient."""

import re
from typing import Any, NamedTuple

import jax
import optax
from jax import numpy as jnp

from maskformer_jax.config import Config, ModelConfig, OptimConfig
from maskformer_jax.errors import UserError
from maskformer_jax.parts.backbones.weights import backbone_weights
from maskformer_jax.parts.part import DecayRows
from maskformer_jax.parts.pixel_decoders.weights import pixel_decoder_weights
from maskformer_jax.parts.transformer_decoders.weights import transformer_decoder_weights
from maskformer_jax.training.schedule import make_schedule

HEAD_ROWS: DecayRows = ((r"predictor/(kernel|bias)", "weight"),)  # of the per-pixel baseline


class ParameterGroup(NamedTuple):
    """How one parameter is updated."""

    learning_rate: float  # before the schedule
    weight_decay: float


class GroupRow(NamedTuple):
    """One line of the table of groups."""

    pattern: str  # of a whole path, such as "backbone/res2_0/conv1/conv/kernel"
    group: ParameterGroup


def group_table(model: ModelConfig, config: OptimConfig) -> list[GroupRow]:
    """The table of groups of a model: the rows of its parts, with their rates filled in.

    The learning rate depends on whether the parameter belongs to the backbone, the weight decay
    on its kind: norms and embeddings have their own, all else (biases included) decays like a
    weight.
    """
    decays = {
        "weight": config.weight_decay,
        "norm": config.weight_decay_norm,
        "embed": config.weight_decay_embed,
        "none": 0.0,
    }
    rows = {
        "backbone/": backbone_weights(type(model.backbone)).DECAY_ROWS,
        "pixel_decoder/": pixel_decoder_weights(type(model.pixel_decoder)).DECAY_ROWS,
        "transformer_decoder/": transformer_decoder_weights(
            type(model.transformer_decoder)
        ).DECAY_ROWS,
        "": HEAD_ROWS,
    }
    rates = {"backbone/": config.learning_rate * config.backbone_multiplier}
    return [
        GroupRow(
            f"{part}({pattern})",
            ParameterGroup(rates.get(part, config.learning_rate), decays[decay]),
        )
        for part, part_rows in rows.items()
        for pattern, decay in part_rows
    ]


def parameter_groups(params: Any, model: ModelConfig, config: OptimConfig) -> Any:
    """The group of every parameter, in a tree like `params`.

    Frozen parameters of the backbone (`freeze_at`) have rate and decay 0.

    Raises:
        UserError: a parameter matches no row of the table, or several; names all such parameters.
    """
    table = group_table(model, config)
    frozen = [
        f"backbone/{pattern}"
        for pattern in backbone_weights(type(model.backbone)).frozen_patterns(model.backbone)
    ]
    problems: list[str] = []

    def choose(path: tuple, _: Any) -> ParameterGroup:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        found = [row for row in table if re.fullmatch(row.pattern, name)]
        if len(found) != 1:
            problems.append(f"{name}: {', '.join(row.pattern for row in found) or 'none'}")
            return ParameterGroup(0.0, 0.0)
        if any(re.match(pattern, name) for pattern in frozen):
            return ParameterGroup(0.0, 0.0)
        return found[0].group

    groups = jax.tree_util.tree_map_with_path(choose, params)
    if problems:
        raise UserError(
            "\n  ".join(
                [
                    "every parameter must match one row of the optimizer groups (DECAY_ROWS in the "
                    "weights.py of its part); these match:",
                    *problems,
                ]
            )
        )
    return groups


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
    groups = parameter_groups(params, config.model, optim)
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
