"""A model without frozen statistics: trained, resumed and loaded like any other."""

from pathlib import Path

import jax
import numpy as np

from maskformer_jax.config import Config, SwinConfig
from maskformer_jax.metrics_file import read_metrics
from maskformer_jax.pretrained import load_pretrained
from maskformer_jax.training.checkpoint import Checkpoints
from maskformer_jax.training.loop import Training, train


def test_swin_trains_resumes_and_loads(tiny_config: Config, tmp_path: Path) -> None:
    tiny_config.model.backbone = SwinConfig(
        embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4), window=3
    )
    tiny_config.model.transformer_decoder.num_layers = 1
    tiny_config.train.num_steps, tiny_config.train.checkpoint_every = 3, 2
    tiny_config.train.eval_every = 100
    train(tiny_config, tmp_path)
    assert all(np.isfinite(line["loss"]) for line in read_metrics(tmp_path) if "loss" in line)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        state = checkpoints.restore(Training(tiny_config).template)
    assert state is not None
    assert int(state.step) == 3
    loaded = load_pretrained(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables["params"], state.params)
