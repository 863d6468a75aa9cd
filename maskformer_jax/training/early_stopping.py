"""Ending a run whose main metric no longer gets better."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskformer_jax.config import Config
from maskformer_jax.distributed import gather, is_primary
from maskformer_jax.evaluation.metrics import MAIN_METRIC
from maskformer_jax.metrics_file import read_metrics


def has_stalled(workdir: Path, config: Config) -> bool:
    """Whether a run should end by `train.patience`, which is then printed.

    All processes must call this, and get the same answer.
    """
    patience = config.train.patience
    log = read_metrics(workdir) if patience and is_primary() else []
    reason = describe_stop(log, metric=MAIN_METRIC[config.eval.task], patience=patience)
    if reason is not None:
        print(f"{workdir}: the run ends here: {reason}", flush=True)
    return bool(gather(reason is not None)[0])


def describe_stop(log: Sequence[Mapping[str, Any]], *, metric: str, patience: int) -> str | None:
    """Say why a run should end; None where it should not.

    The log alone decides, so that a run which is resumed comes to the same decision.

    Args:
        log: the lines of metrics.jsonl.
        metric: that is to get better, such as "mIoU".
        patience: evaluations without a better value after which the run ends; 0: it never does.
    """
    name = f"eval/{metric}"
    # A value that is undefined (null) is no better than any.
    found = [
        (line["step"], float("-inf") if line[name] is None else line[name])
        for line in log
        if name in line
    ]
    if not patience or len(found) <= patience:
        return None
    best = max(range(len(found)), key=lambda i: found[i][1])  # the first of equals
    since = len(found) - 1 - best
    if since < patience:
        return None
    step, value = found[best]
    return f"{metric} has not risen above {value:.2f} (step {step}) in {since} evaluations"
