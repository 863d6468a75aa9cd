"use strict";
// Draws one plot in the colours of the page, again when they change between light and dark.
function drawPlot(name, buttons, traces, layout) {
  const root = document.getElementById(name);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const choices = {
    "linear-log": [
      ["linear", { "yaxis.type": "linear" }],
      ["log", { "yaxis.type": "log" }],
    ],
    sort: [
      ["by value", { "yaxis.categoryorder": "total ascending" }],
      ["by name", { "yaxis.categoryorder": "category descending" }],
      ["as in the data set", { "yaxis.categoryorder": "trace", "yaxis.autorange": "reversed" }],
    ],
  }[buttons] || [];
  const plot = document.createElement("div");
  if (choices.length) {
    const row = root.appendChild(document.createElement("div"));
    for (const [label, change] of choices) {
      const button = row.appendChild(document.createElement("button"));
      button.type = "button";
      button.textContent = label;
      button.addEventListener("click", () =>
        Plotly.relayout(plot, { "yaxis.autorange": buttons === "sort" ? true : undefined, ...change }),
      );
      row.append(" ");
    }
  }
  root.appendChild(plot);
  const colors = () => {
    const ink = dark.matches ? "#e6e6e6" : "#222";
    const grid = dark.matches ? "#444" : "#ddd";
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      "font.color": ink,
      "xaxis.gridcolor": grid,
      "yaxis.gridcolor": grid,
      "xaxis.zerolinecolor": grid,
      "yaxis.zerolinecolor": grid,
    };
  };
  const margin = { l: 60, r: 20, t: 45, b: 50 };
  const options = { responsive: true, displaylogo: false };
  Plotly.newPlot(plot, traces, { margin, font: { size: 12 }, ...layout }, options)
    .then(() => Plotly.relayout(plot, colors()))
    .then(() => { root.dataset.ready = "true"; });
  dark.addEventListener("change", () => Plotly.relayout(plot, colors()));
}
