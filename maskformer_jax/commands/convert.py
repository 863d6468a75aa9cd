"""`convert`: between published checkpoints, Hugging Face folders and workdirs of ours."""

from collections.abc import Sequence

from maskformer_jax.atomic_write import require_writable
from maskformer_jax.commands.parser import CommandParser, read_checkpoint_config, user_path


def run(argv: Sequence[str]) -> None:
    """Parse the arguments, load the checkpoint and write it in the other form.

    Raises:
        UserError: the config or the checkpoint is wrong, or the output cannot be written.
    """
    parser = CommandParser(
        "convert",
        "Convert a checkpoint: to a published file if the output ends in .pkl, .npz or "
        ".safetensors, otherwise to a folder.",
        config="optional",
    )
    parser.add_checkpoint()
    parser.add_argument(
        "--output",
        type=user_path,
        required=True,
        metavar="PATH",
        help="FILE.pkl, FILE.npz, FILE.safetensors, or FOLDER",
    )
    parser.add_argument(
        "--format",
        choices=("workdir", "huggingface"),
        help="form of an output folder: a workdir of ours (default), or a model that transformers "
        "loads",
    )
    parser.add_argument(
        "--naming",
        choices=("released", "current"),
        help="tensor names in a published file: those of the released files (default), or those of "
        "the current published code",
    )
    arguments, overrides = parser.read(argv)
    is_file = bool(arguments.output.suffix)
    if arguments.format and is_file:
        parser.error(f"--format is for folders, but --output={arguments.output} has a suffix")
    if arguments.naming and not is_file:
        parser.error(f"--naming is for files, but --output={arguments.output} has no suffix")
    require_writable(arguments.output.parent)
    config = read_checkpoint_config(arguments.checkpoint, arguments.config, overrides)

    from maskformer_jax.checkpoints import export
    from maskformer_jax.pretrained import load_pretrained

    output = arguments.output
    loaded = load_pretrained(arguments.checkpoint, config=config)
    if is_file:
        options = {"naming": arguments.naming} if arguments.naming else {}
        export.write_published(loaded.variables, config, output, **options)
    elif arguments.format == "huggingface":
        names = [category.name for category in loaded.categories]
        export.write_huggingface(loaded.variables, config, output, label_names=names)
    else:
        export.write_workdir(loaded.variables, config, output, loaded.categories)
    print(f"wrote {output}")
