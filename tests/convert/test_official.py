import json
from pathlib import Path

import jax
import numpy as np
import pytest

from maskformer_jax.config import ModelConfig
from maskformer_jax.convert.official import from_variables, to_variables
from maskformer_jax.errors import UserError
from maskformer_jax.models.build import build_model

MODEL = ModelConfig()
SHAPES_FILE = Path(__file__).parents[1] / "golden" / "maskformer_R50_shapes.json"
# Zero-strided: the values are tested on the golden model, here names and shapes are.
SHAPES = {name: tuple(shape) for name, shape in json.loads(SHAPES_FILE.read_text()).items()}


def zeros() -> dict[str, np.ndarray]:
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in SHAPES.items()}


@pytest.fixture(scope="module")
def template():
    model = build_model(MODEL, num_classes=150)
    image = np.zeros((1, 32, 32, 3), np.uint8)
    return jax.eval_shape(model.init, jax.random.key(0), image)


def assert_same_shapes(variables, template):
    assert jax.tree.map(np.shape, variables) == jax.tree.map(lambda x: x.shape, template)


def test_both_namings_fill_every_variable(template):
    released = {name.replace("head.pixel_decoder.", "head."): x for name, x in zeros().items()}
    assert released.keys() != zeros().keys()
    assert_same_shapes(to_variables(zeros(), template, MODEL), template)
    assert_same_shapes(to_variables(released, template, MODEL), template)


def test_export_has_the_published_names_and_shapes(template):
    variables = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), template)
    tensors = from_variables(variables, MODEL, no_object_weight=0.1)
    assert {name: x.shape for name, x in tensors.items()} == SHAPES
    released = from_variables(variables, MODEL, naming="released")
    assert not any("pixel_decoder" in name for name in released)
    assert len(released) == len(SHAPES) - 1  # without the weight of no-object
    np.testing.assert_array_equal(
        tensors["criterion.empty_weight"], np.float32([1.0] * 150 + [0.1])
    )


def test_parameters_alone_can_be_exported(template):
    params = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), template["params"])
    names = from_variables({"params": params}, MODEL).keys()
    assert len(names) == 197
    assert not any("running" in name for name in names)


def test_the_counters_of_other_batch_norms_are_skipped(template):
    counter = {"backbone.stem.conv1.norm.num_batches_tracked": np.int64(3) * np.ones((), np.int64)}
    assert_same_shapes(to_variables(zeros() | counter, template, MODEL), template)


def test_a_model_with_other_classes_is_told_apart(template):
    tensors = zeros()
    for kind in ("weight", "bias"):
        name = f"sem_seg_head.predictor.class_embed.{kind}"
        tensors[name] = tensors[name][:134]
    with pytest.raises(UserError) as error:
        to_variables(tensors, template, MODEL, source="model.pkl")
    assert str(error.value).splitlines() == [
        "model.pkl does not fit the model:",
        "  wrong shape: sem_seg_head.predictor.class_embed.bias is [134], the model needs [151]",
        "  wrong shape: sem_seg_head.predictor.class_embed.weight is [134, 256], "
        "the model needs [151, 256]",
    ]


def test_a_deeper_backbone_is_told_apart(template):
    tensors = zeros()
    extra = "backbone.res4.6.conv1.weight"
    tensors[extra] = tensors["backbone.res4.5.conv1.weight"]
    with pytest.raises(UserError, match=rf"unexpected: {extra} \[256, 1024, 1, 1\]"):
        to_variables(tensors, template, MODEL)
