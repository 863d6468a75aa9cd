"""Facts about the recipes' models, without building them: size, cost, published result.

The numbers lie in `model_zoo.json`. Those of the published checkpoints are from the paper's model
zoo; `tools/measure_models.py` computes the others, and a test computes them again.
"""

import json
from importlib import resources
from typing import NamedTuple

from maskformer_jax.config import Size

FILE_NAME = "model_zoo.json"
WEIGHTS_URL = "https://dl.fbaipublicfiles.com/maskformer/"  # before `ModelFacts.file`


class ModelFacts(NamedTuple):
    """One row of the model zoo; None where nothing is published."""

    parameters: int  # trained ones; frozen batch norms are constants
    multiply_adds: int  # of the inference of one image; see `zoo.cost`
    input_size: Size  # of that image
    metric: str | None = None  # "mIoU" or "PQ"
    value: float | None = None  # percent, at a single scale
    several_scales: float | None = None  # percent, at several scales and with flipping
    file: str | None = None  # weights below `WEIGHTS_URL`; the name ends in 6 digits of their MD5


def read_model_zoo() -> dict[str, ModelFacts]:
    """The facts by recipe name."""
    text = resources.files(__package__).joinpath(FILE_NAME).read_text(encoding="utf-8")
    return {
        name: ModelFacts(**(facts | {"input_size": tuple(facts["input_size"])}))
        for name, facts in json.loads(text).items()
    }
