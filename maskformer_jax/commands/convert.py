"""`convert`: a published checkpoint to ours, or ours to a published one."""

from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.commands.parser import CommandParser, read_checkpoint_config


def run(argv: Sequence[str]) -> None:
    """Reads the arguments, loads the one kind and writes the other.

    Raises:
        UserError: the config or the checkpoint is wrong, or the output cannot be written.
    """
    parser = CommandParser(
        "convert",
        "Convert a checkpoint: to a published file where the output ends in .pkl or .npz, else to "
        "a workdir of ours.",
        config="optional",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="PATH",
        help="a workdir, one checkpoint in it, or a published .pkl (which needs --config)",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="PATH", help="FILE.pkl, FILE.npz or a folder"
    )
    arguments, overrides = parser.read(argv)
    config = read_checkpoint_config(arguments.checkpoint, arguments.config, overrides)

    from maskformer_jax.checkpoint_export import write_published, write_workdir
    from maskformer_jax.pretrained import load_pretrained

    loaded = load_pretrained(arguments.checkpoint, config=config)
    write = write_published if arguments.output.suffix else write_workdir
    write(loaded.variables, config, arguments.output)
    print(f"wrote {arguments.output}")
