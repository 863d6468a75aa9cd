"""Loads a model that maskformer-jax has exported; lies in each exported file.

It needs JAX and flatbuffers, by which JAX reads programs:

import sys; sys.path.insert(0, "model.zip")
from loader import load
results = load("model.zip")(image)  # uint8 [H, W, 3], RGB; a dict of arrays
"""

import functools
import io
import json
import zipfile

import jax
import numpy as np
from jax import export

MAPS = ("semantic", "panoptic", "instance_masks")


def load(path):
    """Return a function from an image to its results; one program is compiled for each bucket."""
    archive = zipfile.ZipFile(path)
    manifest = json.loads(archive.read("manifest.json"))
    arrays = np.load(io.BytesIO(archive.read("weights.npz")))
    weights = [jax.device_put(arrays[f"{i}"]) for i in range(len(arrays.files))]

    # On GPUs XLA's own kernels for products fail for some shapes; cuBLAS's do not.
    on_gpu = jax.default_backend() == "gpu"
    options = {"xla_gpu_enable_triton_gemm": False} if on_gpu else {}

    @functools.cache
    def program(i):
        exported = export.deserialize(bytearray(archive.read(f"program_{i}.bin")))
        return jax.jit(exported.call, compiler_options=options)

    def predict(image):
        size = np.array(image.shape[:2], np.int32)
        network = network_size(size, manifest["short_edge"], manifest["max_size"])
        fitting = [i for i, one in enumerate(manifest["buckets"]) if fits(one, size, network)]
        if not fitting:
            raise ValueError(f"an image of {size} fits in none of {manifest['buckets']}")
        canvas = np.zeros((*manifest["buckets"][fitting[0]]["image"], 3), np.uint8)
        canvas[: size[0], : size[1]] = image
        results = program(fitting[0])(weights, canvas, size, network)
        cut = (..., slice(size[0]), slice(size[1]))
        return {k: np.asarray(v)[cut] if k in MAPS else np.asarray(v) for k, v in results.items()}

    return predict


def network_size(size, short_edge, max_size):
    """The size to which an image is resized: its shorter side first, then the bound."""
    if not short_edge:
        return size
    new = short_edge / size.min() * size
    new[0 if size[0] < size[1] else 1] = short_edge
    return np.maximum((new * min(max_size / new.max(), 1.0) + 0.5).astype(np.int32), 1)


def fits(bucket, size, network):
    """Whether a bucket holds an image; buckets are in ascending order of their cost."""
    small = (size <= bucket["image"]).all() and (network <= bucket["network"]).all()
    reduced = (size <= bucket["most_reduced"] * network).all()
    return small and reduced and (network <= bucket["most_enlarged"] * size).all()
