"""`report`: what a run did and how good it is, as one page."""

from collections.abc import Sequence

from maskformer_jax.atomic_write import require_writable, write_atomically
from maskformer_jax.commands.parser import CommandParser, user_path


def run(argv: Sequence[str]) -> None:
    """Parse the arguments and write the page.

    Raises:
        UserError: a folder is not that of a run, or the page cannot be written.
    """
    parser = CommandParser(
        "report",
        "Write one HTML page about a run: what was run, losses, scores by class, confusion, the "
        "worst images. It needs no network. Several runs are compared side by side.",
    )
    parser.add_argument(
        "folders",
        nargs="+",
        type=user_path,
        metavar="WORKDIR",
        help="a workdir, or the output folder of an evaluation",
    )
    parser.add_argument(
        "--output",
        type=user_path,
        metavar="FILE.html",
        help="default: report.html in the first WORKDIR",
    )
    arguments, _ = parser.read(argv)
    output = arguments.output or arguments.folders[0] / "report.html"

    from maskformer_jax.inspection.report.page import report_page

    text = report_page(arguments.folders)
    require_writable(output.absolute().parent)
    write_atomically(output, text)
    print(f"wrote {output}")
