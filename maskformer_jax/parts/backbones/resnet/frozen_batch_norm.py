"""Batch normalisation whose four tensors are constants (detectron2's FrozenBatchNorm2d)."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.precision import at_least_float32


class FrozenBatchNorm(nn.Module):
    """Scale and shift each channel by constants in the collection "constants", never trained.

    Attributes:
        epsilon: added to the variance.
        dtype: of the result; the arithmetic is float32.
    """

    epsilon: float = 1e-5
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Normalise each channel by the stored mean and variance."""
        shape = (1, 1, 1, x.shape[-1])

        def constant(name: str, value: float) -> Float[Array, "1 1 1 c"]:
            stored = self.variable("constants", name, jnp.full, shape[-1:], value, jnp.float32)
            return jnp.asarray(stored.value).reshape(shape)

        weight, bias = constant("weight", 1.0), constant("bias", 0.0)
        mean = constant("running_mean", 0.0)
        # detectron2's initial value, with which an unloaded norm is the identity.
        variance = constant("running_var", 1.0 - self.epsilon)
        scale = weight / jnp.sqrt(variance + self.epsilon)
        return (at_least_float32(x) * scale + (bias - mean * scale)).astype(self.dtype)
