"""`train`: train a model, or resume from the last checkpoint of the workdir."""

from collections.abc import Sequence

from maskformer_jax.atomic_write import require_writable
from maskformer_jax.commands.parser import CommandParser, read_config, user_path
from maskformer_jax.commands.required_files import require_backbone_file, require_data
from maskformer_jax.compile_cache import keep_programs


def run(argv: Sequence[str]) -> None:
    """Parse the arguments and train.

    Raises:
        UserError: the config, the data or a checkpoint is wrong or missing.
    """
    parser = CommandParser(
        "train",
        "Train a model. Started again with the same workdir, it resumes from the last checkpoint.",
        config="required",
    )
    parser.add_argument(
        "--workdir",
        type=user_path,
        required=True,
        metavar="DIR",
        help="where config.json, checkpoints/, metrics.jsonl and TensorBoard events are written",
    )
    parser.add_argument(
        "--report-cost",
        action="store_true",
        help="compile the train step first and print its memory and operations",
    )
    parser.add_argument(
        "--checkpoint",
        default="",
        metavar="PATH",
        help="a whole model to start from, of any kind that eval takes; as "
        "--config.train.init_checkpoint",
    )
    arguments, overrides = parser.read(argv)
    if arguments.checkpoint:
        overrides = [*overrides, f"train.init_checkpoint={arguments.checkpoint}"]
    config = read_config(arguments.config, overrides)
    require_data(config)
    require_writable(arguments.workdir)

    from maskformer_jax.checkpoints.workdir import is_checkpoint

    if not is_checkpoint(arguments.workdir):  # else the backbone comes from the checkpoint
        require_backbone_file(config)

    from maskformer_jax.inspection.report.write import write_report
    from maskformer_jax.training.loop import train

    keep_programs(config.compile_cache)
    if arguments.report_cost:
        from maskformer_jax.training.cost_report import report_cost

        train(config, arguments.workdir, before=report_cost)
    else:
        train(config, arguments.workdir)
    write_report(arguments.workdir)
