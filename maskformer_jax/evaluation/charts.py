"""Charts of an evaluation: scores by class, and the confusion matrix."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, UInt8
from PIL import Image

from maskformer_jax.categories import Category

_MAX_BARS = 60  # of a bar chart that stays readable
_MAX_ROWS = 40  # of a readable confusion matrix


def class_chart(
    values: Float[np.ndarray, " k"], categories: Sequence[Category], *, title: str
) -> UInt8[np.ndarray, "h w 3"]:
    """One bar per class with a value, the best on top; the 60 lowest if there are more.

    Args:
        values: percent, nan for classes without a value.
        categories: K categories in label order.
        title: such as "IoU by class".
    """
    labels = [int(i) for i in np.argsort(-np.nan_to_num(values)) if not np.isnan(values[i])]
    shown = labels[-_MAX_BARS:]
    if len(shown) < len(labels):
        title = f"{title}, the lowest {len(shown)} of {len(labels)}"
    figure, axes = _figure(8.0, 1.2 + 0.24 * max(len(shown), 2))
    places = np.arange(len(shown))[::-1]
    colors = [np.array(categories[i].color) / 255 for i in shown]
    axes.barh(places, [values[i] for i in shown], color=colors, edgecolor="0.3", linewidth=0.4)
    axes.set_yticks(places, [categories[i].name for i in shown], fontsize=9)
    for place, label in zip(places, shown, strict=True):
        axes.text(values[label] + 1, place, f"{values[label]:.1f}", va="center", fontsize=8)
    axes.set_xlim(0, 109)
    axes.set_xticks(range(0, 101, 20))
    axes.set_ylim(-0.7, max(len(shown), 1) - 0.3)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=11)
    return _render(figure)


def confusion_chart(
    confusion: Int64[np.ndarray, "k_plus_1 k_plus_1"], categories: Sequence[Category]
) -> UInt8[np.ndarray, "h w 3"]:
    """Predicted classes of each true class's pixels, in percent; the 40 most frequent classes.

    Args:
        confusion: of `SemanticMetric`; void and missing predictions are left out.
        categories: K categories in label order.
    """
    counts = confusion[:-1, :-1].T.astype(float)  # rows: true classes
    counts_of = counts.sum(axis=1)
    frequent = [i for i in np.argsort(-counts_of, kind="stable").tolist() if counts_of[i]]
    present = np.sort(np.array(frequent[:_MAX_ROWS], int))
    shares = 100 * counts[np.ix_(present, present)] / counts_of[present, None]
    number = len(present)
    title = "Confusion, % of the true class's pixels"
    if number < len(frequent):
        title += f"; the {number} most frequent of {len(frequent)} classes"
    side = float(np.clip(1.8 + 0.36 * number, 3.5, 16))
    figure, axes = _figure(side + 1.2, side)
    # The square root makes small confusions visible.
    image = axes.imshow(np.sqrt(shares / 100), cmap="Blues", vmin=0, vmax=1)
    names = [categories[i].name for i in present.tolist()]
    axes.set_xticks(
        range(number), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8
    )
    axes.set_yticks(range(number), names, fontsize=8)
    for row, column in zip(*np.nonzero(shares >= 0.5), strict=True):
        share = shares[row, column]
        ink = "white" if share > 36 else "black"
        axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=ink, fontsize=7)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=11)
    bar = figure.colorbar(image, ax=axes, shrink=0.7)
    bar.set_ticks([0, 0.1**0.5, 0.25**0.5, 0.5**0.5, 1], labels=["0", "10", "25", "50", "100"])
    return _render(figure)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    # Avoids pyplot, which keeps global state. Imported here since it takes half a second.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _render(figure: Any) -> UInt8[np.ndarray, "h w 3"]:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.array(Image.open(buffer).convert("RGB"))
