"""Our training step is the peer's: from one start and with the same batches, losses stay equal.

A step must never become faster by becoming another step (extra `parity`).
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `parity`")
pytest.importorskip("transformers", reason="needs the extra `parity`")

from maskformer_jax.benchmark import peer  # noqa: E402
from maskformer_jax.benchmark.synthetic import draw_batch  # noqa: E402
from maskformer_jax.checkpoints.export import write_huggingface  # noqa: E402
from maskformer_jax.config import Config  # noqa: E402
from maskformer_jax.config.io import load_config  # noqa: E402
from maskformer_jax.training.loop import Training  # noqa: E402
from maskformer_jax.training.mesh import put_batch  # noqa: E402
from maskformer_jax.training.schedule import make_schedule  # noqa: E402
from maskformer_jax.training.state import model_variables  # noqa: E402

STEPS, SEGMENTS, SIZE = 4, 4, (64, 96)


def small_config() -> Config:
    """The published recipe of R50 with less to compute, and nothing random."""
    config = load_config("ade20k-150/maskformer_R50_bs16_160k")
    decoder: Any = config.model.transformer_decoder
    decoder.num_layers, decoder.num_queries, decoder.dropout = 2, 9, 0.0
    config.train.init_backbone, config.train.batch_size = "", 2
    config.model.size_divisibility, config.data.num_segments, config.mesh.data = 0, 6, 1
    return config


def optimizer_of(model: Any, config: Config) -> Any:
    """AdamW with the recipe's groups: learning rates of the parts, decay of all but norms."""
    optim = config.optim
    norms = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, (torch.nn.LayerNorm, torch.nn.GroupNorm))
        for parameter in module.parameters()
    }
    groups: dict[tuple[float, float], list] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        backbone = "pixel_level_module.encoder" in name
        decay = optim.weight_decay
        if id(parameter) in norms:
            decay = optim.weight_decay_norm
        elif "queries_embedder" in name:
            decay = optim.weight_decay_embed
        multiplier = optim.backbone_multiplier if backbone else 1.0
        groups.setdefault((multiplier, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "base": optim.learning_rate * multiplier, "weight_decay": decay}
            for (multiplier, decay), parameters in groups.items()
        ],
        betas=(optim.b1, optim.b2),
        eps=optim.eps,
    )


def losses_of_peer(folder: Path, config: Config, batches: list) -> list[float]:
    model = peer.load(str(folder), train=True)
    assert config.model.backbone.freeze_at == 0
    layers, optimizer = peer.watch_layers(model), optimizer_of(model, config)
    schedule = make_schedule(config.optim, num_steps=config.train.num_steps)
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    losses = []
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * float(schedule(step))
        dense = batch.segment_map[:, None] == np.arange(SEGMENTS)[:, None, None]
        targets = [torch.from_numpy(x.astype(np.float32)) for x in dense]
        labels = [torch.from_numpy(x[:SEGMENTS].astype(np.int64)) for x in batch.labels]
        optimizer.zero_grad()
        classes, masks = peer.supervise(model, peer.normalize(batch.image, config), layers)
        loss = peer.published_loss(model, classes, masks, targets, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, config.optim.clip_norm)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_losses_of_the_first_steps_are_the_peers(tmp_path: Path) -> None:
    config = small_config()
    training = Training(config)
    state = training.initial_state()
    names = [category.name for category in training.info.categories]
    write_huggingface(model_variables(state), config, tmp_path / "peer", label_names=names)
    batches = []
    for step in range(STEPS):
        batch = draw_batch(2, SIZE, segments=SEGMENTS, slots=6, num_classes=150, overlapping=False)
        image = np.random.default_rng(step).integers(0, 256, batch.image.shape).astype(np.uint8)
        batches.append(batch._replace(image=image))
    ours = []
    for batch in batches:
        state, metrics = training.step(state, put_batch(batch, training.mesh))
        ours.append(float(metrics["loss"]))
    theirs = losses_of_peer(tmp_path / "peer", config, batches)
    # Adam divides gradients near zero by their own size, so rounding grows from step to step.
    for loss, wanted, bound in zip(ours, theirs, (1e-6, 5e-5, 1e-3, 1e-3), strict=True):
        np.testing.assert_allclose(loss, wanted, rtol=bound)
    assert abs(ours[-1] / ours[0] - 1) > 0.05  # the steps did something
