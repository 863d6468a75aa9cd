"""Leaving a report at the end of a run."""

from pathlib import Path

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.distributed import is_primary
from maskformer_jax.inspection.report.page import report_page

REPORT_PAGE = "report.html"


def write_report(folder: Path) -> None:
    """Write `report.html` into a workdir or the output folder of an evaluation.

    Processes other than the first do nothing.

    Raises:
        UserError: a file of the run is damaged, or the page cannot be written.
    """
    if not is_primary():
        return
    path = folder / REPORT_PAGE
    write_atomically(path, report_page([folder]))
    print(f"wrote {path}", flush=True)
