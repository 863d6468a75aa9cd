"""All transformer decoders by their `type`. A new one needs a folder and a line here."""

from maskformer_jax.parts.transformer_decoders.base import TransformerDecoderConfig
from maskformer_jax.parts.transformer_decoders.maskformer.config import MaskFormerDecoderConfig

TRANSFORMER_DECODERS: dict[str, type[TransformerDecoderConfig]] = {
    "maskformer": MaskFormerDecoderConfig,
}
