"""`check-data`: find errors in a data set before they cost a run."""

from collections.abc import Sequence

from maskformer_jax.commands.parser import CommandParser, read_config
from maskformer_jax.errors import UserError


def run(argv: Sequence[str]) -> None:
    """Parse the arguments and check one split or both.

    Raises:
        UserError: the config is wrong, or the data set has problems.
    """
    parser = CommandParser(
        "check-data",
        "Read every image and annotation of a data set and report all errors.",
        config="required",
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="check only this split; default: the training and the evaluation split",
    )
    arguments, overrides = parser.read(argv)
    config = read_config(arguments.config, overrides)
    if arguments.split is not None:
        config.data.train_split = config.data.eval_split = arguments.split

    from maskformer_jax.data.check import check_dataset

    report = check_dataset(config)
    print(report.text())
    if report.problems:
        raise UserError(f"{config.data.root}: the data set has problems; they are listed above")
