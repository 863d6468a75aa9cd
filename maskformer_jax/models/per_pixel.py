"""The paper's baselines, which classify each pixel by itself (paper section 4.1)."""

from flax import linen as nn

from maskformer_jax.models.initializers import msra_fill
from maskformer_jax.models.layers import conv
from maskformer_jax.models.maskformer import MaskFormer
from maskformer_jax.models.pixel_level import Images, ImageValid, PixelLevelModule
from maskformer_jax.types import Predictions


class PerPixelBaseline(PixelLevelModule, kw_only=True):
    """Backbone, pixel decoder and a 1x1 convolution to one score map for each class.

    Attributes, besides those of PixelLevelModule:
        num_classes: K.
    """

    num_classes: int
    size_divisibility: int = 0

    @nn.compact
    def __call__(
        self, images: Images, image_valid: ImageValid = None, *, train: bool = False
    ) -> Predictions:
        """Predict the logit of every class at every pixel of a quarter of the padded size.

        Args:
            images: RGB, 0..255.
            image_valid: False where a batch was padded to a common size; None: all is image.
            train: turns dropout on where the parts have any, which needs the "dropout" rng.

        Returns:
            `mask_logits` [1,B,K,h,w], float32; no `class_logits`.
        """
        decoded = self.embed_pixels(images, image_valid, train=train)
        logits = conv(
            self.num_classes,
            1,
            use_bias=True,
            kernel_init=msra_fill,
            dtype=None,
            name="predictor",
        )(decoded.mask_features)
        return Predictions(class_logits=None, mask_logits=logits.transpose(0, 3, 1, 2)[None])


class PerPixelBaselinePlus(MaskFormer):
    """MaskFormer whose K queries stand for the classes: the masks are the classes' score maps.

    Its transformer decoder has no class branch, so `class_logits` is None.
    """
