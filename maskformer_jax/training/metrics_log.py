"""The metrics of a run, in `metrics.jsonl` and as TensorBoard events."""

import json
import sys
from pathlib import Path
from typing import Any

from maskformer_jax.errors import UserError
from maskformer_jax.json_files import finite
from maskformer_jax.metrics_file import METRICS_FILE, read_metrics


class MetricsLog:
    """Appends one JSON object per line, each with `step`, and the same numbers to TensorBoard.

    Floats are written so that they read back exactly. A context manager.

    Args:
        workdir: the folder of `metrics.jsonl` and `tensorboard/`.
        resume_step: the step the run resumes from. Lines of later steps are removed first: a run
            that was killed may have logged steps after its last checkpoint.
        enabled: False writes nothing; for all processes but the first.
    """

    def __init__(self, workdir: Path, *, resume_step: int, enabled: bool = True) -> None:
        self._path = workdir / METRICS_FILE
        self._enabled = enabled
        if not enabled:
            return
        workdir.mkdir(parents=True, exist_ok=True)
        _drop_after(self._path, resume_step)
        self._file = self._path.open("a", encoding="utf-8")
        self._events = _open_events(workdir / "tensorboard", first_step=resume_step + 1)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._enabled:
            return
        try:
            self._file.close()
            self._events.close()
        except OSError:
            # tensorboardX would try again when the process ends, and print that it failed again.
            self._events.file_writer.event_writer = _Closed()
            if exception[0] is None:
                raise

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
        for name, value in values.items():
            if line[name] is None:  # tensorboardX would warn of it
                continue
            self._events.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: Any) -> None:
        """Add a picture, uint8 RGB [H, W, 3], to TensorBoard."""
        if self._enabled:
            self._events.add_image(name, image, step, dataformats="HWC")


class _Closed:
    """Stands in for an event writer that could not be closed."""

    def close(self) -> None:
        """Do nothing."""


def was_evaluated(workdir: Path, step: int) -> bool:
    """Whether the log has the scores of an evaluation at that step."""
    return any(
        line["step"] == step and any(name.startswith("eval/") for name in line)
        for line in read_metrics(workdir)
    )


def _open_events(folder: Path, *, first_step: int) -> Any:
    # tensorboardX imports PyTorch if it is installed, which takes seconds and is not needed here.
    # None marks a module as not importable, which tensorboardX handles.
    absent = "torch" not in sys.modules
    if absent:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        from tensorboardX import SummaryWriter
    finally:
        if absent:
            del sys.modules["torch"]
    return SummaryWriter(str(folder), purge_step=first_step)


def _drop_after(path: Path, step: int) -> None:
    if not path.is_file():
        return
    lines = [finite(line) for line in read_metrics(path.parent) if line["step"] <= step]
    kept = [json.dumps(line, ensure_ascii=False) for line in lines]
    temporary = path.with_suffix(".tmp")
    temporary.write_text(encoding="utf-8", data="".join(line + "\n" for line in kept))
    temporary.replace(path)
