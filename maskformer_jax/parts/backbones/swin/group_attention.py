"""Attention inside windows as a TPU computes it quickly: by groups, with a gradient of its own.

Logits have keys along sublanes and queries along lanes. For the gradient a softmax is known by its
logits and one number a query, the logarithm of its denominator, and what its normalisation adds is
one number a query, too: the product of the result and its gradient.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.parts.backbones.swin.windows import MASKED
from maskformer_jax.precision import at_least_float32_dtype

Heads = Float[Array, "b n m d t"]
Kept = tuple[Heads, Heads, Heads, Heads, Float[Array, "b n m t t"], Float[Array, "b n m 1 t"]]


def attend_in_groups(
    q: Heads,
    k: Heads,
    v: Heads,
    bias: Float[Array, "m t t"],
    regions: Int[Array, "_ n t"] | None,
) -> Heads:
    """Attend to the tokens of a group.

    Args:
        q: scaled queries: group, head, channel, token.
        k: keys.
        v: values.
        bias: of each pair of query and key, which says what is hidden.
        regions: tokens of different ones are masked; None: of no others.
    """
    dtype = at_least_float32_dtype(q.dtype)
    bias = bias.swapaxes(1, 2).astype(dtype)
    apart = None
    if regions is not None:
        apart = jnp.where(regions[..., :, None] == regions[..., None, :], 0.0, MASKED)
        apart = apart.astype(dtype)[:, :, None]
    # Read here, since the gradient is traced outside of a context that sets it.
    precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return _attend(q, k, v, bias, apart, precision)


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _attend(
    q: Heads, k: Heads, v: Heads, bias: Array, apart: Array | None, precision: Any
) -> Heads:
    weights = jax.nn.softmax(_logits(q, k, bias, apart, precision), axis=3).astype(v.dtype)
    return jnp.einsum("bnmdk,bnmkq->bnmdq", v, weights, precision=precision)


def _logits(q: Heads, k: Heads, bias: Array, apart: Array | None, precision: Any) -> Array:
    dtype = at_least_float32_dtype(q.dtype)
    logits = _product("bnmdk,bnmdq->bnmkq", k, q, precision, dtype) + bias[None, None]
    return logits if apart is None else logits + apart


def _product(indices: str, a: Array, b: Array, precision: Any, dtype: Any) -> Array:
    return jnp.einsum(indices, a, b, precision=precision, preferred_element_type=dtype)


def _forward(
    q: Heads, k: Heads, v: Heads, bias: Array, apart: Array | None, precision: Any
) -> tuple[Heads, Kept]:
    logits = _logits(q, k, bias, apart, precision)
    largest = logits.max(axis=3, keepdims=True)
    weights = jnp.exp(logits - largest).astype(v.dtype)
    # A product with ones adds them up sooner than a sum does; eight rows are one tile.
    ones = jnp.ones((*v.shape[:3], 8, v.shape[4]), v.dtype)
    weigh = partial(_product, "bnmdk,bnmkq->bnmdq", precision=precision, dtype=logits.dtype)
    total = weigh(ones, weights)[:, :, :, :1]
    out = (weigh(v, weights) / total).astype(v.dtype)
    return out, (q, k, v, out, logits, largest + jnp.log(total))


def _backward(precision: Any, kept: Kept, cotangent: Heads) -> tuple[Array | None, ...]:
    q, k, v, out, logits, log_total = kept
    dtype = logits.dtype
    weights = jnp.exp(logits - log_total)
    normal = (cotangent.astype(dtype) * out.astype(dtype)).sum(axis=3, keepdims=True)
    of_weights = _product("bnmdk,bnmdq->bnmkq", v, cotangent, precision, dtype)
    of_logits = weights * (of_weights - normal)
    rounded = of_logits.astype(q.dtype)
    of_q = _product("bnmkq,bnmdk->bnmdq", rounded, k, precision, q.dtype)
    of_k = _product("bnmkq,bnmdq->bnmdk", rounded, q, precision, k.dtype)
    of_v = _product("bnmkq,bnmdq->bnmdk", weights.astype(v.dtype), cotangent, precision, v.dtype)
    return of_q, of_k, of_v, of_logits.sum(axis=(0, 1)), None


_attend.defvjp(_forward, _backward)
