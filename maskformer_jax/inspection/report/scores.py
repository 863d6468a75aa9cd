"""The scores of evaluations: summary, classes, confusion, segments."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maskformer_jax.inspection.report.run import Run
from maskformer_jax.pages.html import Markup, escape, swatch, table
from maskformer_jax.pages.plots import Plots

_MOST_CLASSES = 40  # of a confusion matrix that stays readable
_NO_CLASS = "no class"


def score_table(runs: Sequence[Run]) -> str:
    """The scores of the best evaluation of each run, side by side."""
    found = [run for run in runs if run.evaluation is not None]
    if not found:
        return ""
    evaluations = [_evaluation(run) for run in found]
    names = dict.fromkeys(name for one in evaluations for name in one["scores"])
    rows: list[tuple[object, ...]] = [
        ("step", *(one["step"] for one in evaluations)),
        ("images", *(one["images"] for one in evaluations)),
        ("images per second", *(f"{one['images'] / one['seconds']:.2f}" for one in evaluations)),
    ]
    rows += [(name, *(_percent(one["scores"].get(name)) for one in evaluations)) for name in names]
    return table(("", *(f"{run.name}: {_evaluation(run)['title']}" for run in found)), rows)


def class_plot(runs: Sequence[Run], plots: Plots) -> str:
    """Bars of the main metric's scores by class; several runs share a plot by metric."""
    parts = []
    by_metric: dict[str, list[Run]] = {}
    for run in runs:
        if run.evaluation is not None:
            by_metric.setdefault(_class_metric(run), []).append(run)
    for metric, members in by_metric.items():
        classes = {one["name"]: one for run in members for one in _evaluation(run)["classes"]}
        series = {
            run.name: [_evaluation(run)["by_class"].get(f"{metric}/{name}") for name in classes]
            for run in members
        }
        shown = [i for i, _ in enumerate(classes) if any(v[i] is not None for v in series.values())]
        names = list(classes)
        parts.append(
            plots.bars(
                [names[i] for i in shown],
                {name: [values[i] for i in shown] for name, values in series.items()},
                colors=[f"rgb{tuple(classes[names[i]]['color'])}" for i in shown],
                title=f"{metric} by class, %",
            )
        )
    return "\n".join(parts)


def confusion_plots(runs: Sequence[Run], plots: Plots) -> str:
    """One confusion matrix for each run that has labels."""
    parts = []
    for run in runs:
        if run.evaluation is None or not run.evaluation["confusion"]:
            continue
        names, shares = confusion_shares(run.evaluation)
        classes = run.evaluation["classes"]
        title = f"{run.name}: share of the true class's pixels, %"
        if len(names) - 1 < len(classes):
            title += f"; the {len(names) - 1} most frequent of {len(classes)} classes"
        parts.append(plots.heatmap(names, shares, title=title))
    return "\n".join(parts)


def confusion_shares(
    evaluation: Mapping[str, Any],
) -> tuple[list[str], list[list[float]]]:
    """Percent of each true class's pixels by predicted class, of the most frequent classes.

    Returns:
        Names of the columns, the last of which is for pixels without a prediction; and the rows,
        one for each of the other columns.
    """
    num_classes = len(evaluation["classes"])
    counts = np.zeros((num_classes, num_classes + 1))
    for true, found, pixels in evaluation["confusion"]:
        counts[true, found] = pixels  # -1 is the last column
    totals = counts.sum(axis=1)
    frequent = np.argsort(-totals, kind="stable")[:_MOST_CLASSES]
    labels = np.sort(frequent[totals[frequent] > 0])
    columns = [*labels.tolist(), num_classes]
    shares = [
        [float(value) for value in 100 * counts[label, columns] / totals[label]] for label in labels
    ]
    names = [evaluation["classes"][label]["name"] for label in labels.tolist()]
    return [*names, _NO_CLASS], shares


def segment_table(runs: Sequence[Run]) -> str:
    """For each thing class of a panoptic run: segments found, missed and wrong."""
    parts = []
    for run in runs:
        if run.evaluation is None or not run.evaluation["segments"]:
            continue
        rows = [
            _segment_row(one, run.evaluation)
            for one in run.evaluation["classes"]
            if one["is_thing"]
        ]
        if len(runs) > 1:
            parts.append(f"<h3>{escape(run.name)}</h3>")
        headers = ("class", "found", "missed", "wrong", "precision %", "recall %", "PQ", "AP")
        parts.append(table(headers, [row for row in rows if any(row[1:4])]))
    return "\n".join(parts)


def _segment_row(category: Mapping[str, Any], evaluation: Mapping[str, Any]) -> tuple[object, ...]:
    name = category["name"]
    counts = evaluation["segments"][name]
    found, missed, wrong = counts["found"], counts["missed"], counts["wrong"]
    return (
        Markup(swatch(category["color"]) + escape(name)),
        found,
        missed,
        wrong,
        _percent(100 * found / (found + wrong) if found + wrong else None),
        _percent(100 * found / (found + missed) if found + missed else None),
        *(_percent(evaluation["by_class"].get(f"{metric}/{name}")) for metric in ("PQ", "AP")),
    )


def _class_metric(run: Run) -> str:
    return {"semantic": "IoU", "panoptic": "PQ", "instance": "AP"}[_evaluation(run)["task"]]


def _evaluation(run: Run) -> Mapping[str, Any]:
    assert run.evaluation is not None
    return run.evaluation


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
