"""Reading a command's arguments, config overrides among them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from maskformer_jax.config import Config
from maskformer_jax.config.check import check_config
from maskformer_jax.config.fields import describe_type, did_you_mean, walk_fields
from maskformer_jax.config.io import load_config
from maskformer_jax.config.overrides import apply_overrides

_OVERRIDE = "--config."


class CommandParser(argparse.ArgumentParser):
    """An argument parser that names the nearest flag where one is unknown.

    Args:
        command: What people type after `python -m maskformer_jax`.
        summary: What the command does, in a sentence or more.
        config: Whether it takes `--config` and `--config.A.B=VALUE`; "required" or "optional".
    """

    def __init__(self, command: str, summary: str, *, config: str | None = None) -> None:
        self._flags: list[str] = []
        super().__init__(
            prog=f"python -m maskformer_jax {command}",
            description=summary,
            epilog=_describe_fields() if config else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._takes_config = config is not None
        if config:
            self.add_argument(
                "--config",
                required=config == "required",
                metavar="CONFIG",
                help="a file such as configs/camvid/maskformer_R50.py, or a name from `list`",
            )
            self.add_argument(
                "--config.A.B",
                metavar="VALUE",
                dest="_shown_in_help_only",
                help="set one field of the config; all fields are listed below",
            )

    def add_argument(self, *names: str, **options: object) -> argparse.Action:  # type: ignore[override]
        """As argparse's; remembers the flags so that a typo can be answered with the near one."""
        self._flags += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **options)  # type: ignore[arg-type]

    def add_checkpoint(self) -> None:
        """Adds `--checkpoint=PATH`, of any kind that `load_pretrained` takes."""
        self.add_argument(
            "--checkpoint",
            type=Path,
            required=True,
            metavar="PATH",
            help="a workdir, one checkpoint in it, a Hugging Face folder, or a published .pkl (or "
            "its tensors in a .pth, .safetensors or .npz), which needs --config",
        )

    def read(self, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """The arguments, and the overrides as `A.B=VALUE`. A usage mistake exits with status 2."""
        rest, overrides = self._split_overrides(argv) if self._takes_config else (argv, [])
        self._refuse_unknown_flags(rest)
        return self.parse_args(rest), overrides

    def _split_overrides(self, argv: Sequence[str]) -> tuple[list[str], list[str]]:
        rest, overrides = [], []
        remaining = list(argv)
        while remaining:
            argument = remaining.pop(0)
            if not argument.startswith(_OVERRIDE):
                rest.append(argument)
                continue
            if "=" not in argument:
                if not remaining or remaining[0].startswith("--"):
                    self.error(f"{argument} needs a value: {argument}=VALUE")
                argument = f"{argument}={remaining.pop(0)}"
            overrides.append(argument.removeprefix(_OVERRIDE))
        return rest, overrides

    def _refuse_unknown_flags(self, argv: Sequence[str]) -> None:
        # Before argparse looks: it would speak of the required flag that is missing, and not of
        # the misspelt one that stands there.
        for argument in argv:
            flag = argument.partition("=")[0]
            if argument == "--":
                return
            if not flag.startswith("--") or flag in self._flags:
                continue
            fields = [field.path for field in walk_fields(Config())] if self._takes_config else []
            if flag.removeprefix("--") in fields:
                self.error(f"unknown flag {flag}; did you mean {_OVERRIDE}{flag[2:]}?")
            self.error(f"unknown flag {flag}; {did_you_mean(flag, self._flags)}")

    def error(self, message: str) -> NoReturn:
        """Prints the mistake and how to get help, and exits with status 2."""
        print(f"error: {message}\nFor all options: {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def read_config(path_or_name: str, overrides: Sequence[str]) -> Config:
    """Loads a config, applies the overrides and checks the result.

    Raises:
        UserError: a file, field or value is wrong.
    """
    return _override(load_config(path_or_name), overrides)


def read_checkpoint_config(
    checkpoint: Path, path_or_name: str | None, overrides: Sequence[str]
) -> Config:
    """As `read_config`; without a config, the one that lies beside the checkpoint.

    Raises:
        UserError: a file, field or value is wrong, or a config is needed and none is given.
    """
    if path_or_name is not None:
        return read_config(path_or_name, overrides)

    from maskformer_jax.checkpoints.load import find_config

    return _override(find_config(checkpoint), overrides)


def _override(config: Config, overrides: Sequence[str]) -> Config:
    config = apply_overrides(config, overrides)
    check_config(config)
    return config


def _describe_fields() -> str:
    lines = [
        "fields of a config, their types and, where the config file does not set them, values:"
    ]
    for field in walk_fields(Config()):
        value = field.value if field.value != "" else '""'
        lines.append(
            f"  {_OVERRIDE}{field.path}={value}".ljust(60) + f"  {describe_type(field.hint)}"
        )
    return "\n".join(lines)
