"""Settings of matching and losses."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from maskformer_jax.validation import require_positive, require_range


@dataclass(slots=True, kw_only=True)
class LossConfig:
    """Matching and losses (paper section 3.2); the weights serve both."""

    class_weight: float = 1.0
    mask_weight: float = 20.0
    dice_weight: float = 1.0
    no_object_weight: float = 0.1  # of the no-object class in the cross-entropy
    class_cost: float = 1.0
    # The paper's ablations: "boxes" compares bounding boxes, "fixed" assigns class c to query c.
    matching: Literal["masks", "boxes", "fixed"] = "masks"
    # Both exact: on the host, or in the program. auto: scipy on a CPU without compile_cache.
    matcher: Literal["auto", "scipy", "jax"] = "auto"
    # Not as published, all off by default:
    ignore_void: bool = False  # mask costs and losses ignore unlabelled pixels
    ignore_padding: bool = False  # mask costs and losses ignore padding
    num_points: int = (
        0  # points compared of each mask in the losses (12544 is usual); 0: all pixels
    )
    num_cost_points: int = 0  # points of each image compared in matching; 0: all of a quarter size
    by_layer: bool = False  # one decoder layer after the other, which takes less memory
    class_groups: int = 1  # groups of a batch with their own class normalizer; published: devices

    def problems(self, path: str) -> Iterator[str]:
        """Describe each wrong value; `path` is that of the section."""
        yield from require_range(
            self,
            path,
            0,
            float("inf"),
            "0 or more",
            "class_weight",
            "mask_weight",
            "dice_weight",
            "no_object_weight",
            "class_cost",
        )
        yield from require_range(
            self, path, 0, float("inf"), "0 (all pixels) or more", "num_points", "num_cost_points"
        )
        yield from require_positive(self, path, "class_groups")
