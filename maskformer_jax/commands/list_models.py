"""`list`: the configs that come with the package, with size, cost and result of each model."""

from collections.abc import Sequence

from tabulate import tabulate

from maskformer_jax.commands.parser import CommandParser
from maskformer_jax.config.io import list_config_names
from maskformer_jax.zoo.records import ModelFacts, read_model_zoo

HEADERS = ("config", "parameters", "multiply-adds", "input size", "published")
DESCRIPTION = (
    "List the configs that come with the package: trainable parameters, multiply-adds of inference "
    "on one image of the input size (height x width), and the published result, with multi-scale "
    "inference in brackets."
)


def run(argv: Sequence[str]) -> None:
    """Print a table with one row for each config."""
    CommandParser("list", DESCRIPTION).read(argv)
    zoo = read_model_zoo()
    rows = [(name, *describe(zoo.get(name))) for name in list_config_names()]
    align = ("left", "right", "right", "right", "left")
    print(tabulate(rows, headers=HEADERS, colalign=align, disable_numparse=True))


def describe(facts: ModelFacts | None) -> tuple[str, str, str, str]:
    """The cells of a row after the name; dashes where nothing is known."""
    if facts is None:
        return "-", "-", "-", "-"
    height, width = facts.input_size
    published = "-" if facts.value is None else f"{facts.metric} {facts.value}"
    if facts.several_scales is not None:
        published += f" ({facts.several_scales})"
    return (
        f"{facts.parameters / 1e6:.1f} M",
        f"{facts.multiply_adds / 1e9:.1f} G",
        f"{height}x{width}",
        published,
    )
