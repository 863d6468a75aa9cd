"""The whole model, from pixels to predictions (paper section 3.4 and figure 2)."""

import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, UInt8

from maskformer_jax.models.input import prepare_images
from maskformer_jax.types import Predictions


class MaskFormer(nn.Module):
    """Backbone, pixel decoder and transformer decoder, each usable alone.

    Attributes:
        backbone: normalised images [B,H,W,3] to "res2" .. "res5".
        pixel_decoder: these features to a PixelDecoderOutput.
        transformer_decoder: its context and mask features to Predictions.
        pixel_mean: subtracted from the images, RGB, 0..255.
        pixel_std: by which the difference is divided.
        size_divisibility: images are padded to a multiple of it; 0: not at all.
    """

    backbone: nn.Module
    pixel_decoder: nn.Module
    transformer_decoder: nn.Module
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    size_divisibility: int = 32

    def __call__(
        self,
        images: UInt8[Array | np.ndarray, "b h w 3"] | Float[Array | np.ndarray, "b h w 3"],
        image_valid: Bool[Array | np.ndarray, "b h w"] | None = None,
        *,
        train: bool = False,
    ) -> Predictions:
        """Predict N pairs of class and mask from every decoder layer.

        Args:
            images: RGB, 0..255.
            image_valid: False where a batch was padded to a common size; None: all is image.
            train: turns dropout (and drop path) on, which needs the "dropout" rng.

        Returns:
            Float32 logits; the masks have a quarter of the padded size, rounded up.
        """
        x = prepare_images(
            images,
            image_valid,
            mean=self.pixel_mean,
            std=self.pixel_std,
            size_divisibility=self.size_divisibility,
        )
        decoded = self.pixel_decoder(self.backbone(x, train=train), train=train)
        return self.transformer_decoder(decoded.context, decoded.mask_features, train=train)
