"""From predictions to segmentations (paper section 3.4, arXiv 2107.06278).

All functions are pure, take one image, and work under `jax.jit` and `jax.vmap`.
"""

from maskformer_jax.postprocess.augmented import View, augmented_inference, augmented_labels
from maskformer_jax.postprocess.general import general_semantic_labels
from maskformer_jax.postprocess.image_sizes import ImageSizes
from maskformer_jax.postprocess.instances import Instances, instance_inference
from maskformer_jax.postprocess.panoptic import PanopticSegmentation, panoptic_inference
from maskformer_jax.postprocess.per_pixel import per_pixel_inference, per_pixel_labels
from maskformer_jax.postprocess.semantic import semantic_inference, semantic_labels

__all__ = [
    "ImageSizes",
    "Instances",
    "PanopticSegmentation",
    "View",
    "augmented_inference",
    "augmented_labels",
    "general_semantic_labels",
    "instance_inference",
    "panoptic_inference",
    "per_pixel_inference",
    "per_pixel_labels",
    "semantic_inference",
    "semantic_labels",
]
