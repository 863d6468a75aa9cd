"""The mutation test itself: its mutants, and whether it tells killed ones from survivors."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tools import mutation_test
from tools.mutants import find_mutants

SOURCE = '''
"""A number 1 in a docstring stays."""

def count(values: list, *, least: float = 0.5) -> int:
    """So does this 2."""
    if not values:
        raise ValueError(f"needs 3 values")
    return sum(value > least for value in values) + len(values) * 2
'''


RUN = """
import sys
from pathlib import Path
from tools.mutants import find_mutants
from tools.mutation_test import run_mutants
root = Path(sys.argv[1])
mutants = find_mutants(root / "toy_mutated.py")
print(run_mutants([(mutant, ["test_toy_mutated.py"]) for mutant in mutants], jobs=2, root=root))
"""


def changes(source: str) -> set[tuple[str, str]]:
    mutants = find_mutants(Path("module.py"), source=source)
    return {(mutant.before, mutant.after) for mutant in mutants}


def test_every_kind_of_mistake_is_made_and_nothing_else() -> None:
    values, total = "not values", "sum((value > least for value in values)) + len(values) * 2"
    condition = "if not values:\n    raise ValueError(f'needs 3 values')"
    assert changes(SOURCE) == {
        ("0.5", "1.0"),
        (condition, condition.replace(values, "not not values")),
        (values, "values"),
        (total, total.replace(" + ", " - ")),
        (total, total.removesuffix(" + len(values) * 2")),
        ("value > least", "value >= least"),
        ("len(values) * 2", "len(values) / 2"),
        ("len(values) * 2", "len(values)"),
        ("2", "3"),
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("jnp.where(a, b, c)", "jnp.where(a, c, b)"),
        ("x.min", "x.max"),
        ("jnp.argmax", "jnp.argmin"),
        ("a and b", "a or b"),
        ("a is None", "a is not None"),
        ("True", "False"),
        ("~a", "a"),
        ("a // b", "a * b"),
        ("a & b", "a"),
    ],
)
def test_single_mistakes(before: str, after: str) -> None:
    call = "()" if before in ("x.min", "jnp.argmax") else ""
    assert (before, after) in changes(f"y = {before}{call}")


def test_arguments_that_change_no_number_stay() -> None:
    assert changes("y = jit(f, donate_argnums=0, static_argnames=1)") == set()


def test_each_mutant_is_the_whole_module_with_one_change() -> None:
    mutants = find_mutants(Path("module.py"), source=SOURCE)
    original = ast.unparse(ast.parse(SOURCE))
    assert len({mutant.source for mutant in mutants} | {original}) == len(mutants) + 1
    [dropped] = [mutant for mutant in mutants if mutant.after == "value >= least"]
    assert dropped.source == original.replace("value > least", "value >= least")
    assert dropped.line == 8


def test_killed_and_surviving_mutants_are_told_apart(tmp_path: Path) -> None:
    module = tmp_path / "toy_mutated.py"
    module.write_text("def larger(a, b):\n    return a > b\n\ndef unused():\n    return 1\n")
    (tmp_path / "test_toy_mutated.py").write_text(
        "import sys; sys.path.insert(0, '.')\n"
        "from toy_mutated import larger\n"
        "def test_larger():\n    assert larger(2, 1)\n    assert not larger(1, 1)\n"
    )
    mutants = find_mutants(module)
    assert [mutant.after for mutant in mutants] == ["a >= b", "2"]
    # In a process of its own, since JAX has threads here, which do not survive a fork.
    result = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)],
        cwd=mutation_test.ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.stdout.splitlines()[-1] == "[True, False]", result.stderr
    assert module.read_text().startswith("def larger(a, b):\n    return a > b")


def test_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert mutation_test.report(["a", "a", "b"], [True, True, False]) == 1
    assert "66.7%" in capsys.readouterr().out
    assert mutation_test.report(["a"] * 20, [True] * 17 + [False] * 3) == 0


def test_every_group_has_modules_and_tests() -> None:
    for group in mutation_test.GROUPS.values():
        assert len(mutation_test.mutants_of(group)) > 30
        assert all((mutation_test.ROOT / test).exists() for test in group.tests)
