"""docs/model_zoo.md against the published table."""

import json
from pathlib import Path

import pytest

PUBLISHED = json.loads(Path(__file__).with_name("published_configs.json").read_text())["configs"]
ZOO = Path(__file__).parent.parent / "docs" / "model_zoo.md"


def zoo_rows() -> dict[str, list[str]]:
    """Cells behind the first, by config name."""
    rows = {}
    for line in ZOO.read_text().splitlines():
        if line.startswith("| ["):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            label, _, link = name[1:].partition("](")
            assert link == f"../configs/{label}.py)"
            assert label not in rows
            rows[label] = cells
    return rows


def test_model_zoo_lists_every_published_config():
    assert set(zoo_rows()) == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_model_zoo_agrees_with_the_published_table(name):
    parameters, metric, several_scales, file, _verified = zoo_rows()[name]
    entry = PUBLISHED[name]
    published = entry["published"]
    group, config, model_file = published["checkpoint_url"].split("/")[-3:]
    task = "PQ" if "PQ" in published else "mIoU"
    assert parameters == f"{entry['parameters'] / 1e6:.1f} M"
    assert metric == f"{task} {published[task]}"
    assert several_scales == str(published.get("mIoU_ms_flip", "-"))
    assert config == name.rpartition("/")[2]
    assert file == f"`{group}/{config}/{model_file}`"
    assert model_file == f"model_final_{published['checkpoint_md5_prefix']}.pkl"
