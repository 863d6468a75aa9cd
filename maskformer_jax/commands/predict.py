"""`predict`: segment images."""

from collections.abc import Sequence

from maskformer_jax.atomic_write import require_writable
from maskformer_jax.commands.parser import CommandParser, read_checkpoint_config, user_path
from maskformer_jax.compile_cache import keep_programs


def run(argv: Sequence[str]) -> None:
    """Parse the arguments, load the checkpoint and segment the images.

    Raises:
        UserError: the config, the checkpoint or an image is wrong.
    """
    parser = CommandParser(
        "predict",
        "Segment images: write an overlay picture, a label map and a JSON of segments for each.",
        config="optional",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=user_path,
        metavar="IMAGE_OR_FOLDER",
        help="images, or folders of images",
    )
    parser.add_checkpoint()
    parser.add_argument(
        "--output", type=user_path, required=True, metavar="DIR", help="where to write"
    )
    arguments, overrides = parser.read(argv)
    config = read_checkpoint_config(arguments.checkpoint, arguments.config, overrides)

    from maskformer_jax.prediction.predict import predict_paths
    from maskformer_jax.pretrained import load_pretrained

    require_writable(arguments.output)
    keep_programs(config.compile_cache)
    loaded = load_pretrained(arguments.checkpoint, config=config)
    records = predict_paths(loaded, arguments.inputs, arguments.output, settings=config.eval)
    if records:
        print(f"wrote {len(records)} overlays and predictions.json to {arguments.output}")
