"""ImageNet Swins: from files under the names of two libraries to our variables."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskformer_jax.parts.backbones.imagenet_files import NOT_BACKBONE, WRAPPERS
from maskformer_jax.parts.backbones.swin.names import PUBLISHED_RULES
from maskformer_jax.tensor_rules.transfer import Renames, import_tensors

# Since version 0.9, timm counts the merging of patches to the stage that it leads into.
TIMM_RENAMES = (
    *WRAPPERS,
    (r"^layers\.1\.downsample\.", "layers.0.downsample."),
    (r"^layers\.2\.downsample\.", "layers.1.downsample."),
    (r"^layers\.3\.downsample\.", "layers.2.downsample."),
)
# Classifier, the norm before it, and tables that follow from the sizes.
SKIPPED = (
    r"(head|head\.fc|norm)\.(weight|bias)",
    r"layers\..*\.(relative_position_index|attn_mask)",
    *NOT_BACKBONE,
)


def swin_to_variables(
    tensors: Mapping[str, np.ndarray],
    template: Mapping[str, Any],
    *,
    source: str = "the backbone file",
) -> dict[str, Any]:
    """Turn an ImageNet Swin (the original's names, or timm's) into the variables of our backbone.

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
    is_timm = any(name.startswith("layers.3.downsample.") for name in tensors)
    renames: Renames = TIMM_RENAMES if is_timm else WRAPPERS
    own = {name.removeprefix("backbone.") for name in tensors}
    return import_tensors(
        {name: tensor for name, tensor in norms.items() if name not in own} | dict(tensors),
        template,
        PUBLISHED_RULES,
        renames=renames,
        skipped=SKIPPED,
        source=source,
    )
