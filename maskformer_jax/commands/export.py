"""`export`: a model as one file that runs without this package."""

import re
from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.atomic_write import require_writable
from maskformer_jax.commands.parser import CommandParser, read_checkpoint_config, user_path
from maskformer_jax.errors import UserError

_SIZES = ("480x640", "640x480", "768x1024", "1024x768", "720x1280", "1080x1920")


def run(argv: Sequence[str]) -> None:
    """Parse the arguments, load the checkpoint and write the file.

    Raises:
        UserError: the config, the checkpoint or a size is wrong, or the file cannot be written.
    """
    parser = CommandParser(
        "export",
        "Write a model with pre-processing, post-processing and weights into one file, which runs "
        "on CPUs, GPUs and TPUs wherever JAX is installed.",
        config="optional",
    )
    parser.add_checkpoint()
    parser.add_argument(
        "--output", type=user_path, required=True, metavar="FILE.zip", help="where to write"
    )
    parser.add_argument(
        "--size",
        action="append",
        metavar="HxW",
        help="largest height and width of the images of one program; may be given several times "
        f"(default: {', '.join(_SIZES)})",
    )
    parser.add_argument(
        "--images",
        type=user_path,
        metavar="FOLDER",
        help="choose the sizes so that the images of this folder fit, instead of --size",
    )
    parser.add_argument(
        "--programs", type=int, default=4, metavar="N", help="at most, with --images (4)"
    )
    arguments, overrides = parser.read(argv)
    if arguments.images is not None and arguments.size:
        parser.error("--size and --images exclude each other")
    sizes = [_read_size(text) for text in arguments.size or _SIZES]
    output: Path = arguments.output
    require_writable(output.absolute().parent)
    config = read_checkpoint_config(arguments.checkpoint, arguments.config, overrides)

    from maskformer_jax.data.images import read_image_size
    from maskformer_jax.export.write import buckets_for_images, buckets_for_sizes, write_export
    from maskformer_jax.prediction.inputs import find_images
    from maskformer_jax.pretrained import load_pretrained

    loaded = load_pretrained(arguments.checkpoint, config=config)
    if arguments.images is None:
        buckets = buckets_for_sizes(sizes, config)
    else:
        files = [file for file, _ in find_images([arguments.images], output=output)]
        found = [read_image_size(file, name=str(file)) for file in files]
        buckets = buckets_for_images(found, config, most=max(arguments.programs, 1))
    write_export(loaded, output, buckets)
    megabytes = output.stat().st_size / 1e6
    print(f"wrote {output}: {len(buckets)} programs, {megabytes:.0f} MB")


def _read_size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found or "0" in found.groups():
        raise UserError(f"--size={text}: should be HEIGHTxWIDTH in pixels, such as 480x640")
    return int(found[1]), int(found[2])
