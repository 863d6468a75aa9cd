"""`eval`: score a checkpoint on a data set."""

from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.commands.parser import CommandParser, read_checkpoint_config


def run(argv: Sequence[str]) -> None:
    """Reads the arguments, evaluates, and prints the table.

    Raises:
        UserError: the config, the data or the checkpoint is wrong.
    """
    parser = CommandParser(
        "eval",
        "Score a checkpoint on the evaluation split of a data set.",
        config="optional",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="PATH",
        help="a workdir, one checkpoint in it, or a published .pkl (which needs --config)",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="for metrics.json")
    parser.add_argument(
        "--save-predictions",
        action="store_true",
        help="also write each image's label map to the output folder",
    )
    arguments, overrides = parser.read(argv)
    if arguments.save_predictions and arguments.output is None:
        parser.error("--save-predictions needs --output=DIR")
    config = read_checkpoint_config(arguments.checkpoint, arguments.config, overrides)

    from maskformer_jax.scoring import evaluate_checkpoint

    evaluate_checkpoint(
        config,
        arguments.checkpoint,
        output=arguments.output,
        save_predictions=arguments.save_predictions,
    )
