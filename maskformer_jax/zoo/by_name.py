"""Models by name, without variables; imports only what building a model takes."""

from flax import linen as nn

from maskformer_jax.config.io import list_config_names, load_config
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.models.build import build_model


def list_models() -> list[str]:
    """The names that `create_model` takes, such as "ade20k-150/maskformer_R50_bs16_160k"."""
    return list_config_names()


def create_model(name: str, num_classes: int | None = None) -> nn.Module:
    """The model of a recipe, without variables: `model.init(key, images)` makes them.

    Args:
        name: One of `list_models()`, or the path of a config file.
        num_classes: K; by default that of the recipe's data set.

    Raises:
        UserError: there is no such recipe, or no model can be built with its values.
    """
    config = load_config(name)
    if num_classes is None:
        num_classes = load_dataset_info(config.data.dataset).num_classes
    return build_model(config.model, num_classes=num_classes)
