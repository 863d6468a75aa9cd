"""The paper's baselines, which classify each pixel by itself (paper section 4.1)."""

from flax import linen as nn

from maskformer_jax.models.maskformer import Images, ImageValid, MaskFormer
from maskformer_jax.models.preprocess import preprocess
from maskformer_jax.parts.extent import Extent
from maskformer_jax.parts.initializers import msra_fill
from maskformer_jax.parts.layers import conv
from maskformer_jax.types import Predictions


class PerPixelBaseline(nn.Module, kw_only=True):
    """Backbone, pixel decoder and a 1x1 convolution to one score map for each class.

    Attributes:
        backbone: as in MaskFormer.
        pixel_decoder: as in MaskFormer.
        num_classes: K.
        pixel_mean: as in MaskFormer.
        pixel_std: as in MaskFormer.
        size_divisibility: as in MaskFormer.
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
        images: Images,
        image_valid: ImageValid = None,
        *,
        train: bool = False,
        extent: Extent = None,
    ) -> Predictions:
        """Predict the logit of every class at every pixel of a quarter of the padded size.

        Args:
            images: RGB, 0..255.
            image_valid: False where a batch was padded to a common size; None: all is image.
            train: turns dropout on where the parts have any, which needs the "dropout" rng.
            extent: as in MaskFormer.

        Returns:
            `mask_logits` [1,B,K,h,w], float32; no `class_logits`.
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
        features = self.backbone(x, **options)
        pixels = self.pixel_decoder(features, **options)
        predictor = conv(
            self.num_classes,
            1,
            use_bias=True,
            kernel_init=msra_fill,
            dtype=None,
            name="predictor",
        )
        logits = predictor(pixels.mask_features)
        return Predictions(class_logits=None, mask_logits=logits.transpose(0, 3, 1, 2)[None])


class PerPixelBaselinePlus(MaskFormer):
    """MaskFormer with one query per class, whose masks are the score maps of the classes.

    Its transformer decoder has no class head, so `class_logits` is None.
    """
