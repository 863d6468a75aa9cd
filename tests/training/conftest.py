"""A run small enough for tests: tiny model, a few drawn images."""

from copy import deepcopy
from pathlib import Path

import pytest
from toy_training import ToyModel

from maskformer_jax.config import (
    AugmentConfig,
    Config,
    DataConfig,
    EvalConfig,
    FPNConfig,
    MaskFormerDecoderConfig,
    MeshConfig,
    ModelConfig,
    OptimConfig,
    ResNetConfig,
    TrainConfig,
)
from maskformer_jax.data.tfds_builders.shapes import prepare_shapes
from maskformer_jax.training import loop


@pytest.fixture(scope="session")
def shapes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shapes") / "shapes"
    prepare_shapes(root, num_train=12, num_val=3)
    return root


@pytest.fixture
def tiny_config(tiny_recipe: Config) -> Config:
    """A copy of the recipe that a test may change."""
    return deepcopy(tiny_recipe)


@pytest.fixture(scope="session")
def tiny_recipe(shapes_root: Path) -> Config:
    """Trains eight steps on 64x64 crops; dropout is on, so that its key takes part in resuming."""
    return Config(
        name="shapes/tiny",
        model=ModelConfig(
            backbone=ResNetConfig(depth=18, width=8),
            pixel_decoder=FPNConfig(conv_dim=32, mask_dim=32),
            transformer_decoder=MaskFormerDecoderConfig(
                num_queries=16, num_layers=2, hidden_dim=32, num_heads=2, ffn_dim=64
            ),
        ),
        data=DataConfig(
            dataset="shapes",
            root=str(shapes_root),
            format="tfds",
            augment=AugmentConfig(short_edges=(64, 96), crop_size=(64, 64)),
            num_segments=12,
        ),
        optim=OptimConfig(learning_rate=1e-3, backbone_multiplier=1.0, clip_norm=1.0),
        train=TrainConfig(num_steps=8, batch_size=4, log_every=1, checkpoint_every=3, eval_every=6),
        eval=EvalConfig(short_edge=64),
        mesh=MeshConfig(data=1),
    )


@pytest.fixture
def toy_config(tiny_config: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Like `tiny_config`, with a model that compiles in a second whatever the config says."""

    def build_toy(model: ModelConfig, *, num_classes: int) -> ToyModel:
        del model
        return ToyModel(num_classes=num_classes)

    monkeypatch.setattr(loop, "build_model", build_toy)
    tiny_config.model.size_divisibility = 0
    return tiny_config
