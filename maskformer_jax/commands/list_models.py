"""`list`: the configs that come with the package."""

from collections.abc import Sequence

from maskformer_jax.commands.parser import CommandParser
from maskformer_jax.config_io import list_config_names


def run(argv: Sequence[str]) -> None:
    """Prints one name a line."""
    CommandParser("list", "List the configs that come with the package.").read(argv)
    print("\n".join(list_config_names()))
