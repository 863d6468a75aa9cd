"""Settings of the data: the data set, its location, reading and augmentation."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from maskformer_jax.types import Size
from maskformer_jax.validation import require, require_positive, require_range

# The mappers whose images vary in size, so that batches are padded to one of a few sizes.
VARYING_MAPPERS = ("coco_panoptic", "instance")


@dataclass(slots=True, kw_only=True)
class AugmentConfig:
    """Augmentation of training images.

    The order is that of the fields, but for the mappers "coco_panoptic" and "instance": there flip
    comes first, then for some of the images a resize to `pre_crop_short_edges` and a crop (none
    if that is empty), then the resize; colours come last.
    """

    short_edges: tuple[int, ...] = (512,)  # one is drawn for each image
    max_size: int = 2048  # bound on the longer side
    crop_kind: Literal["absolute", "absolute_range"] = "absolute"
    # (height, width); smaller images are padded. For "absolute_range": (shortest, longest) side.
    crop_size: Size = (512, 512)
    crop_probability: float = 1.0
    pre_crop_short_edges: tuple[int, ...] = ()  # one is drawn for each image to be cropped
    color: bool = True  # SSD-style brightness, contrast, saturation, hue
    flip: bool = True
    # Sizes (height, width) to which batches of these two mappers are padded, the smallest that
    # fits; empty: one for each orientation, as large as images can get.
    buckets: tuple[Size, ...] = ()

    def problems(self, path: str, *, varying: bool) -> Iterator[str]:
        """Describe each wrong value.

        Args:
            path: of the section.
            varying: whether the mapper's images vary in size.
        """
        yield from require(
            bool(self.short_edges), f"{path}.short_edges", self.short_edges, "at least one size"
        )
        yield from require_positive(
            self, path, "short_edges", "max_size", "crop_size", "pre_crop_short_edges"
        )
        yield from require_range(self, path, 0, 1, "0..1", "crop_probability")
        if self.crop_kind == "absolute_range":
            yield from require(
                self.crop_size[0] <= self.crop_size[1],
                f"{path}.crop_size",
                self.crop_size,
                "(least, largest) side where crop_kind is 'absolute_range'",
            )
        if varying:
            yield from self._bucket_problems(path)
            return
        usual = AugmentConfig()
        for name in ("crop_kind", "crop_probability", "pre_crop_short_edges", "buckets"):
            yield from require(
                getattr(self, name) == getattr(usual, name),
                f"{path}.{name}",
                getattr(self, name),
                f"{getattr(usual, name)!r} unless config.data.mapper is one of "
                + ", ".join(VARYING_MAPPERS),
            )

    def _bucket_problems(self, path: str) -> Iterator[str]:
        if not self.buckets:
            return
        long = self.max_size
        short = min(max(self.short_edges, default=0), long)
        for height, width in ((short, long), (long, short)):
            yield from require(
                any(bucket[0] >= height and bucket[1] >= width for bucket in self.buckets),
                f"{path}.buckets",
                self.buckets,
                f"sizes of which one holds {height} x {width} (height x width), the largest "
                "images of the recipe",
            )


@dataclass(slots=True, kw_only=True)
class DataConfig:
    """The data set, its location and how it is read."""

    dataset: str = ""  # a name in maskformer_jax/data/metadata, or a file that lists your classes
    root: str = ""  # its folder
    # How it is laid out on disk (docs/datasets.md).
    format: Literal[
        "folder",
        "prepared",
        "cityscapes",
        "mapillary",
        "coco_panoptic",
        "coco_instances",
        "penn_fudan",
        "tfds",
    ] = "folder"
    # Of format "folder", below `root`, with {split} for the split: where images and label maps
    # are, how the names of label maps end (NAME_mask.png: _mask.png), and the files that list the
    # names of a split. Empty: images/{split}, annotations/{split}, .png, all files.
    images: str = ""
    labels: str = ""
    label_endings: tuple[str, ...] = ()
    split_files: str = ""
    # Whether annotations of your own data are for images as turned by their EXIF tags. Where sizes
    # do not show it (turned by 180 degrees, or square), such images are refused otherwise.
    trust_exif: bool = False
    # Whether to go on where a checkpoint's classes have other names or order than the data's.
    allow_other_classes: bool = False
    # How annotations become segments: "semantic" and "panoptic" from crops of one size,
    # "coco_panoptic" and "instance" from whole images or crops of varying size.
    mapper: Literal["semantic", "panoptic", "coco_panoptic", "instance"] = "semantic"
    train_split: str = "train"  # or a slice of it: "train[:8]", "train[:80%]"
    eval_split: str = "val"
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    num_segments: int = 150  # N, slots for segments of an image
    num_workers: int = 0  # loader processes; 0: threads of this process
    num_threads: int = 2  # reading threads of each process

    def problems(self, path: str) -> Iterator[str]:
        """Describe each wrong value; `path` is that of the section."""
        yield from require(
            bool(self.dataset), f"{path}.dataset", self.dataset, "a data set, such as ade20k-150"
        )
        yield from require_positive(self, path, "num_segments", "num_threads")
        yield from require_range(
            self, path, 0, float("inf"), "0 (threads of this process) or more", "num_workers"
        )
        yield from self.augment.problems(f"{path}.augment", varying=self.mapper in VARYING_MAPPERS)
