"""An evaluation that several processes share."""

from maskformer_jax.distributed import gather
from maskformer_jax.evaluation.metrics import TaskMetrics


def merge_processes(metrics: TaskMetrics) -> TaskMetrics:
    """Merge the metrics of all processes; every process must call this."""
    first, *others = gather(metrics)
    for other in others:
        first.merge(other)
    return first
