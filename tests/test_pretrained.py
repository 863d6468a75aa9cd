import copy
import dataclasses
import pickle
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_as_users_do import FUSED_AS_USERS_DO
from PIL import Image

from maskformer_jax.checkpoints.export import write_published, write_workdir
from maskformer_jax.config import Config
from maskformer_jax.config.io import load_config
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.transforms import resize_image, shortest_edge_size
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation import devices
from maskformer_jax.models.build import build_model
from maskformer_jax.postprocess import semantic_inference
from maskformer_jax.pretrained import PREDICTION_PROGRAMS, Loaded, load_pretrained
from maskformer_jax.resize import padded_size


@pytest.fixture(scope="module")
def config() -> Config:
    config = load_config("shapes/maskformer_R18")
    config.model.backbone.width, config.model.backbone.norm = 8, "frozen_batch_norm"
    config.model.pixel_decoder.conv_dim = config.model.pixel_decoder.mask_dim = 32
    decoder = config.model.transformer_decoder
    decoder.num_queries, decoder.num_layers, decoder.hidden_dim, decoder.ffn_dim = 5, 1, 32, 32
    config.eval.short_edge, config.eval.max_size = 48, 96
    return config


@pytest.fixture(scope="module")
def saved(config) -> Loaded:
    """A tiny model with random variables, drawn without compiling its initializers."""
    info = load_dataset_info(config.data.dataset)
    model = build_model(config.model, num_classes=info.num_classes)
    images = jnp.zeros((1, 32, 32, 3), jnp.uint8)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    rng = np.random.default_rng(7)
    variables = {
        "params": jax.tree.map(
            lambda leaf: jnp.asarray(rng.normal(0, 0.4, leaf.shape), leaf.dtype), shapes["params"]
        ),
        "constants": jax.tree.map(
            lambda leaf: jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape), leaf.dtype),
            shapes["constants"],
        ),
    }
    return Loaded(model=model, variables=variables, config=config, categories=info.categories)


@pytest.fixture(scope="module")
def files(saved, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    write_workdir(saved.variables, saved.config, folder / "run")
    for name in ("model.pkl", "model.npz"):
        write_published(saved.variables, saved.config, folder / name)
    return folder


def photograph(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(height)
    small = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR))


def assert_same_variables(ours, theirs) -> None:
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize("path", ["run", "run/checkpoints", "run/checkpoints/0"])
def test_our_checkpoints_bring_their_config(files, saved, path):
    loaded = load_pretrained(files / path)
    assert loaded.config == saved.config
    assert loaded.categories == saved.categories
    assert_same_variables(loaded.variables, saved.variables)


def test_a_loaded_model_has_its_categories(saved):
    assert saved.palette.shape == (len(saved.categories), 3)
    assert tuple(saved.palette[2]) == saved.categories[2].color
    assert len(set(map(tuple, saved.palette))) == len(saved.categories)
    assert {category.is_thing for category in saved.categories} == {False, True}


@pytest.mark.parametrize("path", ["model.pkl", "model.npz"])
def test_published_files_need_a_config(files, saved, path):
    loaded = load_pretrained(files / path, config=saved.config)
    assert_same_variables(loaded.variables, saved.variables)
    with pytest.raises(UserError, match=f"{path} does not say which model it is"):
        load_pretrained(files / path)


@pytest.mark.parametrize("suffix", [".pt", ".bin"])
def test_every_suffix_of_pytorch_is_taken_for_a_checkpoint(saved, tmp_path, suffix):
    (tmp_path / f"model{suffix}").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="damaged or truncated, or not"):
        load_pretrained(tmp_path / f"model{suffix}", config=saved.config)


def test_a_damaged_config_of_a_run_is_named(files, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to(files / "run" / "checkpoints")
    (tmp_path / "run" / "config.json").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"run/config\.json"):
        load_pretrained(tmp_path / "run")


def test_name_and_config_together_are_refused(files, saved):
    with pytest.raises(UserError, match="not both"):
        load_pretrained(files / "run", "shapes/maskformer_R18", config=saved.config)


@pytest.mark.parametrize("path", ["run", "model.pkl"])
def test_a_checkpoint_of_another_model_lists_what_does_not_fit(files, path):
    with pytest.raises(UserError) as error:
        load_pretrained(files / path, "shapes/maskformer_R18")
    assert str(files / path) in str(error.value)
    for part in ("query_embed", "layer"):
        assert part in str(error.value)


def test_a_path_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no such checkpoint"):
        load_pretrained(tmp_path / "none")
    with pytest.raises(UserError, match="is not a checkpoint; it must be a workdir"):
        load_pretrained(tmp_path)


