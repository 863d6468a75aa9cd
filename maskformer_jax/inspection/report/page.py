"""The page of a report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskformer_jax.errors import UserError
from maskformer_jax.inspection.report.curves import score_plots, speed_plots, training_plots
from maskformer_jax.inspection.report.run import Run, read_run
from maskformer_jax.inspection.report.scores import (
    class_plot,
    confusion_plots,
    score_table,
    segment_table,
)
from maskformer_jax.inspection.report.setup import config_section, setup_table
from maskformer_jax.pages.html import data_url, escape, page, section
from maskformer_jax.pages.plots import Plots
from maskformer_jax.pages.segments import Layer, Viewers


def report_page(folders: Sequence[Path]) -> str:
    """Make the page of one run, or of several side by side.

    Args:
        folders: workdirs, or output folders of evaluations.

    Raises:
        UserError: a folder is neither, or a file in it is missing or damaged.
    """
    runs = [read_run(folder) for folder in folders]
    runs = _with_distinct_names(runs)
    plots, viewers = Plots(), Viewers()
    title = " and ".join(run.name for run in runs)
    parts = [
        f"<h1>{escape(title)}</h1>",
        section("Scores", score_table(runs)),
        section("Training", training_plots(runs, plots)),
        section("Evaluations", score_plots(runs, plots)),
        section("Classes", class_plot(runs, plots)),
        section("Confusion", confusion_plots(runs, plots)),
        section("Things", segment_table(runs)),
        section("Images with the lowest scores", _examples(runs, viewers)),
        section("Speed and memory", speed_plots(runs, plots)),
        section("What was run", setup_table(runs)),
        section("Config", config_section(runs)),
    ]
    return page(title, parts, scripts=[s for s in (plots.script(), viewers.script()) if s])


def _with_distinct_names(runs: Sequence[Run]) -> list[Run]:
    names = [run.name for run in runs]
    return [
        Run(**{**vars(run), "name": f"{run.name} ({number})"}) if names.count(run.name) > 1 else run
        for number, run in enumerate(runs, start=1)
    ]


def _examples(runs: Sequence[Run], viewers: Viewers) -> str:
    """The worst images of the first run, then of the others, each with the predictions of all."""
    by_run = [
        {one["image_id"]: one for one in run.evaluation["examples"]}
        if run.evaluation is not None
        else {}
        for run in runs
    ]
    parts = []
    for image_id in dict.fromkeys(name for examples in by_run for name in examples):
        layers: list[Layer] = []
        scores, image, truth = [], "", None
        for run, examples in zip(runs, by_run, strict=True):
            if image_id not in examples:
                continue
            example = examples[image_id]
            image = image or _url(run.folder / example["image"], "image/jpeg")
            metric = run.evaluation["main_metric"] if run.evaluation is not None else ""
            name = f"{run.name}: " if len(runs) > 1 else ""
            scores.append(f"{name}{metric} {example['score']:.1f}")
            for layer in example["layers"]:
                if layer["name"] == "prediction":
                    layers.append(_layer(run, layer, f"{name}prediction"))
                else:
                    truth = _layer(run, layer, layer["name"])
        layers += [] if truth is None else [truth]
        parts.append(viewers.add(image, layers, caption=f"{image_id}: {', '.join(scores)}"))
    hint = '<p class="note">Hover to read a segment, click a name to hide it.</p>'
    return hint + "\n".join(parts) if parts else ""


def _layer(run: Run, layer: Mapping[str, Any], name: str) -> Layer:
    return Layer(name, _url(run.folder / layer["map"], "image/png"), layer["segments"])


def _url(file: Path, kind: str) -> str:
    try:
        return data_url(file.read_bytes(), kind)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
