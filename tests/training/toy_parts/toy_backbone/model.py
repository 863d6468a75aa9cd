"""The toy backbone."""

from typing import Any

from flax import linen as nn

from toy_parts.toy_backbone.config import ToyBackboneConfig


class ToyBackbone(nn.Module):
    width: int
    dtype: Any
    remat: bool

    @nn.compact
    def __call__(self, images: Any, *, train: bool = False) -> dict[int, Any]:
        del train
        fine = nn.Conv(self.width, (4, 4), strides=(4, 4), dtype=self.dtype, name="fine")(images)
        coarse = nn.Conv(2 * self.width, (4, 4), strides=(4, 4), dtype=self.dtype, name="coarse")
        return {4: nn.relu(fine), 16: coarse(nn.relu(fine))}


def build(config: ToyBackboneConfig, *, dtype: Any, remat: bool) -> ToyBackbone:
    return ToyBackbone(**config.settings(), dtype=dtype, remat=remat)
