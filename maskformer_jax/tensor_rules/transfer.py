"""Filling our variables from foreign tensors by a table of rules, and the inverse.

Every variable matches exactly one rule; every foreign tensor is used or listed as skipped; whatever
does not fit is reported at once. Where names differ between files of one kind, renames bring them
to those of the rules first.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from maskformer_jax.errors import UserError
from maskformer_jax.tensor_rules.rules import Layout, Rule

Key = tuple[str, ...]  # the path of a variable in nested dicts
Renames = Sequence[tuple[str, str]]  # (pattern, replacement), applied in this order


class Transfer(NamedTuple):
    """How the tensors of a kind of file become variables; see `import_tensors`."""

    rules: Sequence[Rule]
    renames: Renames = ()
    skipped: Sequence[str] = ()


class Matched(NamedTuple):
    """What a file has for the variables of a model, and what does not fit."""

    values: dict[Key, np.ndarray]  # in our layout
    # Of another size along the last axis, which is that of classes in heads; in our layout.
    other_size: dict[Key, np.ndarray]
    missing: dict[Key, list[str]]  # messages about the tensors of a variable that is not filled
    other_shape: dict[Key, list[str]]  # likewise; has the paths of `other_size` too
    unexpected: list[str]  # messages about tensors that no variable takes
    problems: list[str]  # names that clash, and variables for which the table has no line


def import_tensors(
    tensors: Mapping[str, np.ndarray],
    template: Mapping[str, Any],
    rules: Sequence[Rule],
    *,
    renames: Renames = (),
    skipped: Sequence[str] = (),
    source: str = "the checkpoint",
) -> dict[str, Any]:
    """Fill a tree of variables from foreign tensors.

    Args:
        tensors: by their foreign names.
        template: nested dicts, a collection at the top, of anything with `shape` (and `dtype`,
            else float32).
        rules: the table.
        renames: from the names of this file to those of the table.
        skipped: patterns of (renamed) foreign names that belong to no variable.
        source: how error messages call the tensors, say the path of their file.

    Raises:
        UserError: tensors are missing, unexpected or mis-shaped, or the rules have no line for a
            variable; names all of them.
    """
    matched = match_tensors(tensors, template, rules, renames=renames, skipped=skipped)
    problems = list(matched.problems)
    for groups in (matched.missing, matched.other_shape):
        problems += sorted({line for lines in groups.values() for line in lines})
    problems += sorted(matched.unexpected)
    if problems:
        raise UserError("\n  ".join([f"{source} does not fit the model:", *problems]))
    return nest(matched.values)


def match_tensors(
    tensors: Mapping[str, np.ndarray],
    template: Mapping[str, Any],
    rules: Sequence[Rule],
    *,
    renames: Renames = (),
    skipped: Sequence[str] = (),
) -> Matched:
    """As `import_tensors`, but returns what fits and what does not, and raises nothing."""
    origins, problems = _rename(tensors, renames)
    matched = Matched({}, {}, {}, {}, [], problems)
    used: set[str] = set()
    for path, leaf in leaves(template):
        found = _find(rules, path)
        if found is None:
            problems.append(f"has no place for: {'/'.join(path)} {list(leaf.shape)}")
            continue
        names, layout = found
        shape, stacked = tuple(leaf.shape), layout.foreign_shape(tuple(leaf.shape))
        expected = (stacked[0] // len(names), *stacked[1:])
        used.update(names)
        absent = [name for name in names if name not in origins]
        wrong = [
            name for name in names if name in origins and tensors[origins[name]].shape != expected
        ]
        if absent:
            matched.missing[path] = [f"missing: {name} {list(expected)}" for name in absent]
        if wrong:
            matched.other_shape[path] = [
                f"wrong shape: {origins[name]} is {list(tensors[origins[name]].shape)}, "
                f"the model needs {list(expected)}"
                for name in wrong
            ]
        if absent:
            continue
        parts = [tensors[origins[name]] for name in names]
        if wrong:
            # A foreign layout has the last axis of ours, that of outputs, first.
            shape = (*shape[:-1], len(parts[0]) if parts[0].ndim else 0)
            if len(names) > 1 or layout.foreign_shape(shape) != parts[0].shape:
                continue
        tensor = parts[0] if len(parts) == 1 else np.concatenate(parts)
        value = layout.to_ours(layout.share(tensor), shape)
        values = matched.other_size if wrong else matched.values
        values[path] = np.ascontiguousarray(value, getattr(leaf, "dtype", np.float32))
    matched.unexpected.extend(
        f"unexpected: {origin} {list(tensors[origin].shape)}"
        for name, origin in origins.items()
        if name not in used and not any(re.fullmatch(pattern, name) for pattern in skipped)
    )
    return matched


def export_tensors(variables: Mapping[str, Any], rules: Sequence[Rule]) -> dict[str, np.ndarray]:
    """Give our variables their foreign names and layouts; the inverse of `import_tensors`.

    Raises:
        UserError: variables have no name there; names all of them.
    """
    shares: dict[tuple[str, ...], list[tuple[int, np.ndarray]]] = {}
    unknown = []
    for path, leaf in leaves(variables):
        found = _find(rules, path)
        if found is None:
            unknown.append("/".join(path))
            continue
        names, layout = found
        shares.setdefault(names, []).append((layout.part, layout.to_theirs(np.asarray(leaf))))
    if unknown:
        raise UserError(
            "\n  ".join(["files of this kind have no place for these variables:", *unknown])
        )
    tensors: dict[str, np.ndarray] = {}
    for names, parts in shares.items():
        stacked = np.concatenate([share for _, share in sorted(parts, key=lambda part: part[0])])
        tensors |= dict(zip(names, np.split(stacked, len(names)), strict=True))
    return tensors


def leaves(
    tree: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Walk through nested dicts: each leaf with its path."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def nest(flat: Mapping[Key, Any]) -> dict[str, Any]:
    """Put leaves with their paths together to nested dicts; the inverse of `leaves`."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value
    return tree


def _rename(names: Iterable[str], renames: Renames) -> tuple[dict[str, str], list[str]]:
    """Map the names in the rules to those in the file, and list the names that clash."""
    origins: dict[str, str] = {}
    clashes = []
    for origin in names:
        name = origin
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        if name in origins:
            clashes.append(f"the same twice: {origins[name]} and {origin}")
        origins[name] = origin
    return origins, clashes


def _find(rules: Sequence[Rule], path: tuple[str, ...]) -> tuple[tuple[str, ...], Layout] | None:
    """Foreign names and layout of a variable; None for a variable that only our model has."""
    ours = "/".join(path[1:])
    found = [
        (tuple(match.expand(rule.theirs).split()), rule.layout)
        for rule in rules
        if (match := re.fullmatch(rule.ours, ours))
    ]
    if len(found) > 1:
        raise ValueError(f"{ours} matches {len(found)} conversion rules instead of one")
    return found[0] if found else None
