"""What was run: command, versions, devices, and how the config differs from its recipe."""

from collections.abc import Sequence
from typing import Any

from maskformer_jax.config import Config
from maskformer_jax.config.fields import walk_fields
from maskformer_jax.config.io import list_config_names, load_config
from maskformer_jax.inspection.report.run import Run
from maskformer_jax.pages.html import Markup, escape, table

_UNTOLD = ("name", "compile_cache", "data.root", "data.dataset")  # differ between machines


def setup_table(runs: Sequence[Run]) -> str:
    """One column for each run."""
    entries = [_entries(run) for run in runs]
    names = list(dict.fromkeys(name for one in entries for name in one))
    rows = [(name, *(one.get(name, "") for one in entries)) for name in names]
    headers = ("", *(run.name for run in runs))
    return table(headers, rows).replace("<table>", '<table class="text">')


def config_section(runs: Sequence[Run]) -> str:
    """The fields in which each config differs from its recipe, and all fields behind a click."""
    parts = []
    for run in runs:
        if run.config is None:
            continue
        if len(runs) > 1:
            parts.append(f"<h3>{escape(run.name)}</h3>")
        recipe = run.config.name
        if recipe in list_config_names():
            changed = _differences(load_config(recipe), run.config)
            parts.append(
                f"<p>As <code>{escape(recipe)}</code>, except for:</p>"
                + table(("field", "recipe", "run"), changed)
                if changed
                else f"<p>As <code>{escape(recipe)}</code>.</p>"
            )
        else:
            parts.append("<p>The recipe is the run's own.</p>")
        fields = [(field.path, field.value) for field in walk_fields(run.config)]
        parts.append(
            "<details><summary>All fields</summary>"
            + table(("field", "value"), fields)
            + "</details>"
        )
    return "\n".join(parts)


def _entries(run: Run) -> dict[str, object]:
    entries: dict[str, object] = {}
    if run.config is not None:
        entries["recipe"] = run.config.name or "own"
    if run.starts:
        last = run.starts[-1]
        entries["command"] = Markup(f"<code>{escape(last['command'])}</code>")
        if len(run.starts) > 1:
            entries["starts"] = f"{len(run.starts)}, first {run.starts[0]['time']}"
        entries["started"] = last["time"]
        entries["devices"] = last["devices"]
        if last["processes"] > 1:
            entries["processes"] = last["processes"]
        entries["versions"] = ", ".join(f"{k} {v}" for k, v in last["versions"].items())
        entries["system"] = f"{last['system']}, Python {last['python']}"
    if run.log:
        entries["last step"] = run.log[-1]["step"]
    return entries


def _differences(recipe: Config, config: Config) -> list[tuple[str, Any, Any]]:
    before = {field.path: field.value for field in walk_fields(recipe)}
    after = {field.path: field.value for field in walk_fields(config)}
    return [
        (path, before.get(path, "-"), after.get(path, "-"))
        for path in dict.fromkeys((*before, *after))
        if before.get(path) != after.get(path) and path not in _UNTOLD
    ]
