"""Hugging Face's MaskFormer, random and tiny: its folder read, run, and written back."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.checkpoints.export import write_huggingface
from maskformer_jax.pretrained import load_pretrained

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is to be downloaded
torch = pytest.importorskip("torch", reason="needs the extra `parity`")
transformers = pytest.importorskip("transformers", reason="needs the extra `parity`")

NAMES = ("sky, heaven", "road", "car", "tree", "Haus")
STAGES = ["stage1", "stage2", "stage3", "stage4"]
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


def make_backbone(kind: str):
    if kind == "swin":
        return transformers.SwinConfig(
            embed_dim=12,
            depths=[1, 2, 1, 1],
            num_heads=[1, 2, 2, 4],
            window_size=3,
            image_size=32,
            out_features=STAGES,
        )
    return transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 32, 64] if kind == "resnet18" else [32, 64, 128, 256],
        depths=[2, 2, 2, 2] if kind == "resnet18" else [3, 4, 6, 3],
        layer_type="basic" if kind == "resnet18" else "bottleneck",
        out_features=STAGES,
    )


def make_model(kind: str):
    decoder = transformers.DetrConfig(
        d_model=32, decoder_layers=2, decoder_ffn_dim=48, decoder_attention_heads=4, num_queries=7
    )
    config = transformers.MaskFormerConfig(
        backbone_config=make_backbone(kind),
        decoder_config=decoder,
        fpn_feature_size=32,
        mask_feature_size=24,
        id2label=dict(enumerate(NAMES)),
        label2id={name: label for label, name in enumerate(NAMES)},
    )
    model = transformers.MaskFormerForInstanceSegmentation(config).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():  # nothing keeps its start value, lest a mix-up of equal tensors pass
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.is_floating_point() and "empty_weight" not in name:
                noise = torch.randn(tensor.shape, generator=generator)
                is_matrix = tensor.ndim > 1
                scale = tensor[0].numel() ** -0.5 if is_matrix else 0.2
                is_scale = not is_matrix and name.endswith("weight")
                tensor.copy_(scale * noise + (1 if is_scale else 0))
    return model


def predict(model, pixel_values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        outputs = model(torch.from_numpy(np.ascontiguousarray(pixel_values.transpose(0, 3, 1, 2))))
    return outputs.class_queries_logits.numpy(), outputs.masks_queries_logits.numpy()


@pytest.fixture(
    scope="module",
    params=["swin", "resnet18", pytest.param("resnet50", marks=pytest.mark.slow)],
)
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def theirs(kind):
    return make_model(kind)


@pytest.fixture(scope="module")
def folder(theirs, kind, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("huggingface") / kind
    theirs.save_pretrained(path, max_shard_size="100KB" if kind == "swin" else "5GB")
    transformers.MaskFormerImageProcessor(
        image_mean=MEAN, image_std=STD, size={"shortest_edge": 48, "longest_edge": 96}
    ).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def loaded(folder):
    return load_pretrained(folder)


def test_predictions_agree_on_an_odd_size(loaded, theirs):
    images = np.random.default_rng(0).integers(0, 256, (1, 75, 101, 3)).astype(np.float32)
    mean, std = (np.float32(loaded.model.pixel_mean), np.float32(loaded.model.pixel_std))
    class_logits, mask_logits = predict(theirs, (images - mean) / std)
    model = loaded.model.clone(size_divisibility=0)  # every map of an odd size
    ours = jax.jit(model.apply)(loaded.variables, jnp.asarray(images))
    assert class_logits.std() > 0.3
    assert mask_logits.std() > 0.3
    np.testing.assert_allclose(ours.class_logits[-1], class_logits, rtol=1e-5, atol=5e-5)
    np.testing.assert_allclose(ours.mask_logits[-1], mask_logits, rtol=1e-5, atol=1e-4)


def test_labels_and_preprocessing_come_along(loaded, folder):
    assert tuple(category.name for category in loaded.categories) == NAMES
    assert loaded.model.pixel_mean == (127.5, 102.0, 76.5)
    assert loaded.model.pixel_std == (51.0, 76.5, 63.75)
    config = loaded.config
    assert (config.eval.short_edge, config.eval.max_size) == (48, 96)
    assert config.model.size_divisibility == 32
    assert config.data.dataset == str(folder / "config.json")  # no data set has these classes


def test_written_back_it_is_the_same_model(loaded, theirs, folder, kind, tmp_path):
    assert (folder / "model.safetensors.index.json").exists() == (kind == "swin")
    names = [category.name for category in loaded.categories]
    write_huggingface(loaded.variables, loaded.config, tmp_path / "out", label_names=names)
    back, info = transformers.MaskFormerForInstanceSegmentation.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert {key: list(value) for key, value in info.items() if value} == {}
    assert back.config.id2label == dict(enumerate(NAMES))
    expected = theirs.state_dict()
    for name, tensor in back.state_dict().items():
        if ".encoder.model.layernorm." not in name:  # no output depends on it
            np.testing.assert_array_equal(tensor.numpy(), expected[name].numpy(), err_msg=name)
    pixel_values = np.random.default_rng(1).normal(size=(1, 64, 70, 3)).astype(np.float32)
    for ours, wanted in zip(
        predict(back.eval(), pixel_values), predict(theirs, pixel_values), strict=True
    ):
        np.testing.assert_array_equal(ours, wanted)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "out")
    np.testing.assert_allclose(processor.image_mean, MEAN, rtol=1e-7)
    np.testing.assert_allclose(processor.image_std, STD, rtol=1e-7)
    assert dict(processor.size) == {"shortest_edge": 48, "longest_edge": 96}
    assert processor.size_divisor == 32
    again = load_pretrained(tmp_path / "out")
    jax.tree.map(np.testing.assert_array_equal, again.variables, loaded.variables)
    assert again.config.model == loaded.config.model
