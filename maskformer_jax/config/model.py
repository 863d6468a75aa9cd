"""Settings of the model: its three parts and the preprocessing of images."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from maskformer_jax.parts.backbones.base import BackboneConfig
from maskformer_jax.parts.backbones.resnet.config import ResNetConfig
from maskformer_jax.parts.pixel_decoders.base import PixelDecoderConfig
from maskformer_jax.parts.pixel_decoders.fpn.config import FPNConfig
from maskformer_jax.parts.transformer_decoders.base import TransformerDecoderConfig
from maskformer_jax.parts.transformer_decoders.maskformer.config import MaskFormerDecoderConfig
from maskformer_jax.validation import require_positive, require_range


@dataclass(slots=True, kw_only=True)
class ModelConfig:
    """The three parts of MaskFormer and its preprocessing of images.

    The other heads are the paper's baselines: "per_pixel" classifies pixels with a 1x1 convolution
    in place of the transformer decoder, "per_pixel_plus" keeps the decoder, with one query for
    each class (`num_queries` is not used) and no class predictions.
    """

    head: Literal["mask_classification", "per_pixel", "per_pixel_plus"] = "mask_classification"
    backbone: BackboneConfig = field(default_factory=ResNetConfig)
    pixel_decoder: PixelDecoderConfig = field(default_factory=FPNConfig)
    transformer_decoder: TransformerDecoderConfig = field(default_factory=MaskFormerDecoderConfig)
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)  # RGB, 0..255
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    size_divisibility: int = 32  # images are padded to a multiple of this; 0: no padding
    # float64 is for checking numbers: JAX_ENABLE_X64=1, and parameters and images of that type.
    compute_dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    # How float32 is multiplied. TPUs and recent GPUs use fewer bits by "default"; "auto": "highest"
    # for inference in float32, "default" for training and in bfloat16.
    matmul_precision: Literal["auto", "default", "high", "highest"] = "auto"
    remat: bool = False  # recompute the activations of stages and layers in the backward pass

    def problems(self, path: str) -> Iterator[str]:
        """Describe each value with which no model can be built; `path` is that of the section."""
        yield from self.backbone.problems(f"{path}.backbone")
        yield from self.pixel_decoder.problems(f"{path}.pixel_decoder")
        yield from self.transformer_decoder.problems(f"{path}.transformer_decoder")
        yield from require_positive(self, path, "pixel_std")
        yield from require_range(
            self, path, 0, float("inf"), "0 (no padding) or more", "size_divisibility"
        )
