"""Parsing a command's arguments, overrides of config fields among them."""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NoReturn

from maskformer_jax.config import Config
from maskformer_jax.config.check import check_config
from maskformer_jax.config.fields import did_you_mean, walk_fields
from maskformer_jax.config.io import load_config
from maskformer_jax.config.overrides import apply_overrides
from maskformer_jax.config.paths import expand_home
from maskformer_jax.config.show import list_fields
from maskformer_jax.errors import UserError
from maskformer_jax.remote.address import is_address

_OVERRIDE = "--config."
_HELP_CONFIG = "--help-config"


class CommandParser(argparse.ArgumentParser):
    """An argument parser that suggests the closest flag where one is unknown.

    Args:
        command: What people type after `python -m maskformer_jax`.
        summary: What the command does, in a sentence or more.
        config: How it takes a config, and with it `--config.A.B=VALUE`: as the flag `--config`,
            "required" or "optional", or as a "positional" argument; None: not at all.
    """

    def __init__(
        self,
        command: str,
        summary: str,
        *,
        config: Literal["required", "optional", "positional"] | None = None,
    ) -> None:
        self._flags: list[str] = []
        super().__init__(
            prog=f"python -m maskformer_jax {command}",
            description="\n".join(textwrap.fill(line, 100) for line in summary.splitlines()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._takes_config = config is not None
        file_or_name = "a file such as configs/camvid/maskformer_R50.py, or a name from `list`"
        if config == "positional":
            self.add_argument("config", metavar="CONFIG", help=file_or_name)
        elif config:
            self.add_argument(
                "--config", required=config == "required", metavar="CONFIG", help=file_or_name
            )
            self.add_argument(
                _HELP_CONFIG,
                action="store_true",
                help="list all fields of the config, with their values and types, and exit",
            )
        if config:
            self.add_argument(
                f"{_OVERRIDE}A.B",
                metavar="VALUE",
                dest="_shown_in_help_only",
                help="set one field of the config, such as --config.train.batch_size=8",
            )

    def add_argument(self, *names: str, **options: object) -> argparse.Action:  # type: ignore[override]
        """As argparse's; remembers the flags, to suggest one of them for a misspelt one."""
        self._flags += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **options)  # type: ignore[arg-type]

    def add_checkpoint(self) -> None:
        """Add `--checkpoint=PATH`, of any kind that `load_pretrained` takes."""
        self.add_argument(
            "--checkpoint",
            type=checkpoint_path,
            required=True,
            metavar="PATH",
            help="a workdir, one checkpoint in it (a step, best or last), a Hugging Face folder, "
            "or a published .pkl (or its tensors in a .pth, .safetensors or .npz), which needs "
            "--config",
        )

    def read(self, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Parse the arguments; returns them, and the overrides as `A.B=VALUE`.

        Raises:
            SystemExit: with status 2 after a usage mistake, 0 after `--help` or `--help-config`.
            UserError: the config whose fields `--help-config` lists is wrong.
        """
        rest, overrides = self._split_overrides(argv) if self._takes_config else (argv, [])
        self._refuse_unknown_flags(rest)
        if self._takes_config and _HELP_CONFIG in rest:
            _print_fields(rest, overrides)
            raise SystemExit(0)
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
        # Ahead of argparse, which would report the required flag as missing instead of the
        # misspelt one as unknown.
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
        """Print the mistake and how to get help, and exit with status 2."""
        print(f"error: {message}\nFor all options: {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def read_config(path_or_name: str, overrides: Sequence[str]) -> Config:
    """Load a config, apply the overrides and check the result.

    Raises:
        UserError: a file, field or value is wrong.
    """
    return override_config(load_config(path_or_name), overrides)


def read_checkpoint_config(
    checkpoint: Path, path_or_name: str | None, overrides: Sequence[str]
) -> Config:
    """As `read_config`; where no config is given, the one stored beside the checkpoint.

    Raises:
        UserError: a file, field or value is wrong, or a config is needed and none is given.
    """
    if path_or_name is not None:
        return read_config(path_or_name, overrides)

    from maskformer_jax.checkpoints.load import find_config

    return override_config(find_config(checkpoint), overrides)


def user_path(text: str) -> Path:
    """A path as typed, with `~` for the home folder.

    Raises:
        UserError: it is an address of an object store.
    """
    if is_address(text):
        raise UserError(
            f"{text}: only train's --workdir and --checkpoint take addresses; mount the bucket "
            "(gcsfuse, mount-s3, rclone mount) and give the path"
        )
    return Path(text).expanduser()


def checkpoint_path(text: str) -> Path:
    """The path of a checkpoint; one at an address of an object store is copied first.

    Raises:
        UserError: the store cannot be read.
    """
    if not is_address(text):
        return user_path(text)

    from maskformer_jax.remote.workdir import fetch_checkpoint

    return fetch_checkpoint(text)


def override_config(config: Config, overrides: Sequence[str]) -> Config:
    """Apply overrides to a config, expand `~` in its paths, and check it.

    Raises:
        UserError: a field or value is wrong.
    """
    config = expand_home(apply_overrides(config, overrides))
    check_config(config)
    return config


def _print_fields(argv: Sequence[str], overrides: Sequence[str]) -> None:
    """List the fields of the named config, or else those of the default config."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config")
    path_or_name = parser.parse_known_args(argv)[0].config
    config = load_config(path_or_name) if path_or_name else Config()
    print(f"fields of {path_or_name or 'the default config'}, their values and types:")
    print(list_fields(apply_overrides(config, overrides)))
    print("Comments and origins of values: python -m maskformer_jax show-config CONFIG")
