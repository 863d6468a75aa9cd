"""Looking at the numbers of a step before they are trusted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from maskformer_jax.errors import UserError

FINITE_IMAGES = "finite_images"  # bool [B] among the metrics of a step: which images' losses are


def require_finite(
    step: int, metrics: Mapping[str, Any], *, images: Callable[[int], Sequence[str]]
) -> None:
    """Checks the metrics of one update.

    Args:
        step: number of the update, the first being 1.
        metrics: its metrics, on the host.
        images: gives the ids of the images of an update, row by row; called only where needed.

    Raises:
        UserError: a loss or gradient norm is not finite and the update was made all the same;
            names the step and its images, those whose own loss is not finite where that is known.
            An update that was left out is a warning that names the same.
    """
    wrong = next(
        (
            name
            for name in ("loss", "grad_norm")
            if name in metrics and not np.isfinite(metrics[name])
        ),
        None,
    )
    finite = np.asarray(metrics.get(FINITE_IMAGES, True))
    if wrong is None and finite.all():
        return
    ids = images(step)
    if not finite.all():
        names = [ids[int(row)] for row in np.flatnonzero(~finite)]
        cause = f"the loss or cost of {_list(names)} is not finite"
    else:
        cause = f"the images of that step are {_list(ids)}"
    what = f"{wrong} is {metrics[wrong]}" if wrong else "an image's loss is not finite"
    if metrics.get("update_skipped"):
        logging.warning("step %d: %s; %s. This update is left out", step, what, cause)
        return
    raise UserError(
        f"step {step}: {what}; {cause}. Stopped before it could be saved: the last checkpoint is "
        "good. A lower optim.learning_rate or a look at these images would be the next thing to try"
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
