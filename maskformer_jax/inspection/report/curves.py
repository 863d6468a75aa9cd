"""What a run logged over its steps: losses, learning rate, scores, speed and memory."""

from collections.abc import Sequence

from maskformer_jax.inspection.report.run import Run
from maskformer_jax.pages.plots import Line, Plots

_SPEED = {
    "images_per_second": "images per second",
    "data_wait_share": "share of the time spent waiting for data",
    "host_memory_gb": "memory of the host process, GB",
    "device_memory_gb": "memory of a device, GB",
}
_OTHER = {"learning_rate": "learning rate", "grad_norm": "norm of the gradient"}


def training_plots(runs: Sequence[Run], plots: Plots) -> str:
    """The loss, its terms, the learning rate and the norm of the gradient."""
    terms = [name for name in _names(runs) if _is_term(name)]
    parts = [_plot(runs, plots, ["loss"], title="loss")]
    if len(runs) == 1:
        parts.append(_plot(runs, plots, terms, title="terms of the loss, last decoder layer"))
    else:
        parts += [_plot(runs, plots, [term], title=term) for term in terms]
    return _grid([*parts, *(_plot(runs, plots, [key], title=_OTHER[key]) for key in _OTHER)])


def score_plots(runs: Sequence[Run], plots: Plots) -> str:
    """The metrics of the evaluations during training."""
    names = [name for name in _names(runs) if _is_score(name)]
    return _grid([_plot(runs, plots, [one], title=one.removeprefix("eval/")) for one in names])


def speed_plots(runs: Sequence[Run], plots: Plots) -> str:
    """Speed, waiting for data, and memory."""
    return _grid([_plot(runs, plots, [key], title=_SPEED[key]) for key in _SPEED])


def _plot(runs: Sequence[Run], plots: Plots, names: Sequence[str], *, title: str) -> str:
    """One line for each run and name; nothing where no run has a value."""
    lines = []
    for run in runs:
        for name in names:
            steps, values = run.series(name)
            if any(value is not None for value in values):
                lines.append(Line(run.name if len(runs) > 1 else name, steps, values))
    return plots.lines(lines, title=title) if lines else ""


def _names(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for line in run.log for name in line))


def _is_term(name: str) -> bool:
    # Those of the other decoder layers end in their number.
    return name.startswith("loss_") and not name.rpartition("_")[2].isdigit()


def _is_score(name: str) -> bool:
    # The scores of classes, eval/IoU/road, are drawn as bars.
    return name.startswith("eval/") and name.count("/") == 1


def _grid(parts: Sequence[str]) -> str:
    content = "\n".join(part for part in parts if part)
    return f'<div class="plots">{content}</div>' if content else ""
