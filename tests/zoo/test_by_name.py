import jax
import jax.numpy as jnp
import pytest

from maskformer_jax.errors import UserError
from maskformer_jax.zoo.by_name import create_model, list_models


def test_models_by_name():
    assert "ade20k-150/maskformer_R50_bs16_160k" in list_models()
    images = jnp.zeros((1, 32, 32, 3), jnp.uint8)
    for num_classes, logits in ((None, 10), (4, 5)):
        model = create_model("shapes/maskformer_R18", num_classes)
        variables = jax.eval_shape(model.init, jax.random.key(0), images)
        predictions = jax.eval_shape(model.apply, variables, images)
        assert predictions.class_logits.shape == (3, 1, 20, logits)
    with pytest.raises(UserError, match="did you mean shapes/maskformer_R18"):
        create_model("shapes/maskformer_R1")
