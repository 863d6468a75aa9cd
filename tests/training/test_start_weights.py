"""Starting from whole models of every kind, with other classes and other parts."""

import dataclasses
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.categories import Category
from maskformer_jax.checkpoints.export import write_huggingface, write_published, write_workdir
from maskformer_jax.config import Config
from maskformer_jax.convert import official
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError
from maskformer_jax.models.build import build_model
from maskformer_jax.tensor_rules.transfer import leaves
from maskformer_jax.training.pretrained_backbone import load_backbone
from maskformer_jax.training.start_weights import load_checkpoint
from maskformer_jax.training.state import TrainState

SHAPES = load_dataset_info("shapes").categories
FEWER = (SHAPES[6], Category(name="new", color=(1, 2, 3)), SHAPES[1])


def draw(config: Config, *, num_classes: int, seed: int) -> TrainState:
    """A state with random variables, drawn without compiling."""
    model = build_model(config.model, num_classes=num_classes)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3), jnp.uint8))
    rng = np.random.default_rng(seed)
    drawn = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape), leaf.dtype), shapes
    )
    return TrainState(jnp.int32(0), drawn["params"], drawn.get("constants", {}), ())


def variables(state: TrainState) -> dict[str, Any]:
    return {"params": state.params, "constants": state.constants}


def flat(state: TrainState) -> dict[str, np.ndarray]:
    return {"/".join(key): np.asarray(leaf) for key, leaf in leaves(variables(state))}


def heads(state: TrainState) -> dict[str, np.ndarray]:
    return {key: value for key, value in flat(state).items() if "class_embed" in key}


@pytest.fixture
def recipe(tiny_config: Config) -> Config:
    tiny_config.model.backbone.norm = "frozen_batch_norm"
    return tiny_config


@pytest.fixture
def trained(recipe: Config) -> TrainState:
    return draw(recipe, num_classes=9, seed=1)


WRITERS: dict[str, Callable[[TrainState, Config, Path], Path]] = {}


def writer(write: Callable[[TrainState, Config, Path], Path]) -> Any:
    WRITERS[write.__name__] = write
    return write


@writer
def workdir(state: TrainState, config: Config, folder: Path) -> Path:
    write_workdir(variables(state), config, folder / "run")
    return folder / "run"


@writer
def pickle(state: TrainState, config: Config, folder: Path) -> Path:
    write_published(variables(state), config, folder / "model.pkl")
    return folder / "model.pkl"


@writer
def wrapped(state: TrainState, config: Config, folder: Path) -> Path:
    tensors = official.from_variables(jax.tree.map(np.asarray, variables(state)), config.model)
    renamed = {f"module._orig_mod.{name}": tensor for name, tensor in tensors.items()}
    np.savez(folder / "model.npz", **renamed)
    return folder / "model.npz"


@writer
def huggingface(state: TrainState, config: Config, folder: Path) -> Path:
    names = [category.name for category in SHAPES]
    write_huggingface(variables(state), config, folder / "hf", label_names=names)
    return folder / "hf"


def start(config: Config, path: Path, categories: Any = SHAPES) -> tuple[TrainState, str]:
    config.train.init_checkpoint = str(path)
    fresh = draw(config, num_classes=len(categories), seed=2)
    state, summary = load_checkpoint(config, fresh, categories)
    assert jax.tree.map(jnp.shape, variables(state)) == jax.tree.map(jnp.shape, variables(fresh))
    return state, summary


@pytest.mark.parametrize("kind", ["workdir", "pickle", "wrapped", "huggingface"])
def test_everything_is_taken_from_every_kind(
    recipe: Config, trained: TrainState, tmp_path: Path, kind: str
) -> None:
    path = WRITERS[kind](trained, recipe, tmp_path)
    state, summary = start(recipe, path)
    for key, value in flat(trained).items():
        np.testing.assert_allclose(flat(state)[key], value, rtol=1e-6, err_msg=key)
    total = len(flat(trained))
    assert summary == f"loaded {total} of {total} arrays from {path}"


@pytest.mark.parametrize("kind", ["workdir", "huggingface"])
def test_classes_of_equal_names_keep_their_rows(
    recipe: Config, trained: TrainState, tmp_path: Path, kind: str
) -> None:
    path = WRITERS[kind](trained, recipe, tmp_path)
    state, summary = start(recipe, path, FEWER)
    fresh = draw(recipe, num_classes=3, seed=2)
    for key, value in heads(state).items():
        theirs, new = heads(trained)[key], heads(fresh)[key]
        np.testing.assert_allclose(value[..., 0], theirs[..., 6], rtol=1e-6)
        np.testing.assert_array_equal(value[..., 1], new[..., 1])
        np.testing.assert_allclose(value[..., 2], theirs[..., 1], rtol=1e-6)
        np.testing.assert_allclose(value[..., 3], theirs[..., 9], rtol=1e-6)  # no-object
    total = len(flat(state))
    assert summary == (
        f"loaded {total - 2} of {total} arrays from {path}; "
        "new: class_embed (9 classes there, 3 here; 2 of equal names kept)"
    )


