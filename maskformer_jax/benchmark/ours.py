"""The work of a case by this package: what is compiled, and a function that runs it once."""

import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from maskformer_jax.benchmark.case import Case, Prepared
from maskformer_jax.benchmark.synthetic import draw_batch, draw_images
from maskformer_jax.config import Config
from maskformer_jax.config.io import load_config
from maskformer_jax.config.overrides import apply_overrides
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.evaluation.buckets import Bucket
from maskformer_jax.evaluation.devices import LocalDevices
from maskformer_jax.evaluation.inference import make_network
from maskformer_jax.evaluation.runner import Evaluator
from maskformer_jax.matching.match import match
from maskformer_jax.models.build import build_model, inference_model
from maskformer_jax.precision import resolve_precision
from maskformer_jax.training.loop import Training
from maskformer_jax.training.mesh import put_batch


class Work(NamedTuple):
    """A case, ready to run."""

    prepared: Prepared
    run: Callable[[], Any]  # once; returns when it is done
    peak: Callable[[], int | None]  # bytes on the device since the start; None: not known
    extra: Callable[[], dict[str, Any]]


def prepare(case: Case) -> Work:
    """Build and compile what a case runs."""
    config = apply_overrides(load_config(case.config), list(case.overrides))
    config.train.init_backbone = ""
    config.train.batch_size = config.eval.batch_size = case.batch
    return {"infer": _infer, "predict": _predict, "eval": _predict, "train": _train}[case.what](
        case, config
    )


def _train(case: Case, config: Config) -> Work:
    config.mesh.data = 1  # one device, as the peer
    training = Training(config, devices=jax.devices()[: config.mesh.fsdp])
    host_batch = draw_batch(
        case.batch,
        case.size,
        segments=case.segments,
        slots=config.data.num_segments,
        num_classes=training.info.num_classes,
        overlapping=config.data.mapper == "instance",
    )
    batch = put_batch(host_batch, training.mesh)
    state: Any = jax.block_until_ready(training.fresh())
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    compiled, cold, cached = _compile(lambda: training.step.lower(state, batch))
    holder = [state]

    def run() -> None:
        holder[0], metrics = compiled(holder[0], batch)
        jax.block_until_ready(metrics)

    def extra() -> dict[str, Any]:
        decoder: Any = config.model.transformer_decoder
        layers = max(decoder.num_layers, 1) if decoder.deep_supervision else 1
        shape = (case.batch, layers, decoder.num_queries, config.data.num_segments)
        return {"matcher_ms": _time_matcher(shape, case, config)}

    return Work(_describe(parameters, cold, cached, compiled), run, _peak, extra)


def _infer(case: Case, config: Config) -> Work:
    model, variables = _draw(config)
    precision = resolve_precision(
        config.model.matmul_precision, compute_dtype=config.model.compute_dtype, train=False
    )
    network = make_network(inference_model(model).apply, precision=precision)
    images = jax.device_put(draw_images(case.batch, case.size))
    compiled, cold, cached = _compile(
        lambda: LocalDevices().lower(network, variables, (images, None))
    )
    parameters = sum(x.size for x in jax.tree.leaves(variables["params"]))
    return Work(
        _describe(parameters, cold, cached, compiled),
        lambda: jax.block_until_ready(compiled(variables, (images, None))),
        _peak,
        dict,
    )


def _predict(case: Case, config: Config) -> Work:
    model, variables = _draw(config)
    info = load_dataset_info(config.data.dataset)
    evaluator = Evaluator(model, config, categories=info.categories)
    bucket = Bucket(image_size=case.size, output_size=case.size, shrinkage=1.0, exact=True)
    images = list(draw_images(case.batch, case.size))
    begin = time.perf_counter()
    evaluator.compile(variables, [bucket])
    cold = time.perf_counter() - begin
    parameters = sum(x.size for x in jax.tree.leaves(variables["params"]))
    return Work(
        _describe(parameters, cold, None, None),
        lambda: evaluator.run(variables, bucket, images, [case.size] * case.batch)(),
        _peak,
        dict,
    )


def _draw(config: Config) -> tuple[Any, Any]:
    info = load_dataset_info(config.data.dataset)
    model = build_model(config.model, num_classes=info.num_classes)
    blank = np.zeros((1, 64, 64, 3), np.uint8)
    return model, jax.jit(model.init)(jax.random.key(0), blank)


def _compile(lower: Callable[[], Any]) -> tuple[Any, float, float]:
    """Compile twice, with an empty cache on disk and with what it then holds: seconds of each."""
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as empty:
        jax.config.update("jax_compilation_cache_dir", empty)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        seconds = []
        for _ in range(2):
            jax.clear_caches()
            _forget_cache()
            lowered = lower()
            begin = time.perf_counter()
            compiled = lowered.compile()
            seconds.append(time.perf_counter() - begin)
    jax.config.update("jax_compilation_cache_dir", folder)
    _forget_cache()
    return compiled, seconds[0], seconds[1]


def _forget_cache() -> None:
    # JAX opens the folder of its cache once, whatever the setting says later.
    from jax.experimental.compilation_cache import compilation_cache

    compilation_cache.reset_cache()


def _time_matcher(shape: tuple[int, int, int, int], case: Case, config: Config) -> float:
    """Milliseconds of the matching alone, on random costs of a step's shape."""
    # A run keeps its programs, as the step here was compiled, so "auto" is this one.
    matcher = "jax" if config.loss.matcher == "auto" else config.loss.matcher
    random = np.random.default_rng(0)
    cost = jax.device_put(random.random(shape, np.float32))
    valid = np.tile(np.arange(shape[3]) < case.segments, (shape[0], 1))
    solve = jax.jit(lambda cost: match(cost, valid, matcher=matcher))
    times = []
    for _ in range(6):
        begin = time.perf_counter()
        jax.block_until_ready(solve(cost))
        times.append(1000 * (time.perf_counter() - begin))
    return float(np.median(times[1:]))


def _describe(parameters: int, cold: float, cached: float | None, compiled: Any) -> Prepared:
    analysis = (compiled.cost_analysis() or {}) if compiled is not None else {}
    device = jax.devices()[0]
    return Prepared(
        device=device.device_kind,
        parameters=parameters,
        cold_s=cold,
        cached_s=cached,
        flops=analysis.get("flops"),
        versions={"jax": jax.__version__},
    )


def _peak() -> int | None:
    stats = jax.devices()[0].memory_stats()
    return stats.get("peak_bytes_in_use") if stats else None
