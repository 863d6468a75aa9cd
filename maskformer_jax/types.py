"""The values passed between the parts of the system.

Axis letters used throughout: b batch, l decoder layer, q query, n segment, k class, h w pixels,
c channels, s tokens, d model width, m heads. "void" is unlabelled ground truth (-1 in a
`segment_map`); "no-object" is what a query predicts when it finds nothing (the last class logit).

The fields are plain arrays, NumPy on the host and JAX on the device, so that loader workers can
build them without importing JAX; shapes are given in comments.
"""

from typing import Any, NamedTuple

Size = tuple[int, int]  # (height, width) in pixels
VOID = -1  # label of pixels without a class, and their index in a `segment_map`


class Batch(NamedTuple):
    """Images and their ground truth, as the training step receives them.

    Where segments cannot overlap (semantic and panoptic training) `segment_map` holds all masks in
    one integer map; where they can (instance training) `masks` holds one bit mask for each. The
    other of the two fields is None.
    """

    image: Any  # uint8 [B, H, W, 3], RGB
    image_valid: Any  # bool [B, H, W], False where a batch was padded to a common size
    segment_map: Any  # int16 [B, H, W], index into the image's segments, -1 void/padding; or None
    labels: Any  # int32 [B, N], class of each segment in 0..K-1; unused slots hold 0
    segment_valid: Any  # bool [B, N], which of the N slots hold a segment
    masks: Any = None  # uint8 [B, N, H, ceil(W / 8)], np.packbits along the width, or None


class Predictions(NamedTuple):
    """Q pairs of class and mask from each decoder layer, the last layer last."""

    class_logits: Any  # float32 [L, B, Q, K+1], no-object last; None for the per-pixel baselines
    mask_logits: Any  # float32 [L, B, Q, h, w], before the sigmoid


class CostMatrices(NamedTuple):
    """The three terms of the matching cost, unweighted (paper section 3.2)."""

    classification: Any  # float32 [B, L, Q, N]
    mask: Any  # float32 [B, L, Q, N]
    dice: Any  # float32 [B, L, Q, N]


class Losses(NamedTuple):
    """The three losses of each decoder layer (paper section 3.2)."""

    loss_class: Any  # float32 [L]
    loss_mask: Any  # float32 [L]
    loss_dice: Any  # float32 [L]
