"""Checks that losses and gradients are finite, naming the images behind those that are not."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from maskformer_jax.errors import UserError

FINITE_IMAGES = "finite_images"  # step metric, bool [B]: whether an image's losses are finite


def require_finite(
    step: int, metrics: Mapping[str, Any], *, image_ids: Callable[[int], Sequence[str]]
) -> None:
    """Check the metrics of one step. An update that was skipped gives a warning, not an error.

    Args:
        step: its number; the first step is 1.
        metrics: its metrics, on the host.
        image_ids: gives the image ids of a step, row by row; called only if there is a problem.

    Raises:
        UserError: a loss or gradient norm is not finite and the update was made all the same;
            names the step and its images, or only those with a non-finite loss if there are any.
    """
    nonfinite = next(
        (
            name
            for name in ("loss", "grad_norm")
            if name in metrics and not np.isfinite(metrics[name])
        ),
        None,
    )
    finite = np.asarray(metrics.get(FINITE_IMAGES, True))
    if nonfinite is None and finite.all():
        return
    ids = image_ids(step)
    if not finite.all():
        culprits = [ids[int(row)] for row in np.flatnonzero(~finite)]
        cause = f"the loss or matching cost of {_quote(culprits)} is not finite"
    else:
        cause = f"the images of this step are {_quote(ids)}"
    symptom = (
        f"{nonfinite} is {metrics[nonfinite]}" if nonfinite else "an image's loss is not finite"
    )
    if metrics.get("update_skipped"):
        logging.warning("step %d: %s; %s. This update is skipped", step, symptom, cause)
        return
    raise UserError(
        f"step {step}: {symptom}; {cause}. The run stopped before saving this state, so the last "
        "checkpoint is good. Try a lower optim.learning_rate, or look at these images"
    )


def _quote(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
