"""Masks of eight pixels a byte, highest bit first, as `numpy.packbits` gives them along the width.

A hundred masks of a COCO image take 107 MB as booleans, to be written, rearranged and sent to the
host; packed 13 MB.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, UInt8


def pack_masks(masks: Bool[Array, "*n w"]) -> UInt8[Array, "*n _"]:
    """Pack ceil(w / 8) bytes along the last axis."""
    return jax.lax.platform_dependent(
        masks, tpu=pack_by_product, default=lambda masks: jnp.packbits(masks, axis=-1)
    )


def pack_by_product(masks: Bool[Array, "*n w"]) -> UInt8[Array, "*n _"]:
    """`pack_masks` for a TPU, whose lanes do not exchange bits but whose products add them.

    Bits and their weights are exact in bfloat16, the sums in float32.
    """
    width = masks.shape[-1]
    column = np.arange(width)
    weights = np.zeros((width, -(-width // 8)), np.float32)
    weights[column, column // 8] = 2.0 ** (7 - column % 8)
    bits, kernel = masks.astype(jnp.bfloat16), jnp.asarray(weights, jnp.bfloat16)
    numbers = (((masks.ndim - 1,), (0,)), ((), ()))
    sums: Float[Array, "*n _"] = jax.lax.dot_general(
        bits, kernel, numbers, preferred_element_type=jnp.float32
    )
    return sums.astype(jnp.int32).astype(jnp.uint8)


def unpack_masks(bits: UInt8[Array, "*n _"], width: int) -> Bool[Array, "*n {width}"]:
    """The masks again, on a device."""
    return jnp.unpackbits(bits, axis=-1, count=width).astype(bool)


def unpack_masks_on_host(
    bits: UInt8[np.ndarray, "*n _"], width: int
) -> Bool[np.ndarray, "*n {width}"]:
    """The masks again, of which only the first `width` columns are wanted."""
    return np.unpackbits(bits, axis=-1, count=width).view(bool)
