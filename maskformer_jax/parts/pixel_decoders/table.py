"""All pixel decoders by their `type`. A new one needs a folder and a line here."""

from maskformer_jax.parts.pixel_decoders.base import PixelDecoderConfig
from maskformer_jax.parts.pixel_decoders.fpn.config import FPNConfig
from maskformer_jax.parts.pixel_decoders.transformer_fpn.config import TransformerFPNConfig

PIXEL_DECODERS: dict[str, type[PixelDecoderConfig]] = {
    "fpn": FPNConfig,
    "transformer_fpn": TransformerFPNConfig,
}
