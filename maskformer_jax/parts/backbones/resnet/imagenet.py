"""ImageNet ResNets: from files under the names of several libraries to our variables."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from maskformer_jax.errors import UserError
from maskformer_jax.parts.backbones.imagenet_files import NOT_BACKBONE, WRAPPERS
from maskformer_jax.parts.backbones.resnet.names import PUBLISHED_RULES
from maskformer_jax.tensor_rules.transfer import import_tensors

InputFormat = Literal["rgb_normalized", "bgr_mean"]

CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)
MSRA_MEAN_RGB = (123.675, 116.28, 103.53)  # with which detectron2 runs Caffe2's files
NORM_EPSILON = 1e-5  # of frozen batch norms

# To detectron2's names, from those of torchvision and timm ...
TORCHVISION_RENAMES = (
    *WRAPPERS,
    (r"^(?=(conv1|bn1|fc)\.)", "stem."),
    (r"^layer1\.", "res2."),
    (r"^layer2\.", "res3."),
    (r"^layer3\.", "res4."),
    (r"^layer4\.", "res5."),
    (r"\bbn(\d)\b", r"conv\1.norm"),
    (r"\bdownsample\.0\b", "shortcut"),
    (r"\bdownsample\.1\b", "shortcut.norm"),
)
# ... and of Caffe2 (the MSRA files of detectron2's model zoo).
CAFFE2_RENAMES = (
    (r"^res_conv1_bn_", "stem.conv1.norm."),
    (r"^conv1_", "stem.conv1."),
    (r"^(fc1000|pred)_", "stem.fc."),
    (r"^(res\d)_(\d+)_branch1_", r"\1.\2.shortcut."),
    (r"^(res\d)_(\d+)_branch2a_", r"\1.\2.conv1."),
    (r"^(res\d)_(\d+)_branch2b_", r"\1.\2.conv2."),
    (r"^(res\d)_(\d+)_branch2c_", r"\1.\2.conv3."),
    (r"\.bn_", ".norm."),
    (r"\.norm\.s$", ".norm.weight"),
    (r"\.norm\.rm$", ".norm.running_mean"),
    (r"\.norm\.riv$", ".norm.running_var"),
    (r"\.w$", ".weight"),
    (r"\.b$", ".bias"),
)
# The classifier, and Caffe2's optimizer state.
SKIPPED = (r"stem\.(fc|linear)\.(weight|bias)", r".*_momentum", *NOT_BACKBONE)


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

    The tensors do not say which input format the network expects, so the caller does.
    Torchvision's is RGB, less the mean, divided by the standard deviation, as in our model.
    Caffe's (MSRA's, Keras') is BGR less a mean, not divided. For the latter the first convolution
    is changed: its input channels are flipped and multiplied by our standard deviation. Caffe's
    mean, [123.68, 116.779, 103.939], is not quite ours, [123.675, 116.28, 103.53]; the
    difference passes the first convolution as a constant, which is taken off the running mean of
    the norm behind it. So the features are the same except for the outermost 3 pixels of the
    image's border, where the zero padding stands for the one mean or the other: at most
    0.5 of 255 grey levels. (Files with Caffe2's names go with our mean.)

    Args:
        tensors: the names of torchvision and timm (`layer1.0.bn1.weight`), of detectron2
            (`res2.0.conv1...`, maybe in a whole model below `backbone.`) or of Caffe2
            (`res2_0_branch2a_bn_s`; norms without statistics are scale and shift alone).
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
            "config.model.backbone.stride_in_1x1 is False, but should be True for them"
        )
    is_caffe2 = any(name.endswith("_bn_s") for name in tensors)
    if is_caffe2 and input_format != "bgr_mean":
        raise UserError(
            f"{source}: files with Caffe2's names expect BGR; config.train.init_backbone_format "
            "should be 'caffe' for them"
        )
    variables = import_tensors(
        _add_statistics(tensors) if is_caffe2 else tensors,
        template,
        PUBLISHED_RULES,
        renames=CAFFE2_RENAMES if is_caffe2 else TORCHVISION_RENAMES,
        skipped=SKIPPED,
        source=source,
    )
    if input_format == "bgr_mean":
        _adapt_first_convolution(
            variables,
            theirs=np.asarray(MSRA_MEAN_RGB if is_caffe2 else CAFFE_MEAN_RGB),
            mean=np.asarray(pixel_mean),
            std=np.asarray(pixel_std),
        )
    return variables


def _add_statistics(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """With the running mean 0 and a variance that is 1 together with epsilon, where absent."""
    statistics: dict[str, np.ndarray] = {}
    for name, scale in tensors.items():
        if name.endswith("_bn_s"):
            place = name.removesuffix("s")
            statistics[place + "rm"] = np.zeros_like(scale)
            statistics[place + "riv"] = np.full_like(scale, 1 - NORM_EPSILON)
    return statistics | dict(tensors)


def _adapt_first_convolution(
    variables: dict[str, Any], *, theirs: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> None:
    """Make a convolution of BGR less their mean one of RGB less `mean`, over `std`."""
    conv = variables["params"]["stem"]["conv1"]["conv"]
    norm = variables["constants"]["stem"]["conv1"]["norm"]
    kernel = conv["kernel"][:, :, ::-1].astype(np.float64)  # [h, w, rgb, out]
    offset = np.einsum("hwio,i->o", kernel, mean - theirs)
    conv["kernel"] = (kernel * std[:, None]).astype(np.float32)
    norm["running_mean"] = (norm["running_mean"] - offset).astype(np.float32)
