"""What all models begin with: from pixels to per-pixel embeddings (paper section 3.4)."""

import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, UInt8

from maskformer_jax.models.input import prepare_images
from maskformer_jax.models.pixel_decoder import PixelDecoderOutput

Images = UInt8[Array | np.ndarray, "b h w 3"] | Float[Array | np.ndarray, "b h w 3"]
ImageValid = Bool[Array | np.ndarray, "b h w"] | None


class PixelLevelModule(nn.Module):
    """Backbone and pixel decoder, and what is done to images before them.

    Attributes:
        backbone: normalised images [B,H,W,3] to "res2" .. "res5".
        pixel_decoder: these features to a PixelDecoderOutput.
        pixel_mean: subtracted from the images, RGB, 0..255.
        pixel_std: by which the difference is divided.
        size_divisibility: images are padded to a multiple of it; 0: not at all.
    """

    backbone: nn.Module
    pixel_decoder: nn.Module
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    size_divisibility: int = 32

    def embed_pixels(
        self, images: Images, image_valid: ImageValid = None, *, train: bool = False
    ) -> PixelDecoderOutput:
        """Normalise and pad images, then run backbone and pixel decoder."""
        x = prepare_images(
            images,
            image_valid,
            mean=self.pixel_mean,
            std=self.pixel_std,
            size_divisibility=self.size_divisibility,
        )
        return self.pixel_decoder(self.backbone(x, train=train), train=train)
