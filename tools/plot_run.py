"""Plot the loss and the mIoU of a run from its metrics.jsonl.

python -m tools.plot_run runs/camvid docs/camvid.png
"""

import argparse
from pathlib import Path

from matplotlib import pyplot as plt

from maskformer_jax.metrics_file import read_metrics


def main() -> None:
    """Plot one workdir to one picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdir", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    records = read_metrics(arguments.workdir)
    if not records:
        raise SystemExit(f"error: {arguments.workdir} has no metrics.jsonl, so it is not a workdir")

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    losses = [(record["step"], record["loss"]) for record in records if "loss" in record]
    left.plot(*zip(*losses, strict=True), color="tab:blue", linewidth=1)
    left.set(xlabel="step", ylabel="loss (one batch)", ylim=(0, None))
    key = "eval/mIoU"
    scores = [(record["step"], record[key]) for record in records if key in record]
    if scores:
        right.plot(*zip(*scores, strict=True), color="tab:orange", marker="o")
    right.set(xlabel="step", ylabel="mIoU (%)", ylim=(0, 100))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(arguments.picture, dpi=120)


if __name__ == "__main__":
    main()
