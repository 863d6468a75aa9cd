from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.config import ModelConfig
from maskformer_jax.convert.readers import read_tensors
from maskformer_jax.errors import UserError
from maskformer_jax.parts.backbones.resnet.imagenet import CAFFE_MEAN_RGB, resnet_to_variables
from maskformer_jax.parts.backbones.resnet.model import ResNet

MEAN, STD = ModelConfig().pixel_mean, ModelConfig().pixel_std
CAFFE_FILE = Path(__file__).parents[3] / "shared" / "weights" / "resnet50_imagenet_caffe.npz"
RNG = np.random.default_rng(0)


def shapes_of(model):
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def torchvision_name(path: str) -> str:
    """The inverse of the documented renaming, written on its own."""
    *places, leaf = path.split("/")
    leaf = {"kernel": "weight"}.get(leaf, leaf)
    is_norm = places[-1] == "norm"
    layer = places[-2]
    if layer == "shortcut":
        layer = f"downsample.{int(is_norm)}"
    elif is_norm:
        layer = layer.replace("conv", "bn")
    if places[0] == "stem":
        return f"{layer}.{leaf}"
    stage, block = places[0].removeprefix("res").split("_")
    return f"layer{int(stage) - 1}.{block}.{layer}.{leaf}"


def make_tensors(model) -> dict[str, np.ndarray]:
    """A random file for the model, under torchvision's names."""
    tensors = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes_of(model)):
        keys = [key.key for key in path[1:]]
        x = RNG.normal(size=leaf.shape).astype(np.float32)
        x = np.abs(x) + 0.5 if keys[-1] == "running_var" else x
        tensors[torchvision_name("/".join(keys))] = x.transpose(3, 2, 0, 1) if x.ndim == 4 else x
    return tensors


def load(tensors, model, **settings):
    kwargs = {
        "input_format": "rgb_normalized",
        "stride_in_1x1": model.stride_in_1x1,
        "pixel_mean": MEAN,
        "pixel_std": STD,
    }
    return resnet_to_variables(tensors, shapes_of(model), **(kwargs | settings))


@pytest.mark.parametrize("depth", [18, 50])
def test_torchvision_names(depth):
    model = ResNet(depth=depth, width=4)
    tensors = make_tensors(model)
    assert "layer2.0.downsample.1.running_var" in tensors
    tensors |= {"fc.weight": np.zeros((2, 3)), "fc.bias": np.zeros(2)}
    tensors["layer1.0.bn1.num_batches_tracked"] = np.zeros((), np.int64)
    variables = load(tensors, model)
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        source = tensors[torchvision_name("/".join(key.key for key in path[1:]))]
        expected = source.transpose(2, 3, 1, 0) if source.ndim == 4 else source
        np.testing.assert_array_equal(leaf, expected)


def test_detectron2_names():
    model = ResNet(depth=18, width=4)
    tensors = make_tensors(model)
    renamed = {
        "stem.conv1.weight": "conv1.weight",
        "stem.conv1.norm.bias": "bn1.bias",
        "res3.0.shortcut.norm.bias": "layer2.0.downsample.1.bias",
        "res5.1.conv2.weight": "layer4.1.conv2.weight",
    }
    others = {name: x for name, x in tensors.items() if name not in renamed.values()}
    mixed = others | {new: tensors[old] for new, old in renamed.items()}
    jax.tree.map(np.testing.assert_array_equal, load(mixed, model), load(tensors, model))


def test_a_whole_model_brings_its_backbone():
    model = ResNet(depth=18, width=4)
    tensors = make_tensors(model)
    whole = {f"backbone.{name}": x for name, x in tensors.items()}
    whole["sem_seg_head.predictor.query_embed.weight"] = np.zeros((5, 4), np.float32)
    whole["criterion.empty_weight"] = np.ones(3, np.float32)
    jax.tree.map(np.testing.assert_array_equal, load(whole, model), load(tensors, model))


def caffe2_name(name: str) -> str:
    """From torchvision's to that of Caffe2's blob; the names are those of the model zoo's files."""
    *places, kind = name.split(".")
    kind = {"weight": "w", "bias": "b", "running_mean": "rm", "running_var": "riv"}[kind]
    layer = ".".join(places[2:]) if places[0].startswith("layer") else places[0]
    is_norm = layer.startswith("bn") or layer == "downsample.1"
    kind = f"bn_{kind.replace('w', 's')}" if is_norm else kind
    if not places[0].startswith("layer"):
        return f"res_conv1_{kind}" if is_norm else f"conv1_{kind}"
    branch = "1" if "downsample" in layer else f"2{' abc'[int(layer[-1])]}"
    return f"res{int(places[0][-1]) + 1}_{places[1]}_branch{branch}_{kind}"


