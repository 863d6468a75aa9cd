"""Filling our variables from foreign tensors by a table of rules, and the inverse.

Every variable matches exactly one rule; every foreign tensor is used or listed as skipped; whatever
does not fit is reported at once. Where names differ between files of one kind, renames bring them
to those of the rules first.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from maskformer_jax.errors import UserError
from maskformer_jax.tensor_rules.rules import Layout, Rule

Renames = Sequence[tuple[str, str]]  # (pattern, replacement), applied in this order


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
    origins, problems = _rename(tensors, renames)
    flat: dict[tuple[str, ...], np.ndarray] = {}
    used: set[str] = set()
    missing: dict[str, None] = {}  # in order, each once
    mis_shaped: dict[str, None] = {}
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
        missing |= {f"missing: {name} {list(expected)}": None for name in absent}
        mis_shaped |= {
            f"wrong shape: {origins[name]} is {list(tensors[origins[name]].shape)}, "
            f"the model needs {list(expected)}": None
            for name in wrong
        }
        if not absent and not wrong:
            parts = [tensors[origins[name]] for name in names]
            tensor = parts[0] if len(parts) == 1 else np.concatenate(parts)
            value = layout.to_ours(layout.share(tensor), shape)
            flat[path] = np.ascontiguousarray(value, getattr(leaf, "dtype", np.float32))
    unexpected = [
        f"unexpected: {origin} {list(tensors[origin].shape)}"
        for name, origin in origins.items()
        if name not in used and not any(re.fullmatch(pattern, name) for pattern in skipped)
    ]
    problems += sorted(missing) + sorted(mis_shaped) + sorted(unexpected)
    if problems:
        raise UserError("\n  ".join([f"{source} does not fit the model:", *problems]))
    return _nest(flat)


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


def _nest(flat: Mapping[tuple[str, ...], np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value
    return tree
