"""The toy backbone."""

from typing import Any

from flax import linen as nn

from maskformer_jax.parts.extent import Extent, at_stride, clear_outside
from maskformer_jax.resize import pad_bottom_right, padded_size
from toy_parts.toy_backbone.config import ToyBackboneConfig


class ToyBackbone(nn.Module):
    width: int
    dtype: Any
    remat: bool

    @nn.compact
    def __call__(
        self, images: Any, *, train: bool = False, extent: Extent = None
    ) -> dict[int, Any]:
        del train
        fine = self._shrink(self.width, clear_outside(images, extent), name="fine")
        extent = at_stride(extent, 4)
        fine = nn.relu(fine)
        coarse = self._shrink(2 * self.width, clear_outside(fine, extent), name="coarse")
        return {4: fine, 16: coarse}

    def _shrink(self, width: int, x: Any, *, name: str) -> Any:
        x = pad_bottom_right(x, padded_size(x.shape[1:3], 4), axes=(1, 2))
        conv = nn.Conv(width, (4, 4), (4, 4), padding="VALID", dtype=self.dtype, name=name)
        return conv(x)


def build(config: ToyBackboneConfig, *, dtype: Any, remat: bool) -> ToyBackbone:
    return ToyBackbone(**config.settings(), dtype=dtype, remat=remat)
