"""The paper's baselines, which classify each pixel by itself (paper section 4.1)."""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, UInt8

from maskformer_jax.models.initializers import msra_fill
from maskformer_jax.models.input import prepare_images
from maskformer_jax.models.layers import conv
from maskformer_jax.models.maskformer import MaskFormer
from maskformer_jax.types import Predictions


class PerPixelBaseline(nn.Module):
    """Backbone, pixel decoder and a 1x1 convolution to one score map for each class.

    Attributes:
        backbone: normalised images [B,H,W,3] to "res2" .. "res5".
        pixel_decoder: these features to a PixelDecoderOutput.
        num_classes: K.
        pixel_mean: subtracted from the images, RGB, 0..255.
        pixel_std: by which the difference is divided.
        size_divisibility: images are padded to a multiple of it; 0: not at all.
    """

    backbone: nn.Module
    pixel_decoder: nn.Module
    num_classes: int
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    size_divisibility: int = 0

    @nn.compact
    def __call__(
        self,
        images: UInt8[Array | np.ndarray, "b h w 3"] | Float[Array | np.ndarray, "b h w 3"],
        image_valid: Bool[Array | np.ndarray, "b h w"] | None = None,
        *,
        train: bool = False,
    ) -> Predictions:
        """Predict the logit of every class at every pixel of a quarter of the padded size.

        Args:
            images: RGB, 0..255.
            image_valid: False where a batch was padded to a common size; None: all is image.
            train: turns dropout on where the parts have any, which needs the "dropout" rng.

        Returns:
            `mask_logits` [1,B,K,h,w], float32; no `class_logits`.
        """
        x = prepare_images(
            images,
            image_valid,
            mean=self.pixel_mean,
            std=self.pixel_std,
            size_divisibility=self.size_divisibility,
        )
        decoded = self.pixel_decoder(self.backbone(x, train=train), train=train)
        logits = conv(
            self.num_classes,
            1,
            use_bias=True,
            kernel_init=msra_fill,
            dtype=jnp.float32,
            name="predictor",
        )(decoded.mask_features)
        return Predictions(class_logits=None, mask_logits=logits.transpose(0, 3, 1, 2)[None])


class PerPixelBaselinePlus(MaskFormer):
    """MaskFormer whose K queries stand for the classes: the masks are the classes' score maps.

    Its transformer decoder has no class branch, so `class_logits` is None.
    """
