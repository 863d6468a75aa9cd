"""The comments beside the fields of a config section, read from the source of its class."""

import ast
import inspect
import io
import sys
import tokenize
from dataclasses import is_dataclass
from functools import cache


@cache
def field_comments(section_type: type) -> dict[str, str]:
    """The comment of each field that has one: the lines above it, then the one beside it.

    Args:
        section_type: A dataclass; the fields it inherits are looked up where they are written.

    Returns:
        Field name to comment without `#`, on one line. Empty where the source is not at hand.
    """
    comments: dict[str, str] = {}
    for base in reversed(section_type.__mro__):
        if is_dataclass(base):
            comments |= _own_comments(base)
    return comments


def first_docstring_line(section_type: type) -> str:
    """The first line of a section's docstring, which summarises it."""
    return (inspect.getdoc(section_type) or "").partition("\n")[0]


def _own_comments(section_type: type) -> dict[str, str]:
    try:
        source = inspect.getsource(sys.modules[section_type.__module__])
    except (OSError, TypeError):
        return {}
    beside, alone = _comments_by_line(source)
    comments = {}
    for field in _annotated_fields(source, section_type.__name__):
        first, last = field.lineno, field.end_lineno or field.lineno
        above: list[str] = []
        line = first - 1
        while line in alone:
            above.insert(0, alone[line])
            line -= 1
        texts = above + [beside[line] for line in range(first, last + 1) if line in beside]
        if texts and isinstance(field.target, ast.Name):
            comments[field.target.id] = " ".join(texts)
    return comments


def _annotated_fields(source: str, class_name: str) -> list[ast.AnnAssign]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            return [item for item in node.body if isinstance(item, ast.AnnAssign)]
    return []


def _comments_by_line(source: str) -> tuple[dict[int, str], dict[int, str]]:
    """Comments by line number: those beside code, and those on lines of their own."""
    beside: dict[int, str] = {}
    alone: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            is_alone = not token.line[:column].strip()
            (alone if is_alone else beside)[line] = token.string.lstrip("# ")
    return beside, alone
