"""`queries`: what the queries of a model specialise in."""

from collections.abc import Sequence

from maskformer_jax.atomic_write import require_writable, write_atomically
from maskformer_jax.commands.parser import CommandParser, read_checkpoint_config, user_path
from maskformer_jax.commands.required_files import require_data
from maskformer_jax.compile_cache import keep_programs


def run(argv: Sequence[str]) -> None:
    """Parse the arguments, run the model and write the page.

    Raises:
        UserError: the config, the checkpoint or the data is wrong.
    """
    parser = CommandParser(
        "queries",
        "Write a page on what each query of a model specialises in: classes, places, sizes; and "
        "for a few images the masks after each decoder layer, and the attention.",
        config="optional",
    )
    parser.add_checkpoint()
    parser.add_argument(
        "--output", type=user_path, required=True, metavar="FILE.html", help="where to write"
    )
    parser.add_argument(
        "--images",
        type=user_path,
        nargs="+",
        metavar="PATH",
        help="images or folders, in place of the evaluation split of config.data",
    )
    parser.add_argument(
        "--most", type=int, default=200, metavar="N", help="images that are looked at (200)"
    )
    parser.add_argument(
        "--shown", type=int, default=3, metavar="N", help="images that are shown by layer (3)"
    )
    arguments, overrides = parser.read(argv)
    require_writable(arguments.output.absolute().parent)
    config = read_checkpoint_config(arguments.checkpoint, arguments.config, overrides)
    if arguments.images is None:
        require_data(config)

    from maskformer_jax.inspection.queries.collect import collect, files_to_read, split_to_read
    from maskformer_jax.inspection.queries.page import queries_page
    from maskformer_jax.pretrained import load_pretrained

    keep_programs(config.compile_cache)
    loaded = load_pretrained(arguments.checkpoint, config=config)
    most = max(arguments.most, 1)
    if arguments.images is None:
        images = split_to_read(config, most=most)
    else:
        images = files_to_read(arguments.images, arguments.output, most=most)
    statistics, examples = collect(loaded, images, shown=arguments.shown)
    title = config.name or arguments.checkpoint.name
    write_atomically(arguments.output, queries_page(title, statistics, examples, loaded.categories))
    print(f"wrote {arguments.output}")
