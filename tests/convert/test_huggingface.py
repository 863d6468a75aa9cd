import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from maskformer_jax.__main__ import main
from maskformer_jax.checkpoints.export import write_huggingface, write_workdir
from maskformer_jax.config import (
    Config,
    ModelConfig,
    ResNetConfig,
    SwinConfig,
    TransformerFPNConfig,
)
from maskformer_jax.convert.huggingface_config import describe_preprocessing, read_config
from maskformer_jax.convert.official import from_variables
from maskformer_jax.convert.readers import read_tensors
from maskformer_jax.data.eval_examples import resize_for_eval
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError
from maskformer_jax.models.build import build_model
from maskformer_jax.pretrained import load_pretrained

NAMES = ("sky", "road, route", "car")
ATTENTION = "model.pixel_level_module.encoder.model.encoder.layers.1.blocks.1.attention.self."


def make_config() -> Config:
    config = Config(name="out")
    config.model.backbone = SwinConfig(
        embed_dim=8, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 4), window=2, drop_path=0.2
    )
    config.model.pixel_decoder.conv_dim = config.model.pixel_decoder.mask_dim = 32
    decoder = config.model.transformer_decoder
    decoder.num_queries, decoder.num_layers, decoder.hidden_dim, decoder.ffn_dim = 5, 1, 32, 32
    config.model.size_divisibility = 16
    config.eval.short_edge, config.eval.max_size = 64, 128
    config.loss.no_object_weight = 0.25
    return config


@pytest.fixture(scope="module")
def variables():
    model = build_model(make_config().model, num_classes=3)
    images = jnp.zeros((1, 32, 32, 3), jnp.uint8)
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype),
        jax.eval_shape(model.init, jax.random.key(0), images),
    )


@pytest.fixture
def folder(variables, tmp_path) -> Path:
    write_huggingface(variables, make_config(), tmp_path / "out", label_names=NAMES)
    return tmp_path / "out"


def edit(file: Path, **changes) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_folder_brings_model_config_and_labels(folder, variables):
    loaded = load_pretrained(folder)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    assert tuple(category.name for category in loaded.categories) == NAMES
    assert len({category.color for category in loaded.categories}) == 3
    expected = make_config()
    expected.data.dataset = str(folder / "config.json")
    assert loaded.config == expected


def test_known_labels_bring_their_data_set(folder):
    # Cityscapes under names as others write them.
    names = "Road,Sidewalk,building,wall,fence,pole,traffic_light,traffic sign,vegetation,terrain,"
    names += "sky,person,rider,car,truck,bus,train,motorcycle,my bicycle"
    labels = {str(label): name for label, name in enumerate(names.split(","))}
    tensors = load_file(folder / "model.safetensors")
    for name in ("class_predictor.weight", "class_predictor.bias", "criterion.empty_weight"):
        tensors[name] = np.resize(tensors[name], (20, *tensors[name].shape[1:]))
    save_file(tensors, folder / "model.safetensors")
    edit(folder / "config.json", id2label=labels)
    loaded = load_pretrained(folder)
    assert loaded.config.data.dataset == "cityscapes-19"
    assert loaded.categories[6].name == "traffic_light"
    assert loaded.categories[13].is_thing
    assert not loaded.categories[0].is_thing


def test_a_workdir_made_of_it_stands_alone(folder, tmp_path):
    loaded = load_pretrained(folder)
    write_workdir(loaded.variables, loaded.config, tmp_path / "run")
    for file in folder.iterdir():
        file.unlink()
    again = load_pretrained(tmp_path / "run")
    assert again.categories == loaded.categories
    jax.tree.map(np.testing.assert_array_equal, again.variables, loaded.variables)


