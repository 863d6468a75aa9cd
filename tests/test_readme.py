"""The Python examples of README.md and docs/python.md do what they say."""

import ast
import re
from pathlib import Path
from typing import Any

import jax
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README + GUIDE, flags=re.DOTALL)
# The ones about a checkpoint need a trained one; tests/test_pretrained.py does the same.
TRACEABLE = [block for block in BLOCKS if "load_pretrained" not in block]
PARTS = [block for block in TRACEABLE if "import maskformer_jax as mf" not in block]


def traced(block: str) -> dict[str, Any]:
    """The commented expressions of a block, with shapes for arrays: nothing is computed."""

    def run() -> dict[str, Any]:
        names: dict[str, Any] = {}
        exec(compile(block, "docs/python.md", "exec"), names)
        return {expression: eval(expression, names) for expression, _ in shape_comments(block)}

    return jax.eval_shape(run)


def shape_comments(block: str) -> list[tuple[str, tuple[int, ...]]]:
    """Expression and shape of the lines of the form `expression  # [1, 2, 3], ...`."""
    found = re.findall(r"^(\S+)  # (\[[\d, ]+\])", block, flags=re.MULTILINE)
    return [(expression, tuple(ast.literal_eval(shape))) for expression, shape in found]


def test_there_are_examples_of_the_model_its_parts_and_the_inference():
    assert len(TRACEABLE) == 6
    assert len(PARTS) == 3
    assert all(shape_comments(block) for block in TRACEABLE)


@pytest.mark.parametrize("block", TRACEABLE, ids=lambda block: block.splitlines()[-1].split()[0])
def test_the_arrays_have_the_shapes_in_the_comments(block):
    shapes = traced(block)
    for expression, shape in shape_comments(block):
        assert shapes[expression].shape == shape


def test_parts_take_five_lines():
    for block in PARTS:
        lines = [line for line in block.splitlines() if line and "import" not in line]
        assert len(lines) <= 5


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))])
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#\s]+)", (ROOT / page).read_text())
    files = [link for link in links if "://" not in link]
    assert [link for link in files if not ((ROOT / page).parent / link).exists()] == []
