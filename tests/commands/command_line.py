"""Runs a command in this process, with what it calls replaced."""

import sys
from pathlib import Path
from types import SimpleNamespace

from maskformer_jax.__main__ import main

REPOSITORY = Path(__file__).parents[2]
CONFIG = "--config=camvid/maskformer_R50"
# An existing folder for the data, and no ImageNet weights: the commands look for both at the start.
FILES = (f"--config.data.root={REPOSITORY}", "--config.train.init_backbone=")


class Calls:
    """Stands in for the functions that commands call, and keeps what they are called with."""

    def __init__(self, monkeypatch):
        self.made = []
        self._monkeypatch = monkeypatch
        # Runs that are replaced leave nothing to report.
        report = SimpleNamespace(write_report=lambda folder: None)
        monkeypatch.setitem(sys.modules, "maskformer_jax.inspection.report.write", report)

    def replace(self, module: str, **results: object) -> None:
        def recorder(name: str, result: object):
            def record(*arguments: object, **options: object) -> object:
                self.made.append((name, arguments, options))
                if isinstance(result, Exception):
                    raise result
                return result

            return record

        functions = {name: recorder(name, result) for name, result in results.items()}
        self._monkeypatch.setitem(sys.modules, module, SimpleNamespace(**functions))


def run(*argv: str) -> int:
    """The exit status of a command."""
    try:
        return main(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
