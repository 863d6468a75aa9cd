"""FPN-like pixel decoder behind a transformer encoder (DETR, arXiv 2005.12872, appendix A.3)."""

from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.parts.extent import Extent
from maskformer_jax.parts.layers import layer_norm
from maskformer_jax.parts.pixel_decoders.fpn.model import FPNPixelDecoder
from maskformer_jax.parts.pixel_decoders.transformer_fpn.config import TransformerFPNConfig
from maskformer_jax.parts.transformer_layers import TransformerEncoderLayer
from maskformer_jax.parts.transformer_stack import TransformerStack
from maskformer_jax.precision import at_least_float32


class TransformerEncoder(TransformerStack):
    """Self-attention among all tokens of a feature map.

    The attributes are those of TransformerStack; the output, float32, is normalised with
    `pre_norm` only.
    """

    @nn.compact
    def __call__(
        self, feature: Float[Array, "b h5 w5 c5"], extent: Extent = None, *, train: bool = False
    ) -> Float[Array, "b h5 w5 d"]:
        """Project a map to the encoder's width and encode it; `extent` is that in the map."""
        tokens = self._tokens(self._project(feature), extent)
        x = at_least_float32(tokens.values)
        for layer in self._layers(TransformerEncoderLayer):
            x = self._run(layer, x, position=tokens.position, mask=tokens.mask, train=train)
        if self.pre_norm:
            x = layer_norm("norm")(x)
        return x.reshape(*feature.shape[:3], self.hidden_dim)


def build(config: TransformerFPNConfig, *, dtype: DTypeLike, remat: bool) -> FPNPixelDecoder:
    """Make the module of these settings."""
    encoder = TransformerEncoder(
        num_layers=config.num_layers,
        hidden_dim=config.conv_dim,
        num_heads=config.num_heads,
        ffn_dim=config.ffn_dim,
        dropout=config.dropout,
        pre_norm=config.pre_norm,
        dtype=dtype,
        remat=remat,
    )
    return FPNPixelDecoder(
        conv_dim=config.conv_dim,
        mask_dim=config.mask_dim,
        encoder=encoder,
        dtype=dtype,
        remat=remat,
    )
