"""Settings of the loss that do not fit the rest of a config."""

import pytest

from maskformer_jax.config import Config
from maskformer_jax.config.check import check_config
from maskformer_jax.errors import UserError


@pytest.mark.parametrize(
    ("section", "field", "value", "words"),
    [
        (
            "loss",
            "class_groups",
            3,
            r"batch_size is 16, but must be a multiple of config.loss.class_groups \(3\)",
        ),
        ("loss", "class_groups", 0, "loss.class_groups is 0, but must be above 0"),
        ("loss", "num_points", -1, r"loss.num_points is -1, but must be 0 \(all pixels\) or more"),
        ("loss", "matching", "boxs", "boxes"),
        ("loss", "matcher", "lapjv", "jax"),
        ("optim", "accumulate_steps", 5, r"a multiple of config.optim.accumulate_steps \(5\)"),
        ("optim", "ema_decay", 1.0, "optim.ema_decay is 1.0, but must be 0"),
        ("optim", "skip_nonfinite", -1, "optim.skip_nonfinite is -1, but must be 0"),
    ],
)
def test_values_that_cannot_be(section: str, field: str, value: object, words: str) -> None:
    config = Config()
    config.data.dataset = "ade20k-150"
    setattr(getattr(config, section), field, value)
    with pytest.raises(UserError, match=words):
        check_config(config)


def test_fixed_matching_needs_semantic_targets() -> None:
    config = Config()
    config.data.dataset, config.loss.matching = "ade20k-150", "fixed"
    check_config(config)
    config.data.mapper = "panoptic"
    with pytest.raises(UserError, match=r"needs the mapper 'semantic'"):
        check_config(config)
