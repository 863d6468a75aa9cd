"""The PyTorch peer computes what ours does, deep supervision included (extra `parity`)."""

from pathlib import Path

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `parity`")
pytest.importorskip("transformers", reason="needs the extra `parity`")

from maskformer_jax.benchmark import peer  # noqa: E402
from maskformer_jax.benchmark.synthetic import draw_batch  # noqa: E402
from maskformer_jax.checkpoints.export import write_huggingface  # noqa: E402
from maskformer_jax.config.io import load_config  # noqa: E402
from maskformer_jax.criterion.criterion import compute_losses  # noqa: E402
from maskformer_jax.models.build import build_model  # noqa: E402

NUM_CLASSES, SEGMENTS, SIZE = 4, 3, (64, 96)


def test_the_loss_of_a_step_is_ours(tmp_path: Path) -> None:
    config = load_config("ade20k-150/maskformer_R50_bs16_160k")
    config.model.transformer_decoder.num_layers = 2
    config.model.transformer_decoder.dropout = 0.0
    config.model.transformer_decoder.num_queries = 7
    config.model.size_divisibility = 0
    model = build_model(config.model, num_classes=NUM_CLASSES)
    variables = model.init(jax.random.key(0), np.zeros((1, 64, 64, 3), np.uint8))
    names = [str(i) for i in range(NUM_CLASSES)]
    write_huggingface(variables, config, tmp_path / "peer", label_names=names)
    batch = draw_batch(
        2, SIZE, segments=SEGMENTS, slots=5, num_classes=NUM_CLASSES, overlapping=False
    )
    ours, _ = jax.jit(
        lambda variables, batch: compute_losses(
            model.apply(variables, batch.image, batch.image_valid),
            batch,
            config.loss,
            num_classes=NUM_CLASSES,
            size_divisibility=0,
        )
    )(variables, batch)

    other = peer.load(str(tmp_path / "peer"), train=False)
    layers = peer.watch_layers(other)
    with torch.inference_mode():
        classes, masks = peer.supervise(other, peer.normalize(batch.image, config), layers)
        dense = batch.segment_map[:, None] == np.arange(SEGMENTS)[:, None, None]
        targets = [torch.from_numpy(x.astype(np.float32)) for x in dense]
        labels = [torch.from_numpy(x[:SEGMENTS].astype(np.int64)) for x in batch.labels]
        theirs = peer.published_loss(other, classes, masks, targets, labels)
    assert len(classes) == 2
    np.testing.assert_allclose(float(ours), float(theirs), rtol=1e-4)