def test_the_command_converts_to_every_kind(folder, tmp_path, variables, capsys):
    def convert(checkpoint: Path, output: str, *options: str) -> Path:
        arguments = [f"--checkpoint={checkpoint}", f"--output={tmp_path / output}", *options]
        assert main(["convert", *arguments]) == 0
        return tmp_path / output

    run = convert(folder, "run")
    back = convert(run, "back", "--format=huggingface")
    released = convert(run, "released.pkl")
    current = convert(run, "current.safetensors", "--naming=current")
    for file in ("model.safetensors", "config.json", "preprocessor_config.json"):
        assert (back / file).read_bytes() == (folder / file).read_bytes()
    tensors = from_variables(
        variables, make_config().model, naming="released", no_object_weight=0.25
    )
    for name, tensor in read_tensors(released).items():
        np.testing.assert_array_equal(tensor, tensors[name])
    level = "sem_seg_head.pixel_decoder.mask_features.bias"
    assert level in read_tensors(current)
    assert level.replace("pixel_decoder.", "") in read_tensors(released)
    capsys.readouterr()
    arguments = [f"--checkpoint={run}", f"--output={folder}", "--format=huggingface"]
    assert main(["convert", *arguments]) == 1
    assert "exists already" in capsys.readouterr().err


def test_shards_and_the_names_inside_transformers_5(folder, variables):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    new = {
        name.replace("_attn.out_proj", "_attn.o_proj").replace(".fc", ".mlp.fc"): tensor
        for name, tensor in tensors.items()
    }
    assert new.keys() != tensors.keys()
    shards = [dict(list(new.items())[i::2]) for i in range(2)]
    places = {}
    for i, shard in enumerate(shards):
        save_file(shard, folder / f"model-{i}.safetensors")
        places |= dict.fromkeys(shard, f"model-{i}.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    loaded = load_pretrained(folder)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    (folder / "model-1.safetensors").unlink()
    with pytest.raises(UserError, match=r"model-1\.safetensors: no such file"):
        load_pretrained(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
    with pytest.raises(UserError, match="its files should lie beside it"):
        load_pretrained(folder)


def test_missing_extra_and_mis_shaped_tensors_in_one_message(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors[ATTENTION + "key.bias"]
    tensors["extra"] = np.zeros(2, np.float32)
    tensors["class_predictor.bias"] = np.zeros(9, np.float32)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(UserError) as error:
        load_pretrained(folder)
    assert str(error.value).splitlines() == [
        f"{folder} does not fit the model:",
        f"  missing: {ATTENTION}key.bias [16]",
        "  wrong shape: class_predictor.bias is [9], the model needs [4]",
        "  unexpected: extra [2]",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mask2former"}, "model_type is 'mask2former', but should be 'maskformer'"),
        (
            {"backbone_config": {"model_type": "swin", "patch_size": 2, "hidden_act": "relu"}},
            r"(?s)patch_size is 2, should be 4.*hidden_act is 'relu', should be 'gelu'",
        ),
        ({"backbone_config": {"model_type": "convnext"}}, "should be 'resnet' or 'swin'"),
        (
            {"backbone_config": {"model_type": "resnet", "depths": [1, 1, 1, 1]}},
            r"depths are bottleneck \[1, 1, 1, 1\], should be one of basic \[2, 2, 2, 2\]",
        ),
        (
            {"backbone_config": {"model_type": "resnet", "hidden_sizes": [64, 128, 256, 512]}},
            r"hidden_sizes is \[64.*should be \[256",
        ),
        ({"decoder_config": {"activation_function": "gelu"}}, "activation_function is 'gelu'"),
        ({"fpn_feature_size": "many"}, r"config\.json: not a config of MaskFormer"),
        ({"id2label": {"0": "a", "2": "b"}}, "must name the labels 0..K-1"),
    ],
)
def test_another_model_is_refused(folder, changes, message):
    edit(folder / "config.json", **changes)
    with pytest.raises(UserError, match=message):
        load_pretrained(folder)


def test_older_spellings_of_preprocessing(folder):
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"size": 512, "max_size": 2048, "size_divisibility": 32})
    )
    config = read_config(folder)
    assert (config.eval.short_edge, config.eval.max_size) == (512, 2048)
    assert config.model.size_divisibility == 32
    assert config.model.pixel_mean == ModelConfig().pixel_mean
    assert config.model.pixel_std == ModelConfig().pixel_std


def test_a_folder_without_tensors(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"should hold model\.safetensors or pytorch_model\.bin"):
        load_pretrained(folder)


