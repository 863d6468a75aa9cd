"""Starting from the weights of a whole model (`train.init_checkpoint`)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from maskformer_jax.categories import Category
from maskformer_jax.checkpoints.load import find_class_names
from maskformer_jax.checkpoints.partial import match_checkpoint
from maskformer_jax.config import Config
from maskformer_jax.data.label_names import is_placeholder, same_name
from maskformer_jax.errors import UserError
from maskformer_jax.tensor_rules.transfer import Key, Matched, leaves, nest
from maskformer_jax.training.state import TrainState

# The layers with one output for each class and, but for the per-pixel baselines, for no-object.
_CLASS_HEADS = re.compile(
    r"params/(transformer_decoder/(?P<head>class_embed(_\d+)?)|predictor)/(kernel|bias)"
)
_MAX_LISTED = 5

Rows = list[tuple[int, int]]  # labels of equal names: of the data set, of the checkpoint


class StartWeights(NamedTuple):
    """A state with weights from a checkpoint."""

    state: TrainState
    summary: str  # what was taken and what was not, for people


def load_checkpoint(
    config: Config, state: TrainState, categories: Sequence[Category]
) -> StartWeights:
    """Put what fits by name and shape into a state.

    Class heads of another number of classes start anew. Where the checkpoint names its classes,
    those of equal names keep their rows, in whatever order, and the others start anew.

    Args:
        config: `train.init_checkpoint` and `train.init_missing` are used.
        state: drawn from the seed, on its devices.
        categories: of the data set.

    Raises:
        UserError: there is no such checkpoint, it is damaged, or it lacks a part that
            `train.init_missing` does not name; lists all that it lacks.
    """
    path = Path(config.train.init_checkpoint).expanduser()
    variables = {"params": state.params, "constants": state.constants}
    fresh: dict[Key, Any] = dict(leaves(variables))
    matched = match_checkpoint(path, variables, config.model)
    _require_all_parts(matched, config.train.init_missing, path)
    names = find_class_names(path)
    rows = _equal_names(names, categories)
    taken, partly = dict(matched.values), {}
    if names is not None and rows is not None:
        for key in filter(_is_class_head, fresh):
            theirs = taken.pop(key, matched.other_size.get(key))
            if theirs is not None:
                partly[key] = _move_rows(np.asarray(fresh[key]), theirs, rows, len(categories))
    values = taken | partly
    placed = nest(
        {
            key: jax.device_put(values[key], leaf.sharding) if key in values else leaf
            for key, leaf in fresh.items()
        }
    )
    state = state._replace(params=placed["params"], constants=placed.get("constants", {}))
    if state.ema_params is not None:
        state = state._replace(ema_params=jax.tree.map(jax.numpy.copy, state.params))
    summary = f"loaded {len(taken)} of {len(fresh)} arrays from {path}"
    new = _describe_new(
        [key for key in fresh if key not in taken], matched, len(categories), rows if partly else []
    )
    unused = f"; not used: {len(matched.unexpected)} arrays" if matched.unexpected else ""
    return StartWeights(state, summary + (f"; new: {new}" if new else "") + unused)


def _is_class_head(key: Key) -> bool:
    return _CLASS_HEADS.fullmatch("/".join(key)) is not None


def _require_all_parts(matched: Matched, allowed: Sequence[str], path: Path) -> None:
    lacking = {
        key: lines
        for groups in (matched.missing, matched.other_shape)
        for key, lines in groups.items()
        if not (_is_class_head(key) and key in matched.other_size)
        and not any(re.search(pattern, "/".join(key)) for pattern in allowed)
    }
    problems = matched.problems + sorted({line for lines in lacking.values() for line in lines})
    if problems:
        raise UserError(
            "\n  ".join([f"{path} lacks parts of the model:", *problems])
            + "\nTake the config of the checkpoint, or name what may start anew in "
            "config.train.init_missing, such as ('transformer_decoder',)"
        )


def _equal_names(names: Sequence[str] | None, categories: Sequence[Category]) -> Rows | None:
    """The labels of equal names; None where the heads fit as they are or names say nothing."""
    if names is None or any(is_placeholder(name) for name in names):
        return None
    if len(names) == len(categories) and all(map(same_name, names, (c.name for c in categories))):
        return None
    rows: Rows = []
    for label, category in enumerate(categories):
        same = [other for other, name in enumerate(names) if name == category.name]
        alike = [other for other, name in enumerate(names) if same_name(name, category.name)]
        rows += [(label, other) for other in (same or alike)[:1]]
    return rows


def _move_rows(fresh: np.ndarray, theirs: np.ndarray, rows: Rows, num_classes: int) -> np.ndarray:
    """A head with the outputs of equal classes, and of no-object, from the checkpoint."""
    moved = fresh.copy()
    for ours, other in rows:
        moved[..., ours] = theirs[..., other]
    if fresh.shape[-1] > num_classes:
        moved[..., -1] = theirs[..., -1]
    return moved


def _describe_new(
    keys: Sequence[Key], matched: Matched, num_classes: int, rows: Rows | None
) -> str:
    heads = {key: key[-2] for key in keys if _is_class_head(key)}
    parts = []
    for name in dict.fromkeys(heads.values()):
        key = next(key for key, head in heads.items() if head == name)
        other = matched.other_size.get(key, matched.values.get(key))
        text = name
        if other is not None:
            extra = int(name != "predictor")  # no-object
            text += f" ({other.shape[-1] - extra} classes there, {num_classes} here"
            text += f"; {len(rows)} of equal names kept)" if rows else ")"
        parts.append(text)
    others = ["/".join(key[1:]) for key in keys if key not in heads]
    parts += others[:_MAX_LISTED]
    if len(others) > _MAX_LISTED:
        parts.append(f"and {len(others) - _MAX_LISTED} more")
    return ", ".join(parts)
