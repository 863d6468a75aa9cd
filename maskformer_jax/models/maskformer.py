"""The whole model, from pixels to predictions (paper section 3.4 and figure 2)."""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, UInt8

from maskformer_jax.resize import pad_bottom_right, padded_size
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
            train: turns dropout on, which needs the "dropout" rng.

        Returns:
            Float32 logits; the masks have a quarter of the padded size, rounded up.
        """
        x = self._normalize(images, image_valid)
        height, width = images.shape[1:3]
        x = pad_bottom_right(x, padded_size((height, width), self.size_divisibility), axes=(1, 2))
        decoded = self.pixel_decoder(self.backbone(x))
        return self.transformer_decoder(decoded.context, decoded.mask_features, train=train)

    def _normalize(
        self, images: Array | np.ndarray, image_valid: Array | np.ndarray | None
    ) -> Float[Array, "b h w 3"]:
        mean = np.asarray(self.pixel_mean, np.float32).reshape(1, 1, 1, 3)
        std = np.asarray(self.pixel_std, np.float32).reshape(1, 1, 1, 3)
        x = (jnp.asarray(images, jnp.float32) - mean) / std
        if image_valid is not None:
            # After normalisation: padding has the mean colour, as in the published batches.
            x = jnp.where(jnp.asarray(image_valid)[..., None], x, jnp.zeros((), x.dtype))
        return x
