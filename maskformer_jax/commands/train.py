"""`train`: train a model, or go on where the last checkpoint of the workdir stands."""

from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.commands.parser import CommandParser, read_config


def run(argv: Sequence[str]) -> None:
    """Reads the arguments and trains.

    Raises:
        UserError: the config, the data or a checkpoint is wrong.
    """
    parser = CommandParser(
        "train",
        "Train a model. Started again with the same workdir, it goes on where the last "
        "checkpoint stands.",
        config="required",
    )
    parser.add_argument(
        "--workdir",
        type=Path,
        required=True,
        metavar="DIR",
        help="for config.json, checkpoints/, metrics.jsonl and TensorBoard events",
    )
    parser.add_argument(
        "--report-cost",
        action="store_true",
        help="first compile the step and print the memory and operations it will take",
    )
    arguments, overrides = parser.read(argv)
    config = read_config(arguments.config, overrides)

    from maskformer_jax.training.loop import train

    if not arguments.report_cost:
        train(config, arguments.workdir)
        return

    from maskformer_jax.training.cost_report import report_cost

    train(config, arguments.workdir, before=report_cost)
