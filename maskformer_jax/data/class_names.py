"""Comparing the classes of a checkpoint with those of a data set."""

from collections.abc import Sequence

from maskformer_jax.categories import Category
from maskformer_jax.data.label_names import is_placeholder, same_name

_MAX_LISTED = 3


def describe_other_classes(
    ours: Sequence[Category], theirs: Sequence[Category], *, kinds: bool = True
) -> str:
    """What differs in number, names, order or kind; empty where nothing does.

    Names are compared up to spelling; those that only count (`LABEL_3`) are equal to any.

    Args:
        ours: of the checkpoint.
        theirs: of the data set.
        kinds: whether to compare things and stuff too.
    """
    if len(ours) != len(theirs):
        return f"{len(ours)} classes there, {len(theirs)} here"
    pairs = list(enumerate(zip(ours, theirs, strict=True)))
    other = [
        f"label {label} is '{one.name}' there, '{two.name}' here"
        for label, (one, two) in pairs
        if not (is_placeholder(one.name) or is_placeholder(two.name))
        and not same_name(one.name, two.name)
    ]
    words = ("stuff", "a thing")
    other += [
        f"'{one.name}' is {words[one.is_thing]} there, {words[two.is_thing]} here"
        for _, (one, two) in pairs
        if kinds and one.is_thing != two.is_thing and not other
    ]
    more = f", and {len(other) - _MAX_LISTED} more" if len(other) > _MAX_LISTED else ""
    return "; ".join(other[:_MAX_LISTED]) + more
