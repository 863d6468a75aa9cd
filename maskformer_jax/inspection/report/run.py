"""What a run has left in its folder, read for a report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskformer_jax.checkpoints.workdir import read_config
from maskformer_jax.config import Config
from maskformer_jax.config.io import from_json
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.report_data import REPORT_FILE
from maskformer_jax.json_files import read_json
from maskformer_jax.metrics_file import read_metrics
from maskformer_jax.run_record import read_starts

_EVALUATIONS = "eval"  # of a workdir, with a folder step_STEP for each


@dataclass(frozen=True)
class Run:
    """A workdir, or the output folder of an evaluation.

    Attributes:
        name: to tell runs apart.
        config: of the run; None where there is none.
        starts: of `run.json`, the newest last.
        log: the lines of `metrics.jsonl`.
        evaluation: `report.json` of the best evaluation, of the only one in an output folder; None
            before the first.
        folder: of that evaluation, to which its file names are relative.
    """

    name: str
    config: Config | None
    starts: Sequence[Mapping[str, Any]]
    log: Sequence[Mapping[str, Any]]
    evaluation: Mapping[str, Any] | None
    folder: Path

    def series(self, name: str) -> tuple[list[int], list[float | None]]:
        """Steps and values of all lines of the log that have this entry."""
        lines = [line for line in self.log if name in line]
        return [line["step"] for line in lines], [line[name] for line in lines]


def read_run(folder: Path) -> Run:
    """Read a workdir or the output folder of an evaluation.

    Raises:
        UserError: the folder is neither, or a file in it is damaged.
    """
    log = read_metrics(folder)
    found = _evaluations(folder, log)
    if not log and not found:
        raise UserError(
            f"{folder} has nothing to report: give a workdir (with metrics.jsonl), or the folder "
            "that `eval --output` has written (with report.json)"
        )
    evaluation, place = found[0] if found else (None, folder)
    starts, config = read_starts(folder), None
    if evaluation is not None and evaluation.get("config"):
        config, starts = from_json(json.dumps(evaluation["config"])), [evaluation["start"]]
    elif log:
        config = read_config(folder)
    return Run(
        name=folder.absolute().name,
        config=config,
        starts=starts,
        log=log,
        evaluation=evaluation,
        folder=place,
    )


def _evaluations(
    folder: Path, log: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], Path]]:
    """The evaluations of a folder, the best first, among equals the newest."""
    if (folder / REPORT_FILE).is_file():
        return [(read_json(folder / REPORT_FILE), folder)]
    steps = {line["step"] for line in log}
    files = [
        file
        for file in (folder / _EVALUATIONS).glob(f"step_*/{REPORT_FILE}")
        # A resumed run may have left evaluations of steps that it has not reached again.
        if int(file.parent.name.removeprefix("step_")) in steps
    ]
    read = [(read_json(file), file.parent) for file in files]
    return sorted(read, key=lambda one: (_main_score(one[0]), one[0]["step"]), reverse=True)


def _main_score(evaluation: Mapping[str, Any]) -> float:
    score = evaluation["scores"].get(evaluation["main_metric"])
    return -1.0 if score is None else score
