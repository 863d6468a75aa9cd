"""Checks of the settings that all transformers of the model share."""

from collections.abc import Iterator
from typing import Any

from maskformer_jax.validation import require, require_positive, require_range


def transformer_problems(config: Any, path: str, *, width: str, least_layers: int) -> Iterator[str]:
    """Describe each value with which no transformer can be built.

    Args:
        config: has num_layers, num_heads, ffn_dim, dropout and the field named by `width`.
        path: of the section.
        width: the field that holds the width of the tokens; position encodings need a multiple
            of 4, attention one of `num_heads`.
        least_layers: smallest number of layers.
    """
    yield from require(
        config.num_layers >= least_layers,
        f"{path}.num_layers",
        config.num_layers,
        f"at least {least_layers}",
    )
    yield from require_positive(config, path, "num_heads", "ffn_dim")
    if config.num_heads > 0:
        value = getattr(config, width)
        yield from require(
            value > 0 and value % 4 == 0 and value % config.num_heads == 0,
            f"{path}.{width}",
            value,
            f"a multiple of 4 and of num_heads ({config.num_heads})",
        )
    yield from require_range(config, path, 0, 0.999, "at least 0 and below 1", "dropout")
