"""Mutation test: which small mistakes in matching, losses and inference do the tests notice?

    python -m tools.mutation_test [--group=NAME ...] [--sample=N] [--seed=S] [--jobs=J]
        [--time-limit=SECONDS]

Every mutant (tools/mutants.py) is run against the tests of its group, in a process of its own in
which one module is replaced in memory; no file changes. It is killed if a test fails or the time
limit is exceeded. Prints the survivors and the share of killed mutants; the exit status is 1 if the
share is below 85 %, and 2 if tests fail without a mutant. All mutants take hours on two cores;
`--sample` draws some from each group.
"""

import argparse
import collections
import importlib
import importlib.machinery
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tools.mutants import Mutant, find_mutants

ROOT = Path(__file__).parent.parent
REQUIRED_SHARE = 0.85
TIME_LIMIT = 300  # seconds for the tests of one mutant
LIBRARIES = (
    *("beartype", "flax.linen", "hypothesis", "jax.numpy", "jaxtyping", "optax"),
    *("orbax.checkpoint", "pytest", "scipy.optimize"),
)


class Group(NamedTuple):
    """Modules, by a pattern, and the tests that should notice a mistake in them."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]  # quickest first: the run of a mutant ends with the first failure


GROUPS = {
    "matching": Group(
        ("matching/*.py",), ("tests/matching", "tests/criterion/test_query_assignment.py")
    ),
    "criterion": Group(("criterion/*.py",), ("tests/criterion",)),
    "losses": Group(("losses.py",), ("tests/test_losses.py", "tests/criterion")),
    "postprocess": Group(("postprocess/*.py",), ("tests/postprocess",)),
    "step": Group(
        ("training/step.py", "training/accumulation.py"),
        (
            "tests/training/test_nonfinite_and_average.py",
            "tests/training/test_accumulation.py",
            "tests/training/test_losses_by_layer.py",
        ),
    ),
}


def mutants_of(group: Group, *, root: Path = ROOT) -> list[Mutant]:
    """Return all mutants of a group's modules."""
    package = root / "maskformer_jax"
    files = [file for pattern in group.modules for file in sorted(package.glob(pattern))]
    return [mutant for file in files for mutant in find_mutants(file)]


def replace_module(mutant: Mutant) -> None:
    """Make a later import of the mutant's module in this process run the mutant."""
    loader: Any = importlib.machinery.SourceFileLoader
    get_data, path_stats, file = loader.get_data, loader.path_stats, str(mutant.path)

    def mutated_data(self: Any, path: str) -> bytes:
        return mutant.source.encode() if str(path) == file else get_data(self, path)

    def newer_stats(self: Any, path: str) -> dict[str, Any]:
        stats = path_stats(self, path)
        # Newer than any compiled file, so that the source is read.
        return stats | {"mtime": time.time() + 1e6} if str(path) == file else stats

    loader.get_data, loader.path_stats = mutated_data, newer_stats
    sys.dont_write_bytecode = True


def start_tests(mutant: Mutant | None, tests: Sequence[str], *, root: Path = ROOT) -> int:
    """Fork a process that runs tests, of a mutant or of the code as it is; return its id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        os.chdir(root)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        if mutant is not None:
            replace_module(mutant)
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts="]
        options += ["-m", "not slow", "--jaxtyping-packages=maskformer_jax,beartype.beartype"]
        status = int(pytest.main([*options, *tests]))
    finally:
        os._exit(status)


def run_mutants(
    mutants: Sequence[tuple[Mutant, Sequence[str]]],
    *,
    jobs: int = 1,
    time_limit: float = TIME_LIMIT,
    root: Path = ROOT,
) -> list[bool]:
    """Run each mutant's tests; return whether it was killed."""
    killed = [False] * len(mutants)
    running: dict[int, tuple[int, float]] = {}
    waiting = collections.deque(range(len(mutants)))
    while waiting or running:
        while waiting and len(running) < jobs:
            number = waiting.popleft()
            mutant, tests = mutants[number]
            running[start_tests(mutant, tests, root=root)] = (number, time.monotonic())
        for pid, (number, started) in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if not done and time.monotonic() - started > time_limit:
                os.killpg(pid, signal.SIGKILL)
                done, status = os.waitpid(pid, 0)
            if not done:
                continue
            del running[pid]
            killed[number] = status != 0
            word = "killed  " if killed[number] else "SURVIVED"
            took = time.monotonic() - started
            print(f"{word} {took:4.0f} s  {mutants[number][0]}", flush=True)
        time.sleep(0.05)
    return killed


def warm_up() -> None:
    """Import the large libraries once, before processes are forked; start no backend of JAX."""
    sys.path[:0] = [str(ROOT / "tests")]
    import conftest  # noqa: F401  sets the environment for JAX

    os.environ["NPROC"] = "4"
    for name in LIBRARIES:
        importlib.import_module(name)
    del sys.modules["conftest"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the mutation test; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--group", action="append", choices=GROUPS, help="default: all groups")
    parser.add_argument("--sample", type=int, default=0, help="mutants per group; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at the same time")
    parser.add_argument("--time-limit", type=float, default=TIME_LIMIT, help="seconds per mutant")
    arguments = parser.parse_args(argv)
    chosen: list[tuple[str, Mutant, Sequence[str]]] = []
    for name in arguments.group or GROUPS:
        found = mutants_of(GROUPS[name])
        if arguments.sample and arguments.sample < len(found):
            found = random.Random(arguments.seed).sample(found, arguments.sample)
        chosen += [(name, mutant, GROUPS[name].tests) for mutant in found]
    random.Random(arguments.seed).shuffle(chosen)
    warm_up()
    for name in sorted({entry[0] for entry in chosen}):
        if os.waitpid(start_tests(None, GROUPS[name].tests), 0)[1]:
            print(f"error: the tests of {name} fail on the code as it is", file=sys.stderr)
            return 2
    killed = run_mutants(
        [entry[1:] for entry in chosen], jobs=arguments.jobs, time_limit=arguments.time_limit
    )
    return report([entry[0] for entry in chosen], killed)


def report(groups: Sequence[str], killed: Sequence[bool]) -> int:
    """Print the share of killed mutants by group; return the exit status."""
    total = collections.Counter(groups)
    dead = collections.Counter(name for name, k in zip(groups, killed, strict=True) if k)
    for name in total:
        print(f"{name:12} {dead[name]:4} of {total[name]:4} killed  {dead[name] / total[name]:.0%}")
    share = sum(killed) / max(len(killed), 1)
    print(f"{'all':12} {sum(killed):4} of {len(killed):4} killed  {share:.1%}")
    return 0 if share >= REQUIRED_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
