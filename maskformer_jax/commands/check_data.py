"""`check-data`: look for errors in a data set before they cost a run."""

from collections.abc import Sequence

from maskformer_jax.commands.parser import CommandParser, read_config
from maskformer_jax.errors import UserError


def run(argv: Sequence[str]) -> None:
    """Reads the arguments and checks one split or both.

    Raises:
        UserError: the config is wrong, or the data set has errors.
    """
    parser = CommandParser(
        "check-data",
        "Read every image and label map of a data set and report what is wrong with them.",
        config="required",
    )
    parser.add_argument(
        "--split", metavar="NAME", help="this split only; by default training and evaluation"
    )
    arguments, overrides = parser.read(argv)
    config = read_config(arguments.config, overrides)
    if arguments.split is not None:
        config.data.train_split = config.data.eval_split = arguments.split

    from maskformer_jax.data.check import check_dataset

    report = check_dataset(config)
    print(report.text())
    if report.problems:
        raise UserError(f"{config.data.root}: the data set has problems, listed above")
