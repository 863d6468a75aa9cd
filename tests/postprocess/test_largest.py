"""The first largest of several maps, one by one, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.postprocess.largest import index_of_largest, largest_one_by_one


@pytest.mark.parametrize("find", [index_of_largest, largest_one_by_one])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("maps", [1, 2, 7])
def test_the_first_of_equal_ones(find, dtype, maps) -> None:
    rng = np.random.default_rng(maps)
    values = np.array([-np.inf, -1, -0.0, 0.0, 1e-30, 1, np.inf], dtype)
    with jax.enable_x64(dtype == np.float64):
        for x in (rng.normal(size=(maps, 9, 5)).astype(dtype), rng.choice(values, (maps, 40, 50))):
            index = jax.jit(find)(jnp.asarray(x))
            assert index.dtype == np.int32
            np.testing.assert_array_equal(index, x.argmax(axis=0))


@pytest.mark.parametrize("find", [index_of_largest, largest_one_by_one])
def test_the_first_that_is_no_number(find) -> None:
    x = np.random.default_rng(0).choice([np.nan, -1.0, 2.0, np.inf], (5, 30, 40)).astype(np.float32)
    np.testing.assert_array_equal(jax.jit(find)(jnp.asarray(x)), x.argmax(axis=0))
