"""Mutants of a module: copies of its source with one small mistake each, such as `<` for `<=`."""

import ast
import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
FUNCTIONS = {
    pair[i]: pair[1 - i]
    for pair in (("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("any", "all"))
    for i in (0, 1)
}
# These change what is compiled or raised, not a number.
SKIPPED_ARGUMENTS = {
    *("dtype", "preferred_element_type", "donate_argnums", "in_shardings", "out_shardings"),
    *("unroll", "nondiff_argnums", "static_argnames", "check_vma"),
}


class Mutant(NamedTuple):
    """One mistake in one module."""

    path: Path
    line: int
    before: str  # the smallest expression that changes
    after: str
    source: str  # of the whole module

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before}  ->  {self.after}"


class _Site(NamedTuple):
    node: ast.AST
    replace: Callable[[ast.AST], None]


def find_mutants(path: Path, *, source: str | None = None) -> list[Mutant]:
    """Return every mutant of a module, in the order of its source.

    Annotations, docstrings, decorators, error messages and arguments that change no number
    (`SKIPPED_ARGUMENTS`) are left as they are.

    Args:
        path: of the module.
        source: its text; by default that of the file.
    """
    source = path.read_text() if source is None else source
    mutants = []
    for number, site in enumerate(_sites(ast.parse(source))):
        before = ast.unparse(site.node)
        for option in range(len(_mistakes(site.node))):
            tree = ast.parse(source)
            same = list(_sites(tree))[number]
            mistake = _mistakes(same.node)[option]
            same.replace(mistake)
            text = ast.unparse(ast.fix_missing_locations(tree))
            after = ast.unparse(mistake)
            mutants.append(Mutant(path, same.node.lineno, before, after, text))  # type: ignore[attr-defined]
    return mutants


def _sites(parent: ast.AST) -> Iterator[_Site]:
    """Every place whose expression may change a number, outermost first."""
    for name, value in ast.iter_fields(parent):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases"):
            continue
        for index, node in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(node, ast.AST) or _is_skipped(node):
                continue
            yield _Site(node, partial(_put, parent, name, index))
            yield from _sites(node)


def _put(parent: ast.AST, name: str, index: int, new: ast.AST) -> None:
    """Replace a field of a node, or one entry of a field that is a list."""
    value = getattr(parent, name)
    if isinstance(value, list):
        value[index] = new
    else:
        setattr(parent, name, new)


def _is_skipped(node: ast.AST) -> bool:
    match node:
        case ast.Raise() | ast.JoinedStr() | ast.Import() | ast.ImportFrom() | ast.Assert():
            return True
        case ast.Expr(value=ast.Constant()):  # a docstring
            return True
        case ast.keyword(arg=name):
            return name in SKIPPED_ARGUMENTS
        case ast.Subscript(value=ast.Name(id="Literal" | "Float" | "Bool" | "Int" | "Callable")):
            return True
        case ast.Call(func=ast.Name(id="cast" | "TypeVar")):
            return True
    return False


def _mistakes(node: ast.AST) -> list[ast.AST]:
    """Return the nodes that could stand in place of a node by mistake."""
    match node:
        case ast.Compare(ops=[op]):
            return [_changed(node, ops=[COMPARISONS[type(op)]()])]
        case ast.BinOp(left=left, op=op) if type(op) in OPERATORS:
            return [_changed(node, op=OPERATORS[type(op)]()), left]
        case ast.AugAssign(op=op) if type(op) in OPERATORS:
            return [_changed(node, op=OPERATORS[type(op)]())]
        case ast.BoolOp(op=ast.And()):
            return [_changed(node, op=ast.Or())]
        case ast.BoolOp():
            return [_changed(node, op=ast.And())]
        case ast.UnaryOp(operand=operand):
            return [operand]
        case ast.Constant(value=bool() as value):
            return [ast.Constant(not value)]
        case ast.Constant(value=int() as value):
            return [ast.Constant(value + 1)]
        case ast.Constant(value=float() as value):
            return [ast.Constant(2 * value or 1.0)]
        case ast.If(test=test) | ast.IfExp(test=test) if not isinstance(test, ast.Compare):
            return [_changed(node, test=ast.UnaryOp(ast.Not(), test))]
        case ast.Call(func=ast.Attribute(attr="where"), args=[condition, yes, no]):
            return [_changed(node, args=[condition, no, yes])]
        case ast.Attribute(attr=name) if name in FUNCTIONS:
            return [_changed(node, attr=FUNCTIONS[name])]
        case ast.Name(id=name) if name in FUNCTIONS:
            return [_changed(node, id=FUNCTIONS[name])]
    return []


def _changed(node: ast.AST, **fields: Any) -> ast.AST:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new
