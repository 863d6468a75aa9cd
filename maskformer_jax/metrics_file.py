"""Reading `metrics.jsonl`, the log of a run: one JSON object per line, each with `step`."""

import json
from pathlib import Path
from typing import Any

METRICS_FILE = "metrics.jsonl"


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """Read the complete lines of a workdir's log; one cut off by a kill is left out."""
    path = workdir / METRICS_FILE
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text("utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines
