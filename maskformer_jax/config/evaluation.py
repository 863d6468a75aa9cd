"""Settings of inference and evaluation."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from maskformer_jax.validation import require, require_positive, require_range


@dataclass(slots=True, kw_only=True)
class TTAConfig:
    """Test-time augmentation: the mean of the scores at several sizes."""

    enabled: bool = False
    short_edges: tuple[int, ...] = ()  # of the image as resized for evaluation
    max_size: int = 4096  # bound on the longer side
    flip: bool = True  # each size also mirrored

    def problems(self, path: str) -> Iterator[str]:
        """Describe each wrong value; `path` is that of the section."""
        yield from require_positive(self, path, "short_edges", "max_size")
        if self.enabled:
            yield from require(
                bool(self.short_edges), f"{path}.short_edges", self.short_edges, "at least one size"
            )


@dataclass(slots=True, kw_only=True)
class EvalConfig:
    """Test-time input and inference."""

    # What is predicted and scored; "panoptic" also gives labels and instances of things.
    task: Literal["semantic", "instance", "panoptic"] = "semantic"
    short_edge: int = 512  # of an image as the network sees it; 0: images keep their sizes
    max_size: int = 2048
    batch_size: int = 1  # images of each device at a time
    # "buckets": images of many sizes share a few programs, with the results of "exact", which
    # compiles one for each size.
    shapes: Literal["buckets", "exact"] = "buckets"
    max_programs: int = 6  # of the network, with "buckets"
    # "class_sum": each class collects over all queries (paper section 3.4); "general": each pixel
    # to one query, as in the paper's table VII.
    semantic_rule: Literal["class_sum", "general"] = "class_sum"
    general_threshold: float = 0.3  # general: queries with a lower class score are dropped
    resize_before_inference: bool = False  # class_sum: resize logits to the output size first
    object_mask_threshold: float = 0.8  # panoptic: queries with a lower class score are dropped
    overlap_threshold: float = 0.8  # panoptic: share of its mask that a segment must keep
    max_instances: int = 100  # of an image, for the task "instance" and AP
    report_images: int = 12  # that are kept for the report, those with the lowest scores; 0: none
    tta: TTAConfig = field(default_factory=TTAConfig)
    # Of earlier versions; it changed results to compile less.
    retired_fields: ClassVar[frozenset[str]] = frozenset(("size_multiple",))

    def problems(self, path: str) -> Iterator[str]:
        """Describe each wrong value; `path` is that of the section."""
        yield from require_positive(
            self, path, "max_size", "batch_size", "max_programs", "max_instances"
        )
        yield from require_range(
            self, path, 0, float("inf"), "above 0, or 0 for images of their own sizes", "short_edge"
        )
        yield from require_range(self, path, 0, float("inf"), "0 or more", "report_images")
        yield from require_range(
            self,
            path,
            0,
            1,
            "0..1",
            "general_threshold",
            "object_mask_threshold",
            "overlap_threshold",
        )
        yield from self.tta.problems(f"{path}.tta")
        yield from require(
            not self.tta.enabled or self.task == "semantic",
            f"{path}.tta.enabled",
            self.tta.enabled,
            f"False where {path}.task is {self.task!r}: only semantic segmentation is augmented",
        )
        yield from require(
            not self.tta.enabled or self.semantic_rule == "class_sum",
            f"{path}.tta.enabled",
            self.tta.enabled,
            f"False where {path}.semantic_rule is {self.semantic_rule!r}: only class sums have a "
            "mean",
        )
