"""docs/model_zoo.md against the facts of the package."""

from pathlib import Path

import pytest

from maskformer_jax.commands.list_models import describe
from maskformer_jax.zoo.records import read_model_zoo

ZOO = read_model_zoo()
PUBLISHED = [name for name, facts in ZOO.items() if facts.file]
GOLDEN_FILES = (Path(__file__).parents[1] / "golden").glob("*.npz")
GOLDEN = {path.stem for path in GOLDEN_FILES} - {"components"}
DOCUMENT = Path(__file__).parents[2] / "docs" / "model_zoo.md"


def zoo_rows() -> dict[str, list[str]]:
    """Cells behind the first, by config name."""
    rows = {}
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("| ["):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            label, _, link = name[1:].partition("](")
            assert link == f"../configs/{label}.py)"
            assert label not in rows
            rows[label] = cells
    return rows


def test_every_published_config_is_documented():
    assert set(zoo_rows()) == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_document_says_what_the_package_knows(name):
    facts = ZOO[name]
    parameters, multiply_adds, size, metric, several_scales, file, verified = zoo_rows()[name]
    known = describe(facts)
    assert (parameters, multiply_adds, size) == known[:3]
    assert metric == f"{facts.metric} {facts.value}"
    assert several_scales == str(facts.several_scales or "-")
    assert file == f"`{facts.file}`"
    assert "shapes" in verified


def test_golden_is_claimed_where_there_are_golden_numbers():
    rows = zoo_rows()
    claimed = [name for name, cells in rows.items() if "golden" in cells[-1]]
    files = [
        next(file for file in GOLDEN if name.rpartition("/")[2].startswith(file + "_"))
        for name in claimed
    ]
    assert sorted(files) == sorted(GOLDEN)
