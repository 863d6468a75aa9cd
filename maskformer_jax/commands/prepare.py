"""`prepare`: convert a data set to the files that training reads."""

import sys
from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.commands.parser import CommandParser, read_config, user_path

_SUMMARY = """Convert a data set to the files that training reads.

  ade20k-150        label maps minus 1, for other tools; root: ADEChallengeData2016
  ade20k-full-847   smaller images and 16-bit label maps; root: ADE20K_2021_17_01
  ade20k-panoptic   segments as PNG and JSON files; root: ADEChallengeData2016
  coco-stuff-10k    label maps from the .mat files
  cityscapes        train ids, and segments as PNG and JSON files
  shapes            draws the data set, no download needed
  tfds              ArrayRecord files of the data set that --config reads

docs/datasets.md lists where to download each data set.
"""
_DATASETS = (
    *("ade20k-150", "ade20k-full-847", "ade20k-panoptic", "coco-stuff-10k", "cityscapes"),
    *("shapes", "tfds"),
)


def run(argv: Sequence[str]) -> None:
    """Parse the arguments and convert the data set.

    Raises:
        UserError: an output exists, a file is missing or damaged, or writing fails.
    """
    parser = CommandParser("prepare", _SUMMARY, config="optional")
    parser.add_argument("dataset", choices=_DATASETS, help="which data set")
    parser.add_argument(
        "--root",
        type=user_path,
        required=True,
        metavar="DIR",
        help="the folder of the data set; for shapes and tfds the folder to create",
    )
    for split, default in (("train", 1000), ("val", 200)):
        parser.add_argument(
            f"--num-{split}",
            type=int,
            default=default,
            metavar="N",
            help=f"shapes: number of images in the split {split} (default: {default})",
        )
    arguments, overrides = parser.read(argv)
    root: Path = arguments.root
    if arguments.dataset == "tfds":
        if arguments.config is None:
            parser.error("prepare tfds needs --config=CONFIG, the data set to read")
        _prepare_tfds(root, arguments.config, overrides)
    elif arguments.dataset == "shapes":
        _hide_progress_in_logs()
        from maskformer_jax.data.tfds_builders.shapes import prepare_shapes

        prepare_shapes(root, num_train=arguments.num_train, num_val=arguments.num_val)
    else:
        _prepare_files(root, arguments.dataset)
    print(f"wrote {root}")


def _prepare_files(root: Path, dataset: str) -> None:
    from maskformer_jax.data.prepare import ade20k, ade20k_panoptic, cityscapes, coco_stuff

    {
        "ade20k-150": ade20k.prepare_ade20k_150,
        "ade20k-full-847": ade20k.prepare_ade20k_full,
        "ade20k-panoptic": ade20k_panoptic.prepare_ade20k_panoptic,
        "coco-stuff-10k": coco_stuff.prepare_coco_stuff_10k,
        "cityscapes": cityscapes.prepare_cityscapes,
    }[dataset](root)


def _prepare_tfds(root: Path, config_path: str, overrides: Sequence[str]) -> None:
    data = read_config(config_path, overrides).data
    _hide_progress_in_logs()

    from maskformer_jax.data.registry import load_dataset_info
    from maskformer_jax.data.sources import open_source
    from maskformer_jax.data.tfds_builders.from_source import prepare_records

    info = load_dataset_info(data.dataset)
    splits = dict.fromkeys((data.train_split, data.eval_split))
    prepare_records(root, info, {split: open_source(data, split, info) for split in splits})


def _hide_progress_in_logs() -> None:
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():  # progress bars would clutter a log
        tfds.disable_progress_bar()
