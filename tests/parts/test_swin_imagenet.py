import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.errors import UserError
from maskformer_jax.parts.backbones.swin.imagenet import swin_to_variables
from maskformer_jax.parts.backbones.swin.model import Swin

MODEL = Swin(embed_dim=8, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 4), window=2)
TEMPLATE = jax.eval_shape(MODEL.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def imagenet_tensors() -> dict[str, np.ndarray]:
    """A file of the classifier, written down from the published list of its tensors."""
    rng = np.random.default_rng(0)
    shapes = {
        "patch_embed.proj.weight": (8, 3, 4, 4),
        "patch_embed.proj.bias": (8,),
        "norm.weight": (64,),
        "norm.bias": (64,),
        "head.weight": (1000, 64),
        "head.bias": (1000,),
    }
    for kind in ("weight", "bias"):
        shapes[f"patch_embed.norm.{kind}"] = (8,)
    for stage, depth in enumerate((1, 2, 1, 1)):
        width = 8 * 2**stage
        for block in range(depth):
            place = f"layers.{stage}.blocks.{block}."
            shapes[place + "attn.relative_position_bias_table"] = (9, (1, 2, 2, 4)[stage])
            shapes[place + "attn.relative_position_index"] = (4, 4)
            shapes[place + "attn_mask"] = (4, 4, 4)
            for name, out, inputs in (
                ("attn.qkv", 3 * width, width),
                ("attn.proj", width, width),
                ("mlp.fc1", 4 * width, width),
                ("mlp.fc2", width, 4 * width),
            ):
                shapes[f"{place}{name}.weight"], shapes[f"{place}{name}.bias"] = (
                    (out, inputs),
                    (out,),
                )
            for norm in ("norm1", "norm2"):
                shapes[f"{place}{norm}.weight"] = shapes[f"{place}{norm}.bias"] = (width,)
        if stage < 3:
            place = f"layers.{stage}.downsample."
            shapes[place + "reduction.weight"] = (2 * width, 4 * width)
            shapes[place + "norm.weight"] = shapes[place + "norm.bias"] = (4 * width,)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_classifier_fills_the_backbone_and_the_output_norms_start_fresh():
    tensors = imagenet_tensors()
    params = swin_to_variables(tensors, TEMPLATE)["params"]
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, TEMPLATE["params"])
    np.testing.assert_array_equal(
        params["res3_1"]["attention"]["qkv"]["kernel"],
        tensors["layers.1.blocks.1.attn.qkv.weight"].T,
    )
    np.testing.assert_array_equal(  # what leads into res4 belongs to the layer before
        params["merge_res4"]["reduction"]["kernel"],
        tensors["layers.1.downsample.reduction.weight"].T,
    )
    for stage in (2, 3, 4, 5):
        assert (params[f"norm_res{stage}"]["scale"] == 1).all()
        assert (params[f"norm_res{stage}"]["bias"] == 0).all()


def test_output_norms_of_a_file_are_kept():
    tensors = imagenet_tensors() | {"norm2.bias": np.full(32, 3, np.float32)}
    params = swin_to_variables(tensors, TEMPLATE)["params"]
    assert (params["norm_res4"]["bias"] == 3).all()


def test_timm_counts_merging_to_the_stage_that_follows():
    tensors = imagenet_tensors()
    timm = {
        re.sub(r"layers\.(\d)\.downsample", lambda x: f"layers.{int(x[1]) + 1}.downsample", name): x
        for name, x in tensors.items()
        if "attn_mask" not in name and not name.startswith("head")
    }
    timm["head.fc.weight"], timm["head.fc.bias"] = tensors["head.weight"], tensors["head.bias"]
    assert "layers.3.downsample.norm.weight" in timm
    theirs, ours = (swin_to_variables(x, TEMPLATE) for x in (tensors, timm))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_another_window_is_told_apart():
    tensors = imagenet_tensors()
    tensors["layers.0.blocks.0.attn.relative_position_bias_table"] = np.zeros((25, 1), np.float32)
    with pytest.raises(UserError, match=r"bias_table is \[25, 1\], the model needs \[9, 1\]"):
        swin_to_variables(tensors, TEMPLATE, source="swin.pkl")
