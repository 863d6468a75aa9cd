"""Every parameter of every module starts from the published distribution."""

import re
from collections import defaultdict
from math import prod, sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from maskformer_jax.models.maskformer import MaskFormer
from maskformer_jax.models.per_pixel import PerPixelBaseline
from maskformer_jax.parts.backbones.resnet.model import BottleneckBlock, DeepLabStem
from maskformer_jax.parts.backbones.swin.model import Swin
from maskformer_jax.parts.pixel_decoders.fpn.model import FPNPixelDecoder
from maskformer_jax.parts.pixel_decoders.transformer_fpn.model import TransformerEncoder
from maskformer_jax.parts.transformer_decoders.maskformer.model import TransformerDecoder

NUM_CLASSES = 40
# Scales by the shape of the tensor, kernels [..., in, out]; those of biases by that of the kernel.


def xavier(shape):
    return sqrt(3 / prod(shape[:-1]))


def torch_default(shape):
    return 1 / sqrt(prod(shape[:-1]))


def glorot(shape):
    return sqrt(6 / (shape[0] + shape[1]))


def msra(shape):
    return sqrt(2 / (prod(shape[:-2]) * shape[-1]))


# What architecture notes of the published code say: path, distribution, its scale.
RULES = (
    (r"backbone/(stem|res\d).*/conv/kernel", "normal", msra),
    (r"predictor/kernel", "normal", msra),
    (r"pixel_decoder/(adapter|layer)_\d/conv/kernel", "uniform", xavier),
    (r"pixel_decoder/mask_features/kernel", "uniform", xavier),
    (r".*/input_proj/kernel", "uniform", xavier),
    (r"(predictor|.*/input_proj|pixel_decoder/mask_features)/bias", "constant", lambda _: 0.0),
    # One draw over the packed matrix of q, k and v.
    (r".*_attention/(query|key|value)/kernel", "uniform", lambda shape: sqrt(6 / (4 * shape[0]))),
    (r".*_attention/out/kernel", "uniform", lambda shape: sqrt(6 / (2 * shape[-1]))),
    (r".*_attention/(query|key|value|out)/bias", "constant", lambda _: 0.0),
    (r".*/layer_\d/ffn/linear\d/kernel", "uniform", glorot),
    (r".*/layer_\d/ffn/linear\d/bias", "uniform", torch_default),
    (r"transformer_decoder/query_embed", "normal", lambda _: 1.0),
    (r"transformer_decoder/class_embed/(kernel|bias)", "uniform", torch_default),
    (r"transformer_decoder/mask_embed/layer_\d/(kernel|bias)", "uniform", torch_default),
    (r"backbone/patch_embed/proj/(kernel|bias)", "uniform", torch_default),
    (r"backbone/res\d_\d/attention/(qkv|proj)/(kernel|bias)", "uniform", torch_default),
    (r"backbone/res\d_\d/linear\d/(kernel|bias)", "uniform", torch_default),
    (r"backbone/merge_res\d/reduction/kernel", "uniform", torch_default),
    (r"backbone/.*/relative_position_bias_table", "normal", lambda _: 0.02),
    (r"(.*/)?norm[^/]*/scale", "constant", lambda _: 1.0),
    (r"(.*/)?norm[^/]*/bias", "constant", lambda _: 0.0),
)


class OneBlock(nn.Module):
    """All kinds of layers of a ResNet, few of each: every draw has to be compiled."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = DeepLabStem(16, name="stem")(x)
        x = BottleneckBlock(16, name="res2_0")(x)
        return {2**i: x[:, :: 2 ** (i - 2), :: 2 ** (i - 2)] for i in range(2, 6)}


MODELS = {
    "ResNet and the head for pixels": PerPixelBaseline(
        backbone=OneBlock(),
        pixel_decoder=FPNPixelDecoder(conv_dim=32, mask_dim=32),
        num_classes=NUM_CLASSES,
    ),
    "Swin and transformers": MaskFormer(
        backbone=Swin(embed_dim=32, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8)),
        pixel_decoder=FPNPixelDecoder(
            conv_dim=32,
            mask_dim=32,
            encoder=TransformerEncoder(num_layers=1, hidden_dim=32, num_heads=4, ffn_dim=96),
        ),
        transformer_decoder=TransformerDecoder(
            num_classes=NUM_CLASSES,
            num_queries=30,
            num_layers=1,
            hidden_dim=32,
            num_heads=4,
            ffn_dim=128,
            mask_dim=32,
            enforce_input_proj=True,
        ),
    ),
}


SLOW = pytest.param("Swin and transformers", marks=pytest.mark.slow)  # a minute of compiling


@pytest.fixture(scope="module", params=["ResNet and the head for pixels", SLOW])
def variables(request):
    key = jax.random.key(3, impl="rbg")  # compiles in less time than the default
    images = jnp.zeros((1, 32, 32, 3), jnp.uint8)
    return jax.jit(MODELS[request.param].init)(key, images)


def flat(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf, np.float64)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def test_parameters(variables):
    leaves = flat(variables["params"])
    draws = defaultdict(list)
    for path, x in leaves.items():
        matching = [rule for rule in RULES if re.fullmatch(rule[0], path)]
        assert len(matching) == 1, path
        pattern, kind, scale_of = matching[0]
        shape = x.shape
        if path.endswith("/bias") and kind != "constant":
            shape = leaves[path.removesuffix("bias") + "kernel"].shape
        scale = scale_of(shape)
        if kind == "constant":
            np.testing.assert_array_equal(x, scale, err_msg=path)
            continue
        if kind == "uniform":
            assert np.abs(x).max() <= scale * (1 + 1e-6), path
        draws[pattern, kind].append((x / scale).ravel())
    assert len({kind for _, kind in draws}) == 2
    for (pattern, kind), parts in draws.items():
        together = np.concatenate(parts)
        std = 1 if kind == "normal" else 1 / sqrt(3)
        rough = 4 / sqrt(together.size)
        assert abs(together.mean()) < rough * std, pattern
        np.testing.assert_allclose(together.std(), std, rtol=rough, err_msg=pattern)
        if kind == "normal":
            assert np.abs(together).max() > 2.5, pattern
        for x in parts:  # each by itself too, as far as its size tells
            np.testing.assert_allclose(x.std(), std, rtol=6 / sqrt(x.size), err_msg=pattern)


def test_frozen_batch_norms_start_as_the_identity(variables):
    expected = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1 - 1e-5}
    for path, x in flat(variables.get("constants", {})).items():
        np.testing.assert_allclose(x, expected[path.rpartition("/")[2]], rtol=1e-7)
