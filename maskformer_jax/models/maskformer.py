"""The whole model, from pixels to predictions (paper section 3.4 and figure 2)."""

from flax import linen as nn

from maskformer_jax.models.pixel_level import Images, ImageValid, PixelLevelModule
from maskformer_jax.types import Predictions


class MaskFormer(PixelLevelModule, kw_only=True):
    """Backbone, pixel decoder and transformer decoder, each usable alone.

    Attributes, besides those of PixelLevelModule:
        transformer_decoder: context and mask features of the pixel decoder to Predictions.
    """

    transformer_decoder: nn.Module

    def __call__(
        self, images: Images, image_valid: ImageValid = None, *, train: bool = False
    ) -> Predictions:
        """Predict N pairs of class and mask from every decoder layer.

        Args:
            images: RGB, 0..255.
            image_valid: False where a batch was padded to a common size; None: all is image.
            train: turns dropout (and drop path) on, which needs the "dropout" rng.

        Returns:
            Float32 logits; the masks have a quarter of the padded size, rounded up.
        """
        decoded = self.embed_pixels(images, image_valid, train=train)
        return self.transformer_decoder(decoded.context, decoded.mask_features, train=train)