def test_a_workdir_without_its_config_asks_for_one(files, saved, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to(files / "run" / "checkpoints")
    with pytest.raises(UserError, match=r"there is no config\.json beside the checkpoints"):
        load_pretrained(tmp_path / "run")
    loaded = load_pretrained(tmp_path / "run", config=saved.config)
    assert_same_variables(loaded.variables, saved.variables)


def test_predict_equals_model_and_semantic_inference(saved):
    image = photograph(60, 100)
    result = saved.predict(image)

    size = shortest_edge_size((60, 100), 48, 96)
    assert size == (48, 80)
    predictions = jax.jit(saved.model.apply)(
        saved.variables, jnp.asarray(resize_image(image, size)[None])
    )
    scores = semantic_inference(
        predictions.class_logits[-1, 0],
        predictions.mask_logits[-1, 0],
        padded_size=padded_size(size, 32),
        image_size=size,
        output_size=(60, 100),
    )
    best_two = jnp.sort(scores, axis=0)[-2:]
    clear = np.asarray(best_two[1] - best_two[0] > 1e-5)  # elsewhere rounding decides
    assert clear.mean() > 0.9
    assert len(np.unique(result.semantic[clear])) > 1
    assert result.semantic.dtype == np.int32
    np.testing.assert_array_equal(
        result.semantic[clear], np.asarray(jnp.argmax(scores, axis=0))[clear]
    )
    assert (result.panoptic, result.segments, result.instances) == (None, None, None)


def test_predict_takes_a_path_and_compiles_once_for_similar_sizes(saved, tmp_path, compilations):
    fresh = dataclasses.replace(saved)
    Image.fromarray(photograph(50, 40)).save(tmp_path / "a.png")
    from_file = fresh.predict(tmp_path / "a.png").semantic
    np.testing.assert_array_equal(from_file, fresh.predict(photograph(50, 40)).semantic)
    for size in ((52, 40), (48, 36), (51, 39)):
        assert fresh.predict(photograph(*size)).semantic.shape == size
    assert compilations.count("jit(inference)") == 1
    assert fresh.predict(photograph(40, 50)).semantic.shape == (40, 50)
    assert compilations.count("jit(inference)") == 2


def test_many_images_are_predicted_in_few_programs_and_in_their_order(
    saved, tmp_path, compilations
):
    """As each is alone in the program for its very size."""
    fresh, exact = dataclasses.replace(saved), dataclasses.replace(saved)
    exact.config = copy.deepcopy(saved.config)
    exact.config.eval.shapes = "exact"
    sizes = [(50, 40), (40, 50), (61, 100), (50, 40)]
    images = [photograph(*size) for size in sizes]
    Image.fromarray(images[1]).save(tmp_path / "b.png")
    given = [images[0], tmp_path / "b.png", *images[2:]]
    before = len(compilations)
    results = fresh.predict_batch(given)
    assert len(compilations) - before <= PREDICTION_PROGRAMS
    for image, size, result in zip(images, sizes, results, strict=True):
        assert result.semantic.shape == size
        differs = result.semantic != exact.predict(image).semantic
        assert differs.mean() < 1e-3  # where rounding decides
    assert fresh.predict_batch([]) == []


@pytest.mark.parametrize(
    "image",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.float32)],
)
def test_arrays_that_are_not_images_are_refused(saved, image):
    with pytest.raises(UserError, match="an image should be uint8"):
        saved.predict(image)


def test_missing_image_file(saved, tmp_path):
    with pytest.raises(UserError, match=r"none\.png"):
        saved.predict(tmp_path / "none.png")


def test_a_published_file_has_the_layout_that_the_published_code_loads(files, saved):
    content = pickle.loads((files / "model.pkl").read_bytes())
    assert set(content) == {"model", "__author__"}
    # The published loader inserts the level `pixel_decoder.` itself.
    assert "sem_seg_head.mask_features.weight" in content["model"]
    query_embed = saved.variables["params"]["transformer_decoder"]["query_embed"]
    np.testing.assert_array_equal(
        content["model"]["sem_seg_head.predictor.query_embed.weight"],
        jax.tree.leaves(query_embed)[0],
    )


def test_exports_overwrite_no_folder_and_know_their_suffixes(files, saved):
    with pytest.raises(UserError, match="exists already"):
        write_workdir(saved.variables, saved.config, files / "run")
    with pytest.raises(UserError, match=r"must end in \.pkl, \.npz or \.safetensors"):
        write_published(saved.variables, saved.config, files / "model.pth")


def test_thresholds_are_changed_without_the_network(saved, monkeypatch):
    # Two programs compute the scores, with equal digits where loops are fused as users' are.
    monkeypatch.setattr(devices, "inference_options", lambda *_, **__: FUSED_AS_USERS_DO)
    config = copy.deepcopy(saved.config)
    config.eval.task, config.eval.object_mask_threshold = "panoptic", 0.3
    config.eval.overlap_threshold = 0.1
    loaded = dataclasses.replace(saved, config=config)
    picture = photograph(50, 61)
    expected = loaded.predict(picture)
    assert len(expected.segments) > 1
    adjust = loaded.predict_adjustable(picture)
    monkeypatch.setattr(type(saved.model), "__call__", None)  # the network cannot run again
    same = adjust(0.3, 0.1)
    np.testing.assert_array_equal(same.panoptic, expected.panoptic)
    np.testing.assert_array_equal(same.semantic, expected.semantic)
    assert same.segments == expected.segments
    assert [one.score for one in same.instances] == [one.score for one in expected.instances]
    assert adjust(1.0, 0.1).segments == ()
    fewer = adjust(0.3, 0.95).segments
    assert len(fewer) < len(expected.segments)


def test_frames_have_the_results_that_they_have_alone(saved):
    config = copy.deepcopy(saved.config)
    config.eval.batch_size = 2
    loaded = dataclasses.replace(saved, config=config)
    frames = [photograph(40, 50)[:, ::step] for step in (1, -1, 1)]
    frames = [np.ascontiguousarray(frame) for frame in frames]
    found = list(loaded.predict_frames(iter(frames)))
    assert len(found) == 3
    for frame, (image, result) in zip(frames, found, strict=True):
        np.testing.assert_array_equal(image, frame)
        np.testing.assert_array_equal(result.semantic, saved.predict(frame).semantic)
    with pytest.raises(UserError, match="but the first was"):
        list(loaded.predict_frames([photograph(40, 50), photograph(50, 40)]))
