"""The report of an evaluation: a printed table and `metrics.json`."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from maskformer_jax.atomic_write import write_atomically


def write_metrics(folder: Path, metrics: Mapping[str, float]) -> Path:
    """Write `metrics.json`, a flat object from metric name to value, and return its path.

    An undefined metric (nan, for example when nothing is labelled) becomes null, since JSON has no
    nan. The file is written atomically.

    Raises:
        UserError: the folder or file cannot be written.
    """
    path = folder / "metrics.json"
    finite = {
        name: float(value) if math.isfinite(value) else None for name, value in metrics.items()
    }
    write_atomically(path, json.dumps(finite, indent=2, allow_nan=False) + "\n")
    return path


def report(
    table: str, metrics: Mapping[str, float], *, title: str, output: Path | None = None
) -> None:
    """Print `title` and `table`, and write `metrics.json` to the folder `output` if there is one.

    Raises:
        UserError: the file cannot be written. The table has been printed by then.
    """
    print(f"{title}\n\n{table}", flush=True)
    if output is not None:
        print(f"\nwrote {write_metrics(output, metrics)}", flush=True)
