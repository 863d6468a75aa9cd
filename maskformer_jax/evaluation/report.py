"""The report of an evaluation: a printed table and `metrics.json`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.json_files import finite


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> Path:
    """Write `metrics.json`, a flat object from metric name to value, and return its path.

    An undefined metric (nan, for example when nothing is labelled) becomes null, since JSON has no
    nan. The file is written atomically.

    Raises:
        UserError: the folder or file cannot be written.
    """
    path = folder / "metrics.json"
    text = json.dumps(finite(metrics), indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(path, text + "\n")
    return path


def report(
    table: str,
    metrics: Mapping[str, float],
    *,
    title: str,
    output: Path | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Print `title` and `table`, and write `metrics.json` to the folder `output` if there is one.

    Args:
        table: of the scores.
        metrics: by name.
        title: of the table.
        output: where `metrics.json` goes.
        details: further entries of `metrics.json`.

    Raises:
        UserError: the file cannot be written. The table has been printed by then.
    """
    print(f"{title}\n\n{table}", flush=True)
    if output is not None:
        print(f"\nwrote {write_metrics(output, {**metrics, **(details or {})})}", flush=True)
