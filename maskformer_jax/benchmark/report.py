"""Measurements as a table and as records."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from tabulate import tabulate

from maskformer_jax.benchmark.case import Measured
from maskformer_jax.planning.chips import CHIPS, Chip

HEADERS = (
    *("model", "what", "dtype", "batch", "by", "ms (fastest, slowest)", "images/s", "memory"),
    *("compile, cached", "of the peak", "time of ours"),
)
# How JAX calls the kinds of device.
KINDS = {
    "H100": "h100",
    "H200": "h100",
    "v5 lite": "v5e",
    "v5p": "v5p",
    "v6 lite": "v6e",
    "v4": "v4",
}


def table(results: Sequence[Measured]) -> str:
    """One row for each measurement; `time of ours` is the share of its time that ours takes."""
    rows = [tuple(_cells(one, results)) for one in results]
    return tabulate(rows, headers=HEADERS, disable_numparse=True, tablefmt="github")


def record(result: Measured) -> dict[str, Any]:
    """A measurement as plain types, in seconds, bytes and operations."""
    return {
        **result.case._asdict(),
        **result.prepared._asdict(),
        "milliseconds": result.milliseconds,
        "first_ms": result.first_ms,
        "peak_bytes": result.peak_bytes,
        **result.extra,
    }


def find_chip(device: str) -> Chip | None:
    """The chip that a device is, if its peak is known."""
    return next((CHIPS[name] for kind, name in KINDS.items() if kind in device), None)


def _cells(result: Measured, results: Sequence[Measured]) -> Sequence[str]:
    case, prepared = result.case, result.prepared
    own = median(result.milliseconds)
    spread = f"{min(result.milliseconds):.4g}, {max(result.milliseconds):.4g}"
    memory = "-" if result.peak_bytes is None else f"{result.peak_bytes / 2**30:.2f} GiB"
    seconds = [prepared.cold_s, prepared.cached_s]
    compiled = ", ".join("-" if s is None else f"{s:.1f} s" for s in seconds)
    if case.side != "ours":
        compiled = f"first call {result.first_ms / 1000:.1f} s"
    chip, dtype = find_chip(prepared.device), _dtype(result)
    share = "-"
    if chip and prepared.flops and dtype == "bfloat16":
        share = f"{prepared.flops / (own / 1000) / chip.flops:.0%}"
    ours = [one for one in results if one.case == case._replace(side="ours")]
    ratio = f"{median(ours[0].milliseconds) / own:.2f}" if ours and case.side != "ours" else "-"
    per_second = f"{1000 * case.batch / own:.3g}"
    return (
        *(case.config, case.what, dtype, str(case.batch), case.side),
        *(f"{own:.4g} ({spread})", per_second, memory, compiled, share, ratio),
    )


def _dtype(result: Measured) -> str:
    settings = dict(one.split("=", 1) for one in result.case.overrides)
    return settings.get("model.compute_dtype", "float32")
