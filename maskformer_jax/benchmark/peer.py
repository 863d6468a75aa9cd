"""The same work by transformers' MaskFormer in PyTorch; needs the extra `parity`.

Its weights are ours, exported, so the two compute the same numbers: see `logits`.
"""

from typing import Any

import numpy as np
import torch
import transformers

from maskformer_jax.benchmark.case import Case, Prepared
from maskformer_jax.benchmark.ours import Work
from maskformer_jax.benchmark.synthetic import draw_batch, draw_images
from maskformer_jax.config import Config
from maskformer_jax.config.io import load_config
from maskformer_jax.config.overrides import apply_overrides


def prepare(case: Case) -> Work:
    """Build what a case runs; it compiles, if at all, in the first call."""
    config = apply_overrides(load_config(case.config), list(case.overrides))
    model = load(case.weights, train=case.what == "train").to(_device())
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    work = {"infer": _infer, "predict": _predict, "train": _train}[case.what]
    run = work(model, case, config)
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    prepared = Prepared(name, parameters, None, None, None, versions)
    return Work(prepared, run, _peak, dict)


def load(folder: str, *, train: bool) -> Any:
    """The exported model; batch norms are frozen, as they are in ours."""
    model = transformers.MaskFormerForInstanceSegmentation.from_pretrained(folder)
    model.train(train)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
            module.weight.requires_grad_(False)
            module.bias.requires_grad_(False)
    return model


def normalize(images: np.ndarray, config: Config) -> torch.Tensor:
    """Images as the model takes them: float32 [B, 3, h, w]."""
    mean, std = (
        np.asarray(x, np.float32) for x in (config.model.pixel_mean, config.model.pixel_std)
    )
    normal = (images.astype(np.float32) - mean) / std
    return torch.from_numpy(normal.transpose(0, 3, 1, 2).copy())


def supervise(model: Any, pixels: torch.Tensor, layers: list[torch.Tensor]) -> tuple[list, list]:
    """Class and mask logits of every decoder layer, through the final norm and both heads.

    The model's own `use_auxiliary_loss` scores the raw queries as one more layer and leaves out the
    norm of all layers but the last (paper section 3.3: deep supervision of each layer's output).

    Args:
        model: of transformers.
        pixels: of `normalize`.
        layers: that a hook on each decoder layer fills.
    """
    layers.clear()
    maps = model.model(pixel_values=pixels).pixel_decoder_last_hidden_state
    hidden = [model.model.transformer_module.decoder.layernorm(x) for x in layers]
    classes = [model.class_predictor(x) for x in hidden]
    masks = [torch.einsum("bqc,bchw->bqhw", model.mask_embedder(x), maps) for x in hidden]
    return classes, masks


def watch_layers(model: Any) -> list[torch.Tensor]:
    """A list that each forward pass appends the output of every decoder layer to."""
    layers: list[torch.Tensor] = []
    for layer in model.model.transformer_module.decoder.layers:
        layer.register_forward_hook(
            lambda _, __, out: layers.append(out[0] if isinstance(out, tuple) else out)
        )
    return layers


def published_loss(model: Any, classes: list, masks: list, targets: list, labels: list) -> Any:
    """The sum over layers of the model's own loss, which matches each layer by itself."""
    classes, masks = [x.float() for x in classes], [x.float() for x in masks]
    earlier = [
        {"class_queries_logits": x, "masks_queries_logits": y}
        for x, y in zip(classes[:-1], masks[:-1], strict=True)
    ]
    return sum(model.get_loss_dict(masks[-1], classes[-1], targets, labels, earlier).values())


def _infer(model: Any, case: Case, config: Config) -> Any:
    pixels = normalize(draw_images(case.batch, case.size), config).to(_device())
    network = torch.compile(model) if case.side == "compile" else model

    def run() -> None:
        with torch.inference_mode(), _cast(config):
            network(pixel_values=pixels)
        _wait()

    return run


def _predict(model: Any, case: Case, config: Config) -> Any:
    images = draw_images(case.batch, case.size)
    processor = transformers.MaskFormerImageProcessor()
    network = torch.compile(model) if case.side == "compile" else model

    def run() -> None:
        with torch.inference_mode(), _cast(config):
            outputs = network(pixel_values=normalize(images, config).to(_device()))
            maps = processor.post_process_semantic_segmentation(
                outputs, target_sizes=[case.size] * case.batch
            )
        for one in maps:
            one.cpu()

    return run


def _train(model: Any, case: Case, config: Config) -> Any:
    batch = draw_batch(
        case.batch,
        case.size,
        segments=case.segments,
        slots=case.segments,
        num_classes=model.config.num_labels,
        overlapping=False,
    )
    device = _device()
    pixels = normalize(batch.image, config).to(device)
    dense = batch.segment_map[:, None] == np.arange(case.segments)[:, None, None]
    targets = [torch.from_numpy(x.astype(np.float32)).to(device) for x in dense]
    labels = [torch.from_numpy(x.astype(np.int64)).to(device) for x in batch.labels]
    layers = watch_layers(model)

    def forward(pixels: torch.Tensor) -> tuple[list, list]:
        return supervise(model, pixels, layers)

    network = torch.compile(forward) if case.side == "compile" else forward
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained,
        lr=config.optim.learning_rate,
        weight_decay=config.optim.weight_decay,
        fused=device == "cuda",
    )

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        with _cast(config):
            classes, masks = network(pixels)
        published_loss(model, classes, masks, targets, labels).backward()
        torch.nn.utils.clip_grad_norm_(trained, config.optim.clip_norm)
        optimizer.step()
        _wait()

    return run


def _device() -> str:
    # The same reduced precision of float32 products that JAX has by default on these cards.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    return "cuda" if torch.cuda.is_available() else "cpu"


def _cast(config: Config) -> Any:
    enabled = config.model.compute_dtype == "bfloat16"
    return torch.autocast(_device(), torch.bfloat16, enabled=enabled)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _peak() -> int | None:
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
