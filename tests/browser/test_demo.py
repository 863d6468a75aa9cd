"""The demo as a person uses it."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from demo.conftest import Server, server

__all__ = ["server"]  # a fixture


def photograph() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((60, 80, 3), 128, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def choose(page: Any, data: bytes, *, name: str = "../../my photo.png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": data})
    page.wait_for_selector("body[data-done]")


def tip_at(page: Any, x: float, y: float) -> str:
    """What pointing at a place of the picture, 0..1, says."""
    canvas = page.locator("#viewer canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    canvas.hover(position={"x": x * box["width"], "y": y * box["height"]})
    text: str = page.locator("#viewer .tip").text_content()
    return text


def test_image_is_chosen_read_and_saved(
    server: Server, visit: Callable[[str], Any], tmp_path: Path
) -> None:
    page = visit(f"http://127.0.0.1:{server.port}/")
    choose(page, photograph())
    assert page.locator("#status").text_content() == "80 x 60 pixels"
    assert tip_at(page, 0.2, 0.5) == "cat, 0.90"
    assert tip_at(page, 0.8, 0.5) == "<b>sky</b>, 0.60"

    page.locator("[data-threshold=object_mask]").fill("0.8")
    page.wait_for_function("document.querySelectorAll('#viewer .chips button').length == 1")
    assert tip_at(page, 0.8, 0.5) == ""

    page.get_by_role("button", name="instances", exact=True).click()
    page.wait_for_function("document.querySelector('#viewer strong').textContent == '1 segment'")
    assert tip_at(page, 0.2, 0.5) == "cat, 0.70"
    assert not page.locator("[data-threshold=object_mask]").is_visible()

    with page.expect_download() as download:
        page.locator("#save-json").click()
    saved = tmp_path / "records.json"
    download.value.save_as(saved)
    assert json.loads(saved.read_text())[0]["category"] == "cat"
    with page.expect_download() as download:
        page.locator("#save-png").click()
    download.value.save_as(tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size == (80, 60)


def test_image_is_dropped(server: Server, visit: Callable[[str], Any]) -> None:
    page = visit(f"http://127.0.0.1:{server.port}/")
    page.evaluate(
        """(bytes) => {
          const files = new DataTransfer();
          files.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
          const event = (kind) => new DragEvent(kind, { dataTransfer: files, bubbles: true });
          document.getElementById("drop").dispatchEvent(event("dragover"));
          document.getElementById("drop").dispatchEvent(event("drop"));
        }""",
        list(photograph()),
    )
    page.wait_for_selector("body[data-done]")
    assert tip_at(page, 0.2, 0.5) == "cat, 0.90"


def test_what_is_no_image_is_said(server: Server, chromium: Any) -> None:
    page = chromium.new_page()  # the browser itself logs the refusal
    page.goto(f"http://127.0.0.1:{server.port}/")
    choose(page, b"no image")
    assert "unknown image format" in page.locator("#status").text_content()
    choose(page, photograph())
    assert page.locator("#status").text_content() == "80 x 60 pixels"
    page.close()
