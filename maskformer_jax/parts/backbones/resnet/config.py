"""Settings of a ResNet."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from maskformer_jax.parts.backbones.base import BackboneConfig
from maskformer_jax.validation import require, require_positive, require_range

FIRST_BOTTLENECK_DEPTH = 50  # shallower networks are made of basic blocks
EXPANSION = 4  # output channels of a bottleneck block over its inner ones
NORM_GROUPS = 32


@dataclass(slots=True, kw_only=True)
class ResNetConfig(BackboneConfig):
    """ResNet backbone."""

    type: Literal["resnet"] = "resnet"
    depth: Literal[18, 34, 50, 101] = 50
    width: int = 64  # channels of the stem; all other widths are multiples of this
    stem: Literal["basic", "deeplab"] = "basic"  # one 7x7 convolution, or three 3x3
    stride_in_1x1: bool = False  # True: stride in the first 1x1 convolution (Caffe/MSRA weights)
    norm: Literal["frozen_batch_norm", "group_norm"] = "frozen_batch_norm"
    res5_dilations: tuple[int, int, int] = (1, 1, 1)  # of the 3x3 in each block (depth 50, 101)
    freeze_at: int = 0  # 1 freezes the stem, 2 also res2, ... 5 the whole backbone

    def problems(self, path: str) -> Iterator[str]:
        """Describe each value with which no ResNet can be built."""
        yield from require_positive(self, path, "width", "res5_dilations")
        if self.norm == "group_norm" and self.width > 0:
            yield from require(
                self.width % NORM_GROUPS == 0,
                f"{path}.width",
                self.width,
                f"a multiple of {NORM_GROUPS} where norm is 'group_norm'",
            )
        yield from require_range(self, path, 0, 5, "0..5", "freeze_at")
        if self.depth < FIRST_BOTTLENECK_DEPTH:
            yield from require(
                set(self.res5_dilations) == {1},
                f"{path}.res5_dilations",
                self.res5_dilations,
                f"(1, 1, 1) where depth is below {FIRST_BOTTLENECK_DEPTH}",
            )

    def channels(self) -> dict[int, int]:
        """The channels of each feature map by its stride."""
        expansion = EXPANSION if self.depth >= FIRST_BOTTLENECK_DEPTH else 1
        return {4 * 2**stage: self.width * 2**stage * expansion for stage in range(4)}
