"""Counting the multiply-adds of a function from its trace, without compiling or running it.

Counted are matrix products and convolutions, a multiplication with its addition once, as the
paper's "FLOPs" do. Element-wise arithmetic, norms, softmax and indexing are not: they are a percent
of these networks. Where platforms compute the same thing in different ways, as a copy or as a
product, the way with the fewest counts.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn


def count_multiply_adds(function: Callable[..., Any], *arguments: Any) -> int:
    """Count the multiply-adds of one call.

    Args:
        function: what can be traced by JAX.
        arguments: arrays, or their shapes as `jax.ShapeDtypeStruct`, or trees of these.

    Raises:
        ValueError: there are products in a `while` loop, whose number of turns is not known.
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr: Jaxpr) -> int:
    return sum(_count_equation(equation) for equation in jaxpr.eqns)


def _count_equation(equation: JaxprEqn) -> int:
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        left = _shape(equation.invars[0])
        return math.prod(_shape(equation.outvars[0])) * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = _shape(equation.invars[1])
        output_features = kernel[parameters["dimension_numbers"].rhs_spec[0]]
        # A kernel's input axis holds the channels of one group, so groups are accounted for.
        return math.prod(_shape(equation.outvars[0])) * math.prod(kernel) // output_features
    inner = [_count(jaxpr) for jaxpr in _inner_jaxprs(parameters)]
    if name == "cond":
        # Branches of `lax.platform_dependent` say for which platforms they are.
        return min(inner) if parameters.get("branches_platforms") else max(inner)
    if name == "while" and any(inner):
        raise ValueError("cannot count a while loop: the number of its turns is not known")
    return sum(inner) * (parameters["length"] if name == "scan" else 1)


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _inner_jaxprs(parameters: dict[str, Any]) -> Iterator[Jaxpr]:
    for value in parameters.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, Jaxpr):
                yield item
