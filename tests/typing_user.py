"""A user's ten lines for `mypy --strict`: `assert_type` fails where a public name has lost its type.

Checked by tests/test_typing.py and, with the package installed from its wheel, by .ci/run; not run.
"""

from typing import assert_type

import jax
import numpy as np
from flax import linen as nn

import maskformer_jax as mf

assert_type(mf.__version__, str)
assert_type(mf.list_models(), list[str])
assert_type(mf.create_model("shapes/maskformer_R18", num_classes=4), nn.Module)
loaded = mf.load_pretrained("runs/camvid")
assert_type(loaded, mf.Loaded)
result = loaded.predict("street.jpg")
assert_type(result, mf.Result)
assert_type(result.semantic, np.ndarray | None)
assert_type([segment.score for segment in result.segments or ()], list[float])
assert_type([category.name for category in loaded.categories], list[str])
predictions = mf.Predictions(*loaded.model.apply(loaded.variables, np.zeros((1, 64, 64, 3))))
size = (64, 64)
scores = mf.semantic_inference(
    predictions.class_logits[-1, 0],
    predictions.mask_logits[-1, 0],
    padded_size=size,
    image_size=size,
    output_size=size,
)
assert_type(scores, jax.Array)
mf.load_pretraind("runs/camvid")  # type: ignore[attr-defined]
