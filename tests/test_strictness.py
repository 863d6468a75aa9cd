"""The settings of conftest.py that make tests fail on implicit broadcasting and on warnings."""

import warnings

import jax
import pytest
from jax import numpy as jnp


def test_implicit_broadcasting_of_ranks_is_an_error() -> None:
    assert jax.config.jax_numpy_rank_promotion == "raise"
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.ones((2, 3)) + jnp.ones(3)


@pytest.mark.parametrize(
    "category", [DeprecationWarning, FutureWarning, RuntimeWarning, UserWarning]
)
def test_warnings_of_the_package_are_errors(category: type[Warning]) -> None:
    with pytest.raises(category, match="ours"):
        warnings.warn_explicit("ours", category, "resize.py", 1, module="maskformer_jax.resize")


def test_warnings_of_other_packages_are_not_errors() -> None:
    with pytest.warns(UserWarning, match="theirs"):
        warnings.warn_explicit("theirs", UserWarning, "linear.py", 1, module="flax.linen.linear")
    warnings.warn_explicit("theirs", DeprecationWarning, "linear.py", 1, module="flax.linen.linear")
