"""Writing a model as one file: programs for each bucket, weights, a manifest and a loader."""

import io
import json
import math
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

import maskformer_jax
from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.config import Config
from maskformer_jax.data.eval_examples import ImageShape, eval_size
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.buckets import Bucket, cost, make_bucket, plan_buckets
from maskformer_jax.export.program import largest_reduction, make_program
from maskformer_jax.pretrained import Loaded
from maskformer_jax.progress import Progress
from maskformer_jax.types import Size

PLATFORMS = ("cpu", "cuda", "tpu")
FORMAT = 1
_ROOM = 1.2
# What JAX promises for exported programs.
COMPATIBILITY = (
    "JAX runs exported programs for at least 6 months after the release that wrote them, and up to "
    "3 weeks before it."
)


def buckets_for_sizes(sizes: Sequence[Size], config: Config) -> list[Bucket]:
    """One bucket for each (height, width), which holds smaller images of like proportions.

    The shorter side of an image is brought to `eval.short_edge`, so its longer side grows with its
    proportions; those of the bucket leave room for a fifth more.
    """
    return [
        make_bucket({ImageShape(_with_room(eval_size(size, config.eval), config), size)})._replace(
            exact=False, shrinkage=_any_shrinkage(config)
        )
        for size in sizes
    ]


def _with_room(size: Size, config: Config) -> Size:
    if not config.eval.short_edge:
        return size
    longer = max(size)
    bound = max(min(math.ceil(_ROOM * longer), config.eval.max_size), longer)
    height, width = (bound if side == longer else side for side in size)
    return height, width


def buckets_for_images(sizes: Sequence[Size], config: Config, *, most: int) -> list[Bucket]:
    """Few buckets that together hold images of these sizes."""
    shapes = [ImageShape(eval_size(size, config.eval), size) for size in sizes]
    plan = plan_buckets(shapes, most=most, size_divisibility=config.model.size_divisibility)
    return [
        bucket._replace(exact=False, shrinkage=max(bucket.shrinkage, _any_shrinkage(config)))
        for bucket in plan.buckets
    ]


def write_export(loaded: Loaded, path: Path, buckets: Sequence[Bucket]) -> None:
    """Write the file.

    Args:
        loaded: the model.
        path: of the file, a zip archive.
        buckets: the sizes of its programs.

    Raises:
        UserError: test-time augmentation is on, or the file cannot be written.
    """
    config = loaded.config
    if config.eval.tta.enabled:
        raise UserError(
            "an exported file has no test-time augmentation; set --config.eval.tta.enabled=False"
        )
    divisor = config.model.size_divisibility
    ordered = sorted(buckets, key=lambda bucket: cost(bucket.shape, size_divisibility=divisor))
    leaves, structure = jax.tree.flatten(loaded.variables)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        manifest = describe_export(loaded, ordered)
        archive.writestr("manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False))
        archive.writestr(
            "loader.py", resources.files(__package__).joinpath("loader.py").read_text()
        )
        weights = io.BytesIO()
        arrays: dict[str, Any] = {f"{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        np.savez(weights, **arrays)
        archive.writestr("weights.npz", weights.getvalue(), zipfile.ZIP_STORED)
        with Progress(len(ordered), description="export", unit="program") as progress:
            for number, bucket in enumerate(ordered):
                archive.writestr(
                    f"program_{number}.bin", _export(loaded, bucket, structure, leaves)
                )
                progress.update()
    write_atomically(path, buffer.getvalue())


def describe_export(loaded: Loaded, buckets: Sequence[Bucket]) -> dict[str, Any]:
    """The manifest: what a reader must know beside the programs."""
    settings = loaded.config.eval
    return {
        "format": FORMAT,
        "model": loaded.config.name,
        "task": settings.task,
        "short_edge": settings.short_edge,
        "max_size": settings.max_size,
        "object_mask_threshold": settings.object_mask_threshold,
        "overlap_threshold": settings.overlap_threshold,
        "buckets": [
            {
                "image": list(bucket.output_size),
                "network": list(bucket.image_size),
                "most_reduced": largest_reduction(bucket, loaded.config),
                "most_enlarged": bucket.shrinkage,
            }
            for bucket in buckets
        ],
        "classes": [
            {
                "name": one.name,
                "color": list(one.color),
                "is_thing": one.is_thing,
                "category_id": one.category_id,
            }
            for one in loaded.categories
        ],
        "platforms": list(PLATFORMS),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "maskformer-jax": maskformer_jax.__version__,
            **{name: metadata.version(name) for name in ("jax", "jaxlib", "flax", "numpy")},
        },
        "calling_convention": export.maximum_supported_calling_convention_version,
        "compatibility": COMPATIBILITY,
    }


def _export(loaded: Loaded, bucket: Bucket, structure: Any, leaves: Sequence[Any]) -> bytes:
    program = make_program(loaded.model, loaded.config, loaded.categories, bucket)

    def from_leaves(leaves: Any, *inputs: Any) -> Any:
        return program(jax.tree.unflatten(structure, leaves), *inputs)

    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
    pair = jax.ShapeDtypeStruct((2,), np.int32)
    image = jax.ShapeDtypeStruct((*bucket.output_size, 3), np.uint8)
    exported = export.export(jax.jit(from_leaves), platforms=PLATFORMS)(shapes, image, pair, pair)
    return bytes(exported.serialize())


def _any_shrinkage(config: Config) -> float:
    """Small images are enlarged for the network: twice at least, and sides of 64 pixels or more."""
    return max(config.eval.short_edge / 64, 2.0) if config.eval.short_edge else 1.0
