"""`prepare`: make a data set ready for training."""

import sys
from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.commands.parser import CommandParser, read_config

_SUMMARY = """Make a data set ready for training.

  ade20k-150        label maps less 1 for other tools, in ADEChallengeData2016
  ade20k-full-847   smaller images and 16-bit label maps, in ADE20K_2021_17_01
  ade20k-panoptic   PNG and JSON files of segments, in ADEChallengeData2016
  coco-stuff-10k    label maps from the .mat files
  cityscapes        label maps of train ids, PNG and JSON files of segments
  shapes            draws the data set; it needs no download
  tfds              ArrayRecord files of whatever data set --config reads (docs/datasets.md)
"""
_DATASETS = (
    *("ade20k-150", "ade20k-full-847", "ade20k-panoptic", "coco-stuff-10k", "cityscapes"),
    *("shapes", "tfds"),
)


def run(argv: Sequence[str]) -> None:
    """Reads the arguments and makes the data set.

    Raises:
        UserError: the folder is in use, a file is missing or damaged, or writing fails.
    """
    parser = CommandParser("prepare", _SUMMARY, config="optional")
    parser.add_argument("dataset", choices=_DATASETS, help="which data set")
    parser.add_argument(
        "--root",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder of the data set; for shapes and tfds the folder to make",
    )
    shapes = "only for shapes, default: "
    parser.add_argument("--num-train", type=int, default=1000, metavar="N", help=f"{shapes}1000")
    parser.add_argument("--num-val", type=int, default=200, metavar="N", help=f"{shapes}200")
    arguments, overrides = parser.read(argv)
    root: Path = arguments.root
    if arguments.dataset == "tfds":
        if arguments.config is None:
            parser.error("prepare tfds needs --config=CONFIG, which says what to read")
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

    if not sys.stderr.isatty():  # a log is no place for progress bars
        tfds.disable_progress_bar()
