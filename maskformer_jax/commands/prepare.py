"""`prepare`: make a data set ready for training."""

import sys
from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.commands.parser import CommandParser


def run(argv: Sequence[str]) -> None:
    """Reads the arguments and makes the data set.

    Raises:
        UserError: the folder is in use, or cannot be written.
    """
    parser = CommandParser(
        "prepare", "Make a data set ready for training. `shapes` is drawn; it needs no download."
    )
    parser.add_argument("dataset", choices=["shapes"], help="which data set")
    parser.add_argument(
        "--root", type=Path, required=True, metavar="DIR", help="the folder to make"
    )
    parser.add_argument("--num-train", type=int, default=1000, metavar="N", help="default: 1000")
    parser.add_argument("--num-val", type=int, default=200, metavar="N", help="default: 200")
    arguments, _ = parser.read(argv)

    import tensorflow_datasets as tfds

    from maskformer_jax.data.tfds_builders.shapes import prepare_shapes

    if not sys.stderr.isatty():  # a log is no place for progress bars
        tfds.disable_progress_bar()
    prepare_shapes(arguments.root, num_train=arguments.num_train, num_val=arguments.num_val)
    print(f"wrote {arguments.root}")
