"""`best` and `last` in place of a step: WORKDIR/best, WORKDIR/checkpoints/last."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.errors import UserError

NAMES = ("best", "last")
_SCORES_FILE = "metrics/metrics"  # where Orbax puts the scores of a checkpoint


def is_named_step(path: Path) -> bool:
    """Whether the path ends in one of the names and is not a file or folder of that name."""
    return path.name in NAMES and not path.exists()


def order_steps(name: str, steps: Sequence[Path]) -> list[Path]:
    """The checkpoints in the order in which the name means them.

    Args:
        name: "last", the newest first; or "best", that with the highest main metric first, among
            equals the newest. Checkpoints without scores are left out of the latter.
        steps: the newest first.

    Raises:
        UserError: none has scores.
    """
    if name == "last" or not steps:
        return list(steps)
    scores = {step: score for step in steps if (score := read_main_score(step)) is not None}
    if not scores:
        raise UserError(
            f"{steps[0].parent}: no checkpoint has scores, so none is the best; give a step, or "
            "'last'"
        )
    return sorted(scores, key=lambda step: (scores[step], int(step.name)), reverse=True)


def read_main_score(step: Path) -> float | None:
    """The main metric that a checkpoint was saved with, in percent; None if there is none."""
    try:
        scores = json.loads((step / _SCORES_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    # The main metric comes first.
    score = next(iter(scores.values()), None) if isinstance(scores, dict) else None
    return score if isinstance(score, float | int) and math.isfinite(score) else None
