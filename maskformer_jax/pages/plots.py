"""Interactive plots, by Plotly, which goes into the page once."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from plotly.offline import get_plotlyjs

from maskformer_jax.pages.html import Markup, asset, json_for_script


class Line(NamedTuple):
    """One line of a plot."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]


class Plots:
    """The plots of one page, and the script that draws them."""

    def __init__(self) -> None:
        self._calls: list[str] = []

    def lines(self, lines: Sequence[Line], *, title: str, log: bool = False) -> Markup:
        """Values over steps; with markers where points are few.

        Args:
            lines: drawn in this order.
            title: above the plot.
            log: whether to start with a logarithmic axis.
        """
        traces = [
            {
                "type": "scatter",
                "mode": "lines+markers" if len(line.x) <= 40 else "lines",
                "name": line.name,
                "x": list(line.x),
                "y": list(line.y),
            }
            for line in lines
        ]
        axis = {"type": "log" if log else "linear", "tickformat": "~g", "exponentformat": "e"}
        layout = {"title": title, "xaxis": {"title": "step"}, "yaxis": axis, "height": 340}
        return self._add("linear-log", traces, layout, showlegend=len(lines) > 1)

    def bars(
        self,
        names: Sequence[str],
        series: Mapping[str, Sequence[float | None]],
        *,
        colors: Sequence[str],
        title: str,
    ) -> Markup:
        """Horizontal bars in percent, which a click sorts by value or by name.

        Args:
            names: of the classes, in the data set's order.
            series: values of the classes by the name of the run; None where undefined.
            colors: of the classes, used where there is one series.
            title: above the plot.
        """
        single = len(series) == 1
        traces: list[dict[str, Any]] = [
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "y": list(names),
                "x": list(values),
                "hovertemplate": "%{y}: %{x:.2f}<extra></extra>",
                **({"marker": {"color": list(colors)}} if single else {}),
            }
            for name, values in series.items()
        ]
        layout = {
            "title": title,
            "height": max(220, 130 + 22 * len(names) * max(1, len(series))),
            "xaxis": {"range": [0, 100], "fixedrange": True},
            "yaxis": {"automargin": True, "categoryorder": "total ascending", "fixedrange": True},
        }
        return self._add("sort", traces, layout, showlegend=not single)

    def heatmap(
        self, names: Sequence[str], shares: Sequence[Sequence[float]], *, title: str
    ) -> Markup:
        """A confusion matrix in percent: rows are true classes, columns predicted ones.

        There may be more columns than rows; names are those of the columns.
        """
        trace = {
            "type": "heatmap",
            "x": list(names),
            "y": list(names[: len(shares)]),
            "z": [list(row) for row in shares],
            "zmin": 0,
            "zmax": 100,
            "colorscale": "Blues",
            "reversescale": True,  # white for none
            "hovertemplate": "%{z:.1f} % of %{y} was taken for %{x}<extra></extra>",
        }
        height = max(380, 160 + 16 * len(names))
        layout = {
            "title": title,
            "height": height,
            "xaxis": {"title": "predicted", "automargin": True, "tickangle": 45},
            "yaxis": {"title": "true", "automargin": True, "autorange": "reversed"},
        }
        return self._add("", [trace], layout, showlegend=False)

    def script(self) -> str:
        """The library and the calls; empty without a plot."""
        if not self._calls:
            return ""
        return "\n".join((get_plotlyjs(), asset("plots.js"), *self._calls))

    def _add(
        self,
        buttons: str,
        traces: Sequence[Mapping[str, Any]],
        layout: Mapping[str, Any],
        *,
        showlegend: bool,
    ) -> Markup:
        name = f"plot-{len(self._calls)}"
        layout = {**layout, "title": {"text": layout["title"]}, "showlegend": showlegend}
        for axis in ("xaxis", "yaxis"):
            if isinstance(layout[axis].get("title"), str):
                layout[axis] = {**layout[axis], "title": {"text": layout[axis]["title"]}}
        arguments = ", ".join(map(json_for_script, (name, buttons, traces, layout)))
        self._calls.append(f"drawPlot({arguments});")
        return Markup(f'<div class="plot" id="{name}"></div>')
