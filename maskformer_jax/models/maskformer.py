"""The whole model, from pixels to predictions: figure 2 of the paper (arXiv 2107.06278)."""

import numpy as np
from flax import linen as nn
from flax.errors import InvalidRngError
from jaxtyping import Array, Bool, Float, UInt8

from maskformer_jax.models.preprocess import preprocess
from maskformer_jax.parts.extent import Extent
from maskformer_jax.types import Predictions

Images = UInt8[Array | np.ndarray, "b h w 3"] | Float[Array | np.ndarray, "b h w 3"]
ImageValid = Bool[Array | np.ndarray, "b h w"] | None


class MaskFormer(nn.Module, kw_only=True):
    """Backbone, pixel decoder and transformer decoder; each is a module that works alone.

    Attributes:
        backbone: preprocessed images [B,H,W,3] to feature maps by their stride.
        pixel_decoder: these maps to per-pixel embeddings, and the maps that queries attend to.
        transformer_decoder: both to Predictions; it ends in the class head and the mask head.
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
        images: Images,
        image_valid: ImageValid = None,
        *,
        train: bool = False,
        extent: Extent = None,
    ) -> Predictions:
        """Predict N pairs of class and mask from every decoder layer.

        Args:
            images: RGB, 0..255.
            image_valid: False where a batch was padded to a common size; None: all is image.
            train: turns dropout (and drop path) on, which needs the "dropout" rng.
            extent: (height, width) of each image, int32 [B, 2], where images of different sizes
                stand in the upper left corners of one batch: each gets the predictions that it has
                alone, and what they hold outside of it has no meaning. None: all is image.

        Returns:
            Float32 logits; the masks have a quarter of the padded size, rounded up.
        """
        x, extent = preprocess(
            images,
            image_valid,
            extent=extent,
            mean=self.pixel_mean,
            std=self.pixel_std,
            size_divisibility=self.size_divisibility,
        )
        # Parts that know no extent serve images that fill the batch.
        options = {"train": train} if extent is None else {"train": train, "extent": extent}
        try:
            features = self.backbone(x, **options)
            pixels = self.pixel_decoder(features, **options)
            return self.transformer_decoder(pixels.features, pixels.mask_features, **options)
        except InvalidRngError as error:
            if not train:
                raise
            raise ValueError(
                "train=True turns dropout on, which needs a key: "
                'model.apply(variables, images, train=True, rngs={"dropout": key})'
            ) from error
