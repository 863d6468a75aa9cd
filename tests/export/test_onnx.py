"""The way to ONNX of docs/export.md: onnxruntime computes what our model computes."""

import copy
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from drawn_variables import draw

from maskformer_jax.__main__ import main
from maskformer_jax.checkpoints.export import write_workdir
from maskformer_jax.config.io import load_config
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.models.build import build_model
from maskformer_jax.postprocess import semantic_inference

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
SIZE = (64, 96)


def test_scores_are_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    config = copy.deepcopy(load_config("ade20k-150/maskformer_R50_bs16_160k"))
    config.model.transformer_decoder.num_layers = 2
    config.model.transformer_decoder.num_queries = 10
    config.data.dataset = "camvid"
    info = load_dataset_info(config.data.dataset)
    model = build_model(config.model, num_classes=info.num_classes)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1, *SIZE, 3)).astype(np.uint8)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    variables = jax.tree_util.tree_map_with_path(
        lambda path, leaf: draw(path[-1].key, leaf.shape, rng).astype(leaf.dtype), shapes
    )
    write_workdir(variables, config, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    convert = ["convert", "--checkpoint=run", "--output=huggingface", "--format=huggingface"]
    assert main(convert) == 0
    *_, program = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    exec(program, {})

    mean, std = np.float32(model.pixel_mean), np.float32(model.pixel_std)
    pixels = ((images - mean[None, None, None]) / std[None, None, None]).transpose(0, 3, 1, 2)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (scores,) = session.run(None, {"pixel_values": pixels.astype(np.float32)})

    predictions = jax.jit(model.apply)(variables, images)
    expected = semantic_inference(
        predictions.class_logits[-1, 0],
        predictions.mask_logits[-1, 0],
        padded_size=SIZE,
        image_size=SIZE,
        output_size=SIZE,
    )
    assert expected.std() > 0.01
    np.testing.assert_allclose(scores[0], expected, rtol=1e-4, atol=1e-4 * float(expected.max()))