def test_caffe2_names():
    model = ResNet(depth=50, width=4, stride_in_1x1=True)
    tensors = make_tensors(model)
    for name in tensors:  # the files hold scale and shift alone
        if "running" in name:
            value = 0 if name.endswith("mean") else 1 - 1e-5
            tensors[name] = np.full_like(tensors[name], value)
    blobs = {caffe2_name(name): x for name, x in tensors.items() if "running" not in name}
    assert {"conv1_w", "res_conv1_bn_s", "res4_5_branch2c_bn_b", "res2_0_branch1_w"} <= set(blobs)
    blobs |= {"fc1000_w": np.zeros((5, 4)), "fc1000_b": np.zeros(5)}
    variables = load(blobs, model, input_format="bgr_mean")
    expected = load(tensors, model)
    kernel = variables["params"]["stem"]["conv1"].pop("conv")["kernel"]
    theirs = expected["params"]["stem"]["conv1"].pop("conv")["kernel"]
    np.testing.assert_allclose(kernel, theirs[:, :, ::-1] * np.float32(STD)[:, None], rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, variables, expected)  # the mean is ours already
    with pytest.raises(UserError, match="init_backbone_format should be 'caffe'"):
        load(blobs, model)


def test_the_three_convolutions_of_a_deeplab_stem():
    model = ResNet(depth=50, width=4, stem="deeplab")
    tensors = {
        name.replace("bn", "conv").replace(".", ".norm.") if name.startswith("bn") else name: x
        for name, x in make_tensors(model).items()
    }
    tensors = {
        f"stem.{name}" if name.startswith("conv") else name: x for name, x in tensors.items()
    }
    variables = load(tensors, model)
    for i in (1, 2, 3):
        np.testing.assert_array_equal(
            variables["params"]["stem"][f"conv{i}"]["conv"]["kernel"],
            tensors[f"stem.conv{i}.weight"].transpose(2, 3, 1, 0),
        )
        np.testing.assert_array_equal(
            variables["constants"]["stem"][f"conv{i}"]["norm"]["running_var"],
            tensors[f"stem.conv{i}.norm.running_var"],
        )


def test_bgr_weights_see_the_same_image():
    """Interior features of an RGB image equal those of the original network on its BGR input."""
    model = ResNet(depth=18, width=4)
    tensors = make_tensors(model)
    original = load(tensors, model)
    adapted = load(tensors, model, input_format="bgr_mean")
    image = RNG.integers(0, 256, (1, 64, 64, 3)).astype(np.float32)
    bgr = (image - np.float32(CAFFE_MEAN_RGB))[..., ::-1]
    rgb = (image - np.float32(MEAN)) / np.float32(STD)

    def stem(variables, x):
        _, state = model.apply(variables, x, capture_intermediates=True, mutable=["intermediates"])
        return np.asarray(state["intermediates"]["stem"]["conv1"]["__call__"][0])

    theirs, ours = stem(original, bgr), stem(adapted, rgb)
    scale = theirs.std()
    np.testing.assert_allclose(ours[:, 2:-2, 2:-2], theirs[:, 2:-2, 2:-2], atol=1e-5 * scale)
    # The zero padding means another grey there, by half a level of 255.
    assert 1e-5 * scale < np.abs(ours - theirs).max() < 0.05 * scale


def test_caffe_weights_need_caffe_strides():
    model = ResNet(depth=50, width=4)
    with pytest.raises(UserError, match=r"stride_in_1x1 is False, but should be True"):
        load(make_tensors(model), model, input_format="bgr_mean")
    model = model.clone(stride_in_1x1=True)
    load(make_tensors(model), model, input_format="bgr_mean")


def test_another_depth_is_told_apart():
    tensors = make_tensors(ResNet(depth=34, width=4))
    with pytest.raises(
        UserError, match=r"(?s)file\.npz does not fit.*unexpected: layer1\.2\.conv1"
    ):
        load(tensors, ResNet(depth=18, width=4), source="file.npz")


@pytest.mark.skipif(not CAFFE_FILE.exists(), reason="needs shared/weights beside the repository")
def test_real_imagenet_weights():
    model = ResNet(depth=50, stride_in_1x1=True)
    tensors = read_tensors(CAFFE_FILE)
    variables = load(tensors, model, input_format="bgr_mean", source=str(CAFFE_FILE))
    assert {x.dtype for x in jax.tree.leaves(variables)} == {np.dtype(np.float32)}
    kernel = variables["params"]["stem"]["conv1"]["conv"]["kernel"]
    bgr = tensors["conv1.weight"].astype(np.float32)
    np.testing.assert_allclose(kernel[3, 2, 0], bgr[:, 2, 3, 2] * STD[0], rtol=1e-6)
    # A trained network keeps its activations in range; a wrong order of anything would not.
    ramp = np.linspace(0, 255, 64, dtype=np.float32)
    image = np.stack(np.broadcast_arrays(ramp, ramp[:, None], 128), axis=-1)[None]
    x = (image - np.float32(MEAN)) / np.float32(STD)
    for name, feature in jax.jit(model.apply)(variables, x).items():
        assert 0.01 < feature.std() < 10, name
        assert 0.05 < np.mean(feature > 0) < 0.95, name
