"""`eval`: score a checkpoint on a data set."""

from collections.abc import Sequence

from maskformer_jax.atomic_write import require_writable
from maskformer_jax.commands.parser import CommandParser, read_checkpoint_config, user_path
from maskformer_jax.commands.required_files import require_data
from maskformer_jax.compile_cache import keep_programs
from maskformer_jax.config.fields import did_you_mean
from maskformer_jax.evaluation.prediction_formats import FORMATS


def run(argv: Sequence[str]) -> None:
    """Parse the arguments, evaluate and print the scores.

    Raises:
        UserError: the config, the data or the checkpoint is wrong or missing.
    """
    parser = CommandParser(
        "eval",
        "Score a checkpoint on the evaluation split of a data set.",
        config="optional",
    )
    parser.add_checkpoint()
    parser.add_argument(
        "--output", type=user_path, metavar="DIR", help="where metrics.json is written"
    )
    parser.add_argument(
        "--save-predictions",
        nargs="?",
        const="labels,coco",
        default="",
        metavar="FORMAT,...",
        help="also write predictions to the output folder, by default labels,coco; the formats are "
        + "; ".join(f"{name}: {files}" for name, files in FORMATS.items()),
    )
    arguments, overrides = parser.read(argv)
    if arguments.save_predictions and arguments.output is None:
        parser.error("--save-predictions needs --output=DIR")
    formats = tuple(name for name in arguments.save_predictions.split(",") if name)
    for name in formats:
        if name not in FORMATS:
            parser.error(f"--save-predictions: no format {name!r}; {did_you_mean(name, FORMATS)}")
    config = read_checkpoint_config(arguments.checkpoint, arguments.config, overrides)
    require_data(config)
    if arguments.output is not None:
        require_writable(arguments.output)

    from maskformer_jax.distributed import joined
    from maskformer_jax.inspection.report.write import write_report
    from maskformer_jax.scoring import evaluate_checkpoint

    keep_programs(config.compile_cache)
    with joined(config.distributed):
        evaluate_checkpoint(
            config,
            arguments.checkpoint,
            output=arguments.output,
            save_predictions=formats,
        )
        if arguments.output is not None:
            write_report(arguments.output)
