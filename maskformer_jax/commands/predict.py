"""`predict`: segment images."""

from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.commands.parser import CommandParser, read_checkpoint_config
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
        type=Path,
        metavar="IMAGE_OR_FOLDER",
        help="images, or folders of images",
    )
    parser.add_checkpoint()
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where to write")
    arguments, overrides = parser.read(argv)
    config = read_checkpoint_config(arguments.checkpoint, arguments.config, overrides)

    from maskformer_jax.prediction.predict import predict_paths
    from maskformer_jax.pretrained import load_pretrained

    keep_programs(config.compile_cache)
    loaded = load_pretrained(arguments.checkpoint, config=config)
    predict_paths(loaded, arguments.inputs, arguments.output)
