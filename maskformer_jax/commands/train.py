"""`train`: train a model, or resume from the last checkpoint of the workdir."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskformer_jax.atomic_write import require_writable
from maskformer_jax.commands.parser import CommandParser, read_config, user_path
from maskformer_jax.commands.required_files import require_backbone_file, require_data
from maskformer_jax.compile_cache import keep_programs
from maskformer_jax.config import Config
from maskformer_jax.errors import UserError
from maskformer_jax.remote.address import is_address


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
        required=True,
        metavar="DIR",
        help="where config.json, checkpoints/, metrics.jsonl and TensorBoard events are written: "
        "a folder, or a gs:// or s3:// address",
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
    if not is_address(arguments.workdir):
        _train(config, user_path(arguments.workdir), arguments.report_cost, alone=False)
        return

    from maskformer_jax.remote.workdir import remote_workdir

    with remote_workdir(arguments.workdir) as workdir:
        _train(config, workdir, arguments.report_cost, alone=True)


def _train(config: Config, workdir: Path, report_cost: bool, *, alone: bool) -> None:
    require_writable(workdir)

    from maskformer_jax.checkpoints.workdir import is_checkpoint

    if not is_checkpoint(workdir):  # else the backbone comes from the checkpoint
        require_backbone_file(config)

    from maskformer_jax.inspection.report.write import write_report
    from maskformer_jax.training.loop import train

    keep_programs(config.compile_cache)

    def before(training: Any) -> None:
        if alone:
            require_one_process()
        if report_cost:
            from maskformer_jax.training import cost_report

            cost_report.report_cost(training)

    train(config, workdir, **({"before": before} if alone or report_cost else {}))
    write_report(workdir)


def require_one_process() -> None:
    """Refuse several processes, each of which would copy a folder of its own to one address.

    Raises:
        UserError: there are several.
    """
    import jax

    if jax.process_count() > 1:
        raise UserError(
            f"{jax.process_count()} processes need a --workdir that all of them see; mount the "
            "bucket (gcsfuse, mount-s3, rclone mount) and give the path"
        )
