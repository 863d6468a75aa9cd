"""The page of a data check."""

import re
from pathlib import Path

import numpy as np
import pytest
from inspection.html_page import Page
from PIL import Image

from maskformer_jax.__main__ import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for split in ("train", "val"):
        for index in range(6):
            image = np.full((40, 50, 3), 40 * index, np.uint8)
            labels = np.zeros((40, 50), np.uint8)
            labels[10:30, 10:30] = 1
            for folder, array in (("images", image), ("annotations", labels)):
                path = root / folder / split / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
    (root / "classes.txt").write_text("ground\nthe <b>thing</b> & co\n")
    return root


def page_of(data: Path, *, status: int) -> str:
    file = data.parent / "page.html"
    command = [
        *("check-data", "--config=shapes/maskformer_R18", f"--page={file}"),
        *("--config.data.format=folder", f"--config.data.root={data}"),
        f"--config.data.dataset={data / 'classes.txt'}",
    ]
    assert main(command) == status
    return file.read_text("utf-8")


def test_findings_statistics_and_pictures(data: Path) -> None:
    Image.fromarray(np.full((40, 50), 7, np.uint8)).save(data / "annotations/train/2.png")
    Image.fromarray(np.full((40, 50), 255, np.uint8)).save(data / "annotations/val/3.png")
    text = page_of(data, status=1)
    page = Page(text)
    assert page.open == []
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert len(page.sources) == 6  # the wrong value, the void map, two images of each split
    assert "http" not in text.replace("http-equiv", "")
    assert "label 7 at row 0, column 0" in text
    assert "all pixels are void" in text
    assert "the &lt;b&gt;thing&lt;/b&gt; &amp; co" in text
    assert re.search(r"<td>train</td><td>5</td><td>40 to 40</td><td>50 to 50</td><td>2</td>", text)


def test_sound_data(data: Path) -> None:
    text = page_of(data, status=0)
    assert "No problems were found." in text
    assert Page(text).opened.count("img") == 4
