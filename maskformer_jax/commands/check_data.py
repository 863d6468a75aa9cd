"""`check-data`: find errors in a data set before they cost a run."""

from collections.abc import Sequence

from maskformer_jax.atomic_write import require_writable, write_atomically
from maskformer_jax.commands.parser import CommandParser, read_config, user_path
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
    parser.add_argument(
        "--page",
        type=user_path,
        metavar="FILE.html",
        help="also write a page with the findings and pictures of the worst cases",
    )
    arguments, overrides = parser.read(argv)
    if arguments.page is not None:
        require_writable(arguments.page.absolute().parent)
    config = read_config(arguments.config, overrides)
    if arguments.split is not None:
        config.data.train_split = config.data.eval_split = arguments.split

    from maskformer_jax.data.check import check_dataset

    report = check_dataset(config)
    print(report.text())
    if arguments.page is not None:
        from maskformer_jax.inspection.check_page import check_page

        write_atomically(arguments.page, check_page(report, config.data))
        print(f"\nwrote {arguments.page}")
    if report.problems:
        raise UserError(f"{config.data.root}: the data set has problems; they are listed above")
