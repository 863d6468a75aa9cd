"""Open the source of examples that a config describes."""

from pathlib import Path

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import DataConfig
from maskformer_jax.config.paths import is_class_file
from maskformer_jax.data.example import Source
from maskformer_jax.data.folder import LAYOUTS, FolderSource, layout_of, list_split
from maskformer_jax.data.instance_json import CocoInstanceSource
from maskformer_jax.data.location import DATASETS_PAGE
from maskformer_jax.data.panoptic_json import CocoPanopticSource
from maskformer_jax.data.penn_fudan import PennFudanSource
from maskformer_jax.data.split import Subset, parse_split
from maskformer_jax.errors import UserError


def open_source(config: DataConfig, split: str, info: DatasetInfo) -> Source:
    """Open a split of a data set, or a part of a split.

    Args:
        config: `root` and `format` are used.
        split: such as "train", or "train[:8]" for its first examples.
        info: the data set.

    Raises:
        UserError: `root` is not set or lacks the split, or the split is empty.
    """
    name, *_ = part = parse_split(split)
    source = _open_whole(config, name, info)
    indices = part.indices(len(source))
    if len(indices) == len(source):
        return source
    if not indices:
        raise UserError(f"the split '{split}' is empty: '{name}' has {len(source)} examples")
    return Subset(source, indices)


def open_leniently(config: DataConfig, split: str, info: DatasetInfo) -> Source:
    """As `open_source`, but images without a label map are left out."""
    if config.format not in LAYOUTS or not config.root:
        return open_source(config, split, info)
    part = parse_split(split)
    listing = list_split(Path(config.root).expanduser(), part.name, layout_of(config))
    source = FolderSource(listing, info, lenient=True, trust_exif=trusts_exif(config))
    return Subset(source, part.indices(len(source)))


def trusts_exif(config: DataConfig) -> bool:
    """Whether annotations count as made for upright images: so the published data sets are read."""
    return config.trust_exif or not is_class_file(config.dataset)


def _open_whole(config: DataConfig, split: str, info: DatasetInfo) -> Source:
    if not config.root:
        raise UserError(
            "config.data.root is '', but must be the folder of the data set, such as "
            f"--config.data.root=datasets/{info.name}. {DATASETS_PAGE}"
        )
    root = Path(config.root).expanduser()
    trust_exif = trusts_exif(config)
    if config.format in LAYOUTS:
        listing = list_split(root, split, layout_of(config))
        return FolderSource(listing, info, trust_exif=trust_exif)
    if config.format == "coco_panoptic":
        return CocoPanopticSource(root, split, info, trust_exif=trust_exif)
    if config.format == "coco_instances":
        return CocoInstanceSource(root, split, info, trust_exif=trust_exif)
    if config.format == "penn_fudan":
        return PennFudanSource(root, split, info)
    # Importing TFDS takes half a second, and the other formats do not need it.
    from maskformer_jax.data.tfds_source import TfdsSource

    return TfdsSource(root, split, info)
