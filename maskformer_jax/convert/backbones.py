"""ImageNet backbones: from files with torchvision's (or detectron2's) names to our variables."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from maskformer_jax.convert.official import RESNET_RULES, SWIN_RULES
from maskformer_jax.convert.rules import import_tensors
from maskformer_jax.errors import UserError

InputFormat = Literal["rgb_normalized", "bgr_mean"]

CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)
SKIPPED = (r"stem\.fc\.(weight|bias)", r".*\.num_batches_tracked")  # classifier, counters
# Of Swin: classifier, the norm before it, and tables that follow from the sizes.
SWIN_SKIPPED = (
    r"(head|norm)\.(weight|bias)",
    r"layers\..*\.(relative_position_index|attn_mask)",
)
RENAMES = (  # detectron2's conversion of torchvision names, in this order
    (r"^(?!.*layer)", "stem."),
    (r"^layer1\.", "res2."),
    (r"^layer2\.", "res3."),
    (r"^layer3\.", "res4."),
    (r"^layer4\.", "res5."),
    (r"\bbn(\d)\b", r"conv\1.norm"),
    (r"\bdownsample\.0\b", "shortcut"),
    (r"\bdownsample\.1\b", "shortcut.norm"),
)


def resnet_to_variables(
    tensors: Mapping[str, np.ndarray],
    template: Mapping[str, Any],
    *,
    input_format: InputFormat,
    stride_in_1x1: bool,
    pixel_mean: Sequence[float],
    pixel_std: Sequence[float],
    source: str = "the backbone file",
) -> dict[str, Any]:
    """Turn an ImageNet ResNet into the variables of our backbone.

    What the network expects of its input cannot be read off the tensors, so the caller says it.
    Torchvision's is RGB, less the mean, divided by the standard deviation, as in our model.
    Caffe's (MSRA's, Keras') is BGR less a mean, not divided. For the latter the first convolution
    is changed: its input channels are flipped and multiplied by our standard deviation. Caffe's
    mean, [123.68, 116.779, 103.939], is not quite ours, [123.675, 116.28, 103.53]; the
    difference passes the first convolution as a constant, which is taken off the running mean of
    the norm behind it. So the features are the same except for the outermost 3 pixels of the
    image's border, where the zero padding stands for the one mean or the other: at most
    0.5 of 255 grey levels.

    Args:
        tensors: torchvision's names (`layer1.0.bn1.weight`) or detectron2's (`res2.0.conv1...`).
            Float16 becomes the template's float32. A classifier is left out.
        template: the shapes of the backbone's own variables, {"params": ..., "constants": ...}
            without a level "backbone".
        input_format: "rgb_normalized" (torchvision) or "bgr_mean" (Caffe).
        stride_in_1x1: of the backbone; files with "bgr_mean" need True (bottlenecks only).
        pixel_mean: what our model subtracts, RGB, 0..255.
        pixel_std: by what our model divides.
        source: how error messages call the tensors, say the path of their file.

    Returns:
        Nested dicts of NumPy arrays, shaped as the template.

    Raises:
        UserError: tensors are missing, unexpected or mis-shaped (names all of them), or Caffe
            weights meet a backbone with torchvision's strides.
    """
    has_bottlenecks = "conv3" in template["params"].get("res2_0", {})
    if input_format == "bgr_mean" and has_bottlenecks and not stride_in_1x1:
        raise UserError(
            f"{source}: Caffe weights have their strides in the first 1x1 convolutions; "
            "model.backbone.stride_in_1x1 is False, but should be True for them"
        )
    renamed = {_detectron2_name(name): tensor for name, tensor in tensors.items()}
    variables = import_tensors(renamed, template, RESNET_RULES, skipped=SKIPPED, source=source)
    if input_format == "bgr_mean":
        _adapt_first_convolution(variables, mean=np.asarray(pixel_mean), std=np.asarray(pixel_std))
    return variables


def swin_to_variables(
    tensors: Mapping[str, np.ndarray],
    template: Mapping[str, Any],
    *,
    source: str = "the backbone file",
) -> dict[str, Any]:
    """Turn an ImageNet Swin (the original's names) into the variables of our backbone.

    The norms of the four outputs are not part of the classifier; where the file lacks them they
    start at scale 1 and bias 0.

    Args:
        tensors: `patch_embed...` and `layers...`, as the original files hold in "model". The
            classifier and the norm before it are left out.
        template: the shapes of the backbone's own variables, {"params": ...} without a level
            "backbone".
        source: how error messages call the tensors, say the path of their file.

    Returns:
        Nested dicts of NumPy arrays, shaped as the template.

    Raises:
        UserError: tensors are missing, unexpected or mis-shaped (names all of them).
    """
    norms: dict[str, np.ndarray] = {}
    for stage in range(4):
        shape = template["params"][f"norm_res{stage + 2}"]["scale"].shape
        norms[f"norm{stage}.weight"] = np.ones(shape, np.float32)
        norms[f"norm{stage}.bias"] = np.zeros(shape, np.float32)
    return import_tensors(
        norms | dict(tensors), template, SWIN_RULES, skipped=SWIN_SKIPPED, source=source
    )


def _detectron2_name(name: str) -> str:
    if re.match(r"(stem|res\d)\.", name):
        return name
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _adapt_first_convolution(
    variables: dict[str, Any], *, mean: np.ndarray, std: np.ndarray
) -> None:
    """Make a convolution of BGR less Caffe's mean one of RGB less `mean`, over `std`."""
    conv = variables["params"]["stem"]["conv1"]["conv"]
    norm = variables["constants"]["stem"]["conv1"]["norm"]
    kernel = conv["kernel"][:, :, ::-1].astype(np.float64)  # [h, w, rgb, out]
    offset = np.einsum("hwio,i->o", kernel, mean - np.asarray(CAFFE_MEAN_RGB))
    conv["kernel"] = (kernel * std[:, None]).astype(np.float32)
    norm["running_mean"] = (norm["running_mean"] - offset).astype(np.float32)
