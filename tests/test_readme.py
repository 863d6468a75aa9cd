"""The Python examples of README.md do what they say."""

import ast
import re
from pathlib import Path
from typing import Any

import jax
import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
# The one about a checkpoint needs a trained one; tests/test_pretrained.py does the same.
NETWORKS = [block for block in BLOCKS if "load_pretrained" not in block]


def traced(block: str) -> dict[str, Any]:
    """The names after a block, with shapes for arrays: nothing is compiled or computed."""

    def run() -> dict[str, Any]:
        names: dict[str, Any] = {}
        exec(compile(block, str(README), "exec"), names)
        results.update(names)
        return {
            comment_target: eval(comment_target, names)
            for comment_target, _ in shape_comments(block)
        }

    results: dict[str, Any] = {}
    return jax.eval_shape(run)


def shape_comments(block: str) -> list[tuple[str, tuple[int, ...]]]:
    """Expression and shape of the lines of the form `expression  # [1, 2, 3], ...`."""
    found = re.findall(r"^(\S+)  # (\[[\d, ]+\])", block, flags=re.MULTILINE)
    return [(expression, tuple(ast.literal_eval(shape))) for expression, shape in found]


def test_there_are_examples_of_the_model_and_its_parts():
    assert len(NETWORKS) == 4
    assert all(shape_comments(block) for block in NETWORKS)


@pytest.mark.parametrize("block", NETWORKS, ids=lambda block: block.splitlines()[-1].split()[0])
def test_the_arrays_have_the_shapes_in_the_comments(block):
    shapes = traced(block)
    for expression, shape in shape_comments(block):
        assert shapes[expression].shape == shape


def test_parts_take_five_lines():
    for block in NETWORKS[1:]:
        lines = [line for line in block.splitlines() if line and "import" not in line]
        assert len(lines) <= 5
