"""`show-config`: every field of a config, its comment and where its value comes from."""

from collections.abc import Sequence

from maskformer_jax.commands.parser import CommandParser, read_config
from maskformer_jax.config.io import find_config_file
from maskformer_jax.config.show import show_config


def run(argv: Sequence[str]) -> None:
    """Parse the arguments and print the config.

    Raises:
        UserError: a file, field or value is wrong.
    """
    parser = CommandParser(
        "show-config",
        "Print every field of a config: its value, its meaning, and where the value comes from "
        "(default, a line of the config file or of the recipe it calls, or the command line).",
        config="positional",
    )
    arguments, overrides = parser.read(argv)
    config = read_config(arguments.config, overrides)
    print(show_config(config, file=find_config_file(arguments.config), overrides=overrides))
