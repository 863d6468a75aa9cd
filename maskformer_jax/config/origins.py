"""Which line of a recipe sets a field, found by reading the source.

Read are the plain forms in which recipes are written: `config = ade20k_150()` and `Config(...)`,
`config.optim.learning_rate = 6e-5`, and `return`. Of anything else, such as a loop, only the file
is known.
"""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_MOST_CALLS = 5  # functions that call functions, before the search is given up


class Place(NamedTuple):
    """A line of a file."""

    file: Path
    line: int


def recipe_lines(file: Path) -> dict[str, Place]:
    """The lines of a config file, and of the recipe functions it calls, that set fields.

    Args:
        file: A config file in Python; one that runs.

    Returns:
        Path of a field or of a section ("model.backbone") to the line that set it last.
    """
    return _function_lines(file, "get_config", depth=0)


def nearest_line(path: str, lines: dict[str, Place]) -> Place | None:
    """The line that set a field, or else the section around it."""
    while path not in lines:
        path = path.rpartition(".")[0]
        if not path:
            return None
    return lines[path]


def _function_lines(file: Path, function: str, *, depth: int) -> dict[str, Place]:
    try:
        tree = ast.parse(file.read_text())
    except (OSError, SyntaxError, UnicodeDecodeError):
        return {}
    if depth == _MOST_CALLS:
        return {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return _Reader(file, tree, depth).read(node)
    return {}


class _Reader:
    """Visit the statements of one function in order."""

    def __init__(self, file: Path, tree: ast.Module, depth: int) -> None:
        self._file = file
        self._tree = tree
        self._depth = depth
        self._sections: dict[str, str] = {}  # local variable: the section that it holds
        self._lines: dict[str, Place] = {}

    def read(self, function: ast.FunctionDef) -> dict[str, Place]:
        for statement in function.body:
            match statement:
                case ast.Return(value=ast.Call() as call):
                    self._start(call)
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call):
                    if self._start(call):
                        self._sections[name] = ""
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Attribute() as value):
                    path = self._path(value)
                    if path is not None:
                        self._sections[name] = path
                case ast.Assign(targets=[ast.Attribute() as target], value=value):
                    path = self._path(target)
                    if path is not None:
                        self._set(path, value, statement.lineno)
        return self._lines

    def _start(self, call: ast.Call) -> bool:
        """Take over the lines of a call that makes a whole config; return False for other calls."""
        name = call.func.id if isinstance(call.func, ast.Name) else None
        if name == "Config":
            for path, place in self._keyword_lines(call, ""):
                self._lines[path] = place
            return True
        found = self._find_function(name) if name else None
        if found is None:
            return False
        self._lines |= _function_lines(*found, depth=self._depth + 1)
        return True

    def _find_function(self, name: str) -> tuple[Path, str] | None:
        """The file of a function called here and its name there."""
        for node in self._tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return self._file, name
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    file = _module_file(node.module)
                    if name == (alias.asname or alias.name) and file is not None:
                        return file, alias.name
        return None

    def _path(self, target: ast.expr) -> str | None:
        """`config.optim.b1` as "optim.b1"; None where the variable holds no section."""
        names: list[str] = []
        while isinstance(target, ast.Attribute):
            names.insert(0, target.attr)
            target = target.value
        if not isinstance(target, ast.Name) or target.id not in self._sections:
            return None
        return ".".join([part for part in (self._sections[target.id],) if part] + names)

    def _set(self, path: str, value: ast.expr, line: int) -> None:
        inside = [known for known in self._lines if known.startswith(f"{path}.")]
        for known in inside:  # a whole section was replaced
            del self._lines[known]
        self._lines[path] = Place(self._file, line)
        if isinstance(value, ast.Call):
            self._lines |= dict(self._keyword_lines(value, f"{path}."))

    def _keyword_lines(self, call: ast.Call, prefix: str) -> Iterator[tuple[str, Place]]:
        for keyword in call.keywords:
            if keyword.arg is None:
                continue
            yield prefix + keyword.arg, Place(self._file, keyword.lineno)
            if isinstance(keyword.value, ast.Call):
                yield from self._keyword_lines(keyword.value, f"{prefix}{keyword.arg}.")


def _module_file(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None