def test_an_older_workdir_names_its_data_set(
    recipe: Config, trained: TrainState, tmp_path: Path
) -> None:
    path = workdir(trained, recipe, tmp_path)
    (path / "categories.json").unlink()
    _, summary = start(recipe, path, FEWER)
    assert "2 of equal names kept" in summary


def test_the_order_of_classes_may_differ(
    recipe: Config, trained: TrainState, tmp_path: Path
) -> None:
    turned = SHAPES[::-1]
    state, summary = start(recipe, workdir(trained, recipe, tmp_path), turned)
    for key, value in heads(state).items():
        np.testing.assert_array_equal(value[..., :-1], heads(trained)[key][..., -2::-1])
    assert "new: class_embed (9 classes there, 9 here; 9 of equal names kept)" in summary


def test_files_without_names_start_a_head_of_another_size_anew(
    recipe: Config, trained: TrainState, tmp_path: Path
) -> None:
    state, summary = start(recipe, pickle(trained, recipe, tmp_path), FEWER)
    fresh = heads(draw(recipe, num_classes=3, seed=2))
    for key, value in heads(state).items():
        np.testing.assert_array_equal(value, fresh[key])
    assert summary.endswith("new: class_embed (9 classes there, 3 here)")


@pytest.mark.parametrize("kind", ["workdir", "pickle"])
def test_missing_parts_are_refused_unless_named(
    recipe: Config, trained: TrainState, tmp_path: Path, kind: str
) -> None:
    path = WRITERS[kind](trained, recipe, tmp_path)
    larger = deepcopy(recipe)
    larger.model.transformer_decoder.num_layers = 3
    with pytest.raises(
        UserError, match=r"lacks parts of the model:\n  missing: (?s:.)*init_missing"
    ):
        start(larger, path)
    larger.train.init_missing = ("layer_2",)
    state, summary = start(larger, path)
    assert "; new: transformer_decoder/" in summary
    key = "params/pixel_decoder/mask_features/kernel"
    np.testing.assert_allclose(flat(state)[key], flat(trained)[key], rtol=1e-6)


def test_a_smaller_model_says_what_it_does_not_use(
    recipe: Config, trained: TrainState, tmp_path: Path
) -> None:
    path = workdir(trained, recipe, tmp_path)
    recipe.model.transformer_decoder.num_layers = 1
    _, summary = start(recipe, path)
    assert "; not used: " in summary


def test_another_shape_is_refused(recipe: Config, trained: TrainState, tmp_path: Path) -> None:
    path = pickle(trained, recipe, tmp_path)
    recipe.model.transformer_decoder.num_queries = 7
    with pytest.raises(UserError, match=r"wrong shape: .*query_embed\.weight is \[16, 32\]"):
        start(recipe, path)
    with pytest.raises(UserError, match="there is no such checkpoint"):
        start(recipe, tmp_path / "none")


def test_the_average_starts_at_the_weights(
    recipe: Config, trained: TrainState, tmp_path: Path
) -> None:
    recipe.train.init_checkpoint = str(workdir(trained, recipe, tmp_path))
    fresh = draw(recipe, num_classes=9, seed=2)
    state, _ = load_checkpoint(recipe, fresh._replace(ema_params=fresh.params), SHAPES)
    jax.tree.map(np.testing.assert_array_equal, state.ema_params, state.params)
    jax.tree.map(np.testing.assert_array_equal, state.params, trained.params)


@pytest.mark.parametrize("kind", ["workdir", "pickle", "wrapped", "huggingface"])
def test_a_backbone_is_taken_from_every_kind(
    recipe: Config, trained: TrainState, tmp_path: Path, kind: str
) -> None:
    recipe.train.init_backbone = str(WRITERS[kind](trained, recipe, tmp_path))
    fresh = draw(recipe, num_classes=3, seed=2)
    state = load_backbone(recipe, fresh)
    for key, value in flat(state).items():
        expected = flat(trained if "backbone/" in key else fresh)[key]
        np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=key)
    recipe.model.backbone.width = 16
    with pytest.raises(UserError, match=r"has another backbone:\n  wrong shape"):
        load_backbone(recipe, draw(recipe, num_classes=3, seed=2))


def test_names_that_only_count_say_nothing(
    recipe: Config, trained: TrainState, tmp_path: Path
) -> None:
    path = huggingface(trained, recipe, tmp_path)
    fields = json.loads((path / "config.json").read_text())
    fields["id2label"] = {str(label): f"LABEL_{label}" for label in range(9)}
    (path / "config.json").write_text(json.dumps(fields))
    others = tuple(dataclasses.replace(one, name=f"other {i}") for i, one in enumerate(SHAPES))
    state, _ = start(recipe, path, others)
    for key, value in heads(state).items():
        np.testing.assert_allclose(value, heads(trained)[key], rtol=1e-6)
