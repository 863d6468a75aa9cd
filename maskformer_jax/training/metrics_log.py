"""The metrics of a run, in `metrics.jsonl` and in trackers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskformer_jax.errors import UserError
from maskformer_jax.json_files import finite
from maskformer_jax.metrics_file import METRICS_FILE, read_metrics
from maskformer_jax.training.trackers import open_trackers


class MetricsLog:
    """Appends one JSON object per line, each with `step`, and the same numbers to trackers.

    Floats are written so that they read back exactly. A context manager.

    Args:
        workdir: the folder of `metrics.jsonl` and `tensorboard/`.
        resume_step: the step the run resumes from. Lines of later steps are removed first: a run
            that was killed may have logged steps after its last checkpoint.
        enabled: False writes nothing; for all processes but the first.
        trackers: services that get the same numbers, see `train.trackers`.
        config: the fields of the run by their path, for these services.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        resume_step: int,
        enabled: bool = True,
        trackers: Sequence[str] = (),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._path = workdir / METRICS_FILE
        self._enabled = enabled
        if not enabled:
            return
        workdir.mkdir(parents=True, exist_ok=True)
        _drop_after(self._path, resume_step)
        self._file = self._path.open("a", encoding="utf-8")
        self._trackers = open_trackers(
            trackers, workdir, first_step=resume_step + 1, config=config or {}
        )

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._enabled:
            return
        failure: OSError | None = None
        for close in (self._file.close, *(tracker.close for tracker in self._trackers)):
            try:
                close()
            except OSError as error:
                failure = failure or error
        if failure is not None and exception[0] is None:
            raise failure

    def write(
        self, step: int, values: dict[str, Any], details: dict[str, Any] | None = None
    ) -> None:
        """Write one line, and an event for each of the values.

        Args:
            step: of the run.
            values: numbers by name; those that are not finite become null.
            details: further numbers of the line, which are too many for events.

        Raises:
            UserError: the file cannot be written, for example because the disk is full.
        """
        if not self._enabled:
            return
        try:
            line = finite({"step": step, **values, **(details or {})})
            self._file.write(json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise UserError(f"cannot write {self._path}: {error.strerror or error}") from error
        numbers = {name: line[name] for name in values if line[name] is not None}
        for tracker in self._trackers:
            tracker.scalars(step, numbers)

    def picture(self, step: int, name: str, image: Any) -> None:
        """Show a picture, uint8 RGB [H, W, 3], in the trackers."""
        if self._enabled:
            for tracker in self._trackers:
                tracker.picture(step, name, image)


def was_evaluated(workdir: Path, step: int) -> bool:
    """Whether the log has the scores of an evaluation at that step."""
    return any(
        line["step"] == step and any(name.startswith("eval/") for name in line)
        for line in read_metrics(workdir)
    )


def _drop_after(path: Path, step: int) -> None:
    if not path.is_file():
        return
    lines = [finite(line) for line in read_metrics(path.parent) if line["step"] <= step]
    kept = [json.dumps(line, ensure_ascii=False) for line in lines]
    temporary = path.with_suffix(".tmp")
    temporary.write_text(encoding="utf-8", data="".join(line + "\n" for line in kept))
    temporary.replace(path)
