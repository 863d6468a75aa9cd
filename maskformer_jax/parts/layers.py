"""Small layers that several parts of the model share."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.parts.image_convolution import convolve_image
from maskformer_jax.parts.initializers import linear_bias, linear_kernel
from maskformer_jax.parts.products import multiply_kernel

NORM_EPSILON = 1e-5  # of all layer norms; Flax would take 1e-6


def conv(
    features: int,
    kernel_size: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    use_bias: bool = False,
    kernel_init: Initializer,
    dtype: DTypeLike | None = jnp.float32,
    of_images: bool = False,
    name: str | None = None,
) -> nn.Conv:
    """Make a square convolution with the same explicit padding on all four sides.

    "SAME" would pad even inputs of strided convolutions on one side only, which shifts the
    result against the published model.

    Args:
        features: output channels.
        kernel_size: side of the kernel.
        stride: along both axes.
        dilation: of the kernel.
        use_bias: add one.
        kernel_init: of the kernel.
        dtype: of the computation.
        of_images: the input has the three channels of an image.
        name: of the module.
    """
    padding = dilation * (kernel_size // 2)
    if of_images:
        convolve: Any = convolve_image
    else:
        convolve = _convolve_points if kernel_size == 1 else None
    return nn.Conv(
        features,
        (kernel_size, kernel_size),
        strides=(stride, stride),
        padding=((padding, padding), (padding, padding)),
        kernel_dilation=(dilation, dilation),
        use_bias=use_bias,
        kernel_init=kernel_init,
        dtype=dtype,
        conv_general_dilated=convolve,
        name=name,
    )


def _convolve_points(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "1 1 c d"],
    strides: tuple[int, int],
    padding: Any,
    **settings: Any,
) -> Float[Array, "b _ _ d"]:
    """A 1x1 convolution as a matrix product, which sums the same products.

    XLA's CPU backend computes the gradient of the convolution's kernel much more slowly than that
    of the product (docs/benchmarks.md). With a stride it remains a convolution on GPUs, whose
    compiler does not stand a product of every second row: it refuses most sizes of images, and
    ends the process for some (openxla/xla, issue 47381).
    """

    def multiply(x: Array, kernel: Array) -> Array:
        every = x[:, :: strides[0], :: strides[1]]
        dtype = settings.get("preferred_element_type")
        precision = settings.get("precision")
        return multiply_kernel(
            every, kernel[0, 0], precision=precision, preferred_element_type=dtype
        )

    def convolve(x: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(x, kernel, strides, padding, **settings)

    if strides == (1, 1):
        return multiply(x, kernel)
    return lax.platform_dependent(x, kernel, cpu=multiply, tpu=multiply, default=convolve)


def rematerialize(function: Callable[..., Any], *, on: bool) -> Callable[..., Any]:
    """Keep only a part's inputs for the backward pass and recompute its activations there.

    The program must be compiled with `compiler_options.training_options`.

    Args:
        function: of a module, whose submodules it may make, and arrays.
        on: False leaves the function as it is.
    """
    return nn.remat(function) if on else function


def layer_norm(name: str) -> nn.LayerNorm:
    """Make a layer norm with the two-pass variance of the published model.

    The result has the dtype of the parameters, float32, or a wider one of the input.
    """
    return nn.LayerNorm(epsilon=NORM_EPSILON, dtype=None, use_fast_variance=False, name=name)


def torch_dense(
    features: int, *, fan_in: int, dtype: DTypeLike | None = None, name: str
) -> nn.Dense:
    """Make a linear layer with PyTorch's default initialisation.

    Args:
        features: output width.
        fan_in: input width.
        dtype: of the computation; None: that of the parameters, float32, or a wider one of the
            input, as in the prediction heads.
        name: of the module.
    """
    return nn.Dense(
        features,
        kernel_init=linear_kernel,
        bias_init=linear_bias(fan_in),
        dtype=dtype,
        dot_general=multiply_kernel,
        name=name,
    )


class LinearParameters(nn.Module):
    """The parameters of `torch_dense`, for functions that multiply by them themselves.

    Attributes:
        features: output width.
        fan_in: input width.
    """

    features: int
    fan_in: int

    @nn.compact
    def __call__(self) -> tuple[Float[Array, "c d"], Float[Array, " d"]]:
        """Return kernel and bias, float32."""
        kernel = self.param("kernel", linear_kernel, (self.fan_in, self.features), jnp.float32)
        bias = self.param("bias", linear_bias(self.fan_in), (self.features,), jnp.float32)
        return kernel, bias


class MLP(nn.Module):
    """Linear layers with ReLU between them, in float32.

    Attributes:
        features: output width of each layer.
    """

    features: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Float[Array, "*batch _"]) -> Float[Array, "*batch _"]:
        """Apply the layers to the last axis."""
        for i, width in enumerate(self.features):
            x = torch_dense(width, fan_in=x.shape[-1], name=f"layer_{i}")(x)
            if i < len(self.features) - 1:
                x = nn.relu(x)
        return x