def test_parts_that_hugging_face_lacks_are_all_named(variables, tmp_path):
    config = make_config()
    config.model.backbone = ResNetConfig(stem="deeplab", res5_dilations=(1, 2, 4))
    config.model.pixel_decoder = TransformerFPNConfig()
    with pytest.raises(UserError) as error:
        write_huggingface(variables, config, tmp_path / "out", label_names=NAMES)
    for name in ("pixel_decoder.type", "backbone.stem", "backbone.res5_dilations"):
        assert name in str(error.value)
    assert not (tmp_path / "out").exists()


def test_decoders_that_hugging_face_lacks_are_refused(variables, tmp_path):
    config = make_config()
    decoder = config.model.transformer_decoder
    decoder.share_heads = decoder.self_attention = False
    decoder.num_layers = 0
    with pytest.raises(UserError) as error:
        write_huggingface(variables, config, tmp_path / "new", label_names=NAMES)
    for field in ("share_heads is False", "self_attention is False", "num_layers is 0"):
        assert f"config.model.transformer_decoder.{field}" in str(error.value)
    assert not (tmp_path / "new").exists()


def test_labels_of_another_number_than_the_configs_classes_are_refused(folder):
    config = make_config()
    labels = json.loads((folder / "config.json").read_text())["id2label"]
    categories = folder.parent / "three.json"
    categories.write_text(json.dumps({"id2label": labels}))
    edit(folder / "config.json", id2label=dict(list(labels.items())[:2]))
    config.data.dataset = str(categories)
    with pytest.raises(UserError, match=r"names 2 classes, but the data set .* has 3"):
        load_pretrained(folder, config=config)


@pytest.mark.parametrize(
    ("changes", "mean", "std"),
    [
        ({"do_normalize": False}, 0.0, 255.0),
        ({"do_rescale": False}, 0.5, 0.25),
        ({"do_rescale": False, "do_normalize": False}, 0.0, 1.0),
        ({"rescale_factor": 1 / 127.5}, 63.75, 31.875),
    ],
)
def test_switches_of_preprocessing(folder, changes, mean, std):
    file = folder / "preprocessor_config.json"
    edit(file, image_mean=[0.5] * 3, image_std=[0.25] * 3, **changes)
    model = read_config(folder).model
    assert model.pixel_mean == pytest.approx((mean,) * 3)
    assert model.pixel_std == pytest.approx((std,) * 3)


def test_images_that_are_not_resized(folder):
    edit(folder / "preprocessor_config.json", do_resize=False)
    config = read_config(folder)
    assert resize_for_eval(np.zeros((33, 70, 3), np.uint8), config.eval).shape == (33, 70, 3)
    assert describe_preprocessing(config)["do_resize"] is False


def test_preprocessing_that_ours_lacks_is_refused(folder):
    edit(folder / "preprocessor_config.json", resample=0, size={"height": 48, "width": 48})
    message = r"size is .*keeps the aspect(?s:.)*resample is 0, should be 2"
    with pytest.raises(UserError, match=message):
        read_config(folder)


@pytest.mark.parametrize(("fields", "number"), [({}, 2), ({"num_labels": 3}, 3)])
def test_labels_that_transformers_does_not_write(folder, fields, number):
    file = folder / "config.json"
    values = json.loads(file.read_text())
    del values["id2label"]
    file.write_text(json.dumps(values | fields))
    names = load_dataset_info(str(file)).categories
    assert [one.name for one in names] == [f"LABEL_{label}" for label in range(number)]
    if number == len(NAMES):
        assert [one.name for one in load_pretrained(folder).categories] == [
            f"LABEL_{label}" for label in range(number)
        ]


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_wrappers_are_taken_off(tmp_path, prefix):
    tensors = {"backbone.stem.weight": np.zeros(2), "sem_seg_head.x": np.ones(3)}
    np.savez(tmp_path / "a.npz", **{prefix + name: tensor for name, tensor in tensors.items()})
    assert read_tensors(tmp_path / "a.npz").keys() == tensors.keys()
    mixed = {prefix + "a": np.zeros(1), "b": np.zeros(1)}
    np.savez(tmp_path / "b.npz", **mixed)
    assert read_tensors(tmp_path / "b.npz").keys() == mixed.keys()
