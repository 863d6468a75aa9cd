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
        "Segment images: write an overlay picture, a label map and a JSON of segments for each. Of "
        "a video: an overlay video and the segments of each frame.",
        config="optional",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=user_path,
        metavar="INPUT",
        help="images, folders of images, patterns such as 'photos/*.jpg', videos",
    )
    parser.add_checkpoint()
    parser.add_argument(
        "--output", type=user_path, required=True, metavar="DIR", help="where to write"
    )
    parser.add_argument(
        "--track",
        action="store_true",
        help="segments of a video keep their ids and colours from frame to frame",
    )
    arguments, overrides = parser.read(argv)
    config = read_checkpoint_config(arguments.checkpoint, arguments.config, overrides)

    from maskformer_jax.prediction.inputs import expand_patterns
    from maskformer_jax.prediction.predict import predict_paths
    from maskformer_jax.prediction.predict_video import predict_video
    from maskformer_jax.prediction.video_files import VIDEO_SUFFIXES, require_video_support
    from maskformer_jax.pretrained import load_pretrained

    inputs = expand_patterns(arguments.inputs)
    videos = [path for path in inputs if path.suffix.lower() in VIDEO_SUFFIXES]
    images = [path for path in inputs if path not in videos]
    if videos:
        require_video_support(videos)
    require_writable(arguments.output)
    keep_programs(config.compile_cache)
    loaded = load_pretrained(arguments.checkpoint, config=config)
    for path in videos:
        written = predict_video(loaded, path, arguments.output, track=arguments.track)
        print(f"wrote {written.frames} frames to {written.overlay}, and {written.segments.name}")
    if images or not videos:
        records = predict_paths(loaded, images, arguments.output, settings=config.eval)
        if records:
            print(f"wrote {len(records)} overlays and predictions.json to {arguments.output}")
