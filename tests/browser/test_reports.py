"""The report and the page of a data check, as a person uses them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inspection.drawn_run import CATEGORIES, draw_run
from inspection.test_check_page import data, page_of

from maskformer_jax.__main__ import main

__all__ = ["data"]  # a fixture

Visit = Callable[[str], Any]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("runs") / "run"
    draw_run(workdir)
    assert main(["report", str(workdir)]) == 0
    return workdir / "report.html"


def pixel(page: Any, pane: int, x: int, y: int) -> list[int]:
    """A pixel of a viewer's canvas, RGB."""
    values: list[int] = page.evaluate(
        "([pane, x, y]) => Array.from(document.querySelectorAll('.viewer canvas')[pane]"
        ".getContext('2d').getImageData(x, y, 1, 1).data.slice(0, 3))",
        [pane, x, y],
    )
    return values


def hover(page: Any, pane: int, x: int, y: int) -> None:
    """Point at a pixel of a viewer's canvas of 80 x 60 pixels."""
    canvas = page.locator(".viewer canvas").nth(pane)
    box = canvas.bounding_box()
    canvas.hover(position={"x": (x + 0.5) * box["width"] / 80, "y": (y + 0.5) * box["height"] / 60})


def test_segments_are_read_by_hovering_and_hidden_by_a_click(report: Path, visit: Visit) -> None:
    page = visit(report.as_uri())
    page.locator(".viewer").first.scroll_into_view_if_needed()
    page.wait_for_selector(".viewer[data-ready]")
    # The worst image: the cat is predicted 10 pixels to the right of where it is.
    hover(page, 0, 45, 20)
    tip = page.locator(".viewer .tip").first
    assert tip.text_content() == f"{CATEGORIES[0].name}, 0.90"
    hover(page, 0, 15, 20)
    assert tip.text_content() == "sky, 0.80"
    hover(page, 1, 15, 20)
    assert page.locator(".viewer .tip").nth(1).text_content() == CATEGORIES[0].name

    page.mouse.move(0, 0)
    shown = pixel(page, 0, 45, 20)
    chip = page.locator(".viewer .pane").first.locator("button").first
    chip.click()
    page.mouse.move(0, 0)
    assert chip.get_attribute("aria-pressed") == "false"
    assert pixel(page, 0, 45, 20) != shown
    hover(page, 0, 45, 20)
    assert tip.text_content() == ""
    chip.click()
    page.mouse.move(0, 0)
    assert pixel(page, 0, 45, 20) == shown


def test_opacity_runs_from_the_image_to_the_colour(report: Path, visit: Visit) -> None:
    page = visit(report.as_uri())
    page.locator(".viewer").first.scroll_into_view_if_needed()
    page.wait_for_selector(".viewer[data-ready]")
    slider = page.locator(".viewer input[type=range]").first
    slider.fill("1")
    assert pixel(page, 0, 45, 20) == list(CATEGORIES[0].color)
    slider.fill("0")
    assert pixel(page, 0, 45, 20) != list(CATEGORIES[0].color)


def test_bars_are_sorted_by_a_click(report: Path, visit: Visit) -> None:
    page = visit(report.as_uri())
    page.wait_for_selector(".plot[data-ready]")
    chart = page.locator("section", has=page.get_by_role("heading", name="Classes"))
    chart.scroll_into_view_if_needed()

    def names() -> list[str]:
        """Of the bars, from the top."""
        ticks = chart.locator(".ytick text").all()
        return [
            one.text_content() for one in sorted(ticks, key=lambda one: one.bounding_box()["y"])
        ]

    page.wait_for_function("document.querySelectorAll('.plot:not([data-ready])').length == 0")
    cat, sky = CATEGORIES[0].name[:3], CATEGORIES[1].name
    assert [name[:3] for name in names()] == [sky, cat]  # the best on top
    chart.get_by_role("button", name="by name").click()
    page.wait_for_timeout(300)
    assert [name[:3] for name in names()] == [cat, sky]


def test_loss_changes_to_a_logarithmic_axis(report: Path, visit: Visit) -> None:
    page = visit(report.as_uri())
    page.wait_for_function("document.querySelectorAll('.plot:not([data-ready])').length == 0")
    plot = page.locator(".plot").first
    before = plot.locator(".ytick text").all_text_contents()
    plot.get_by_role("button", name="log").click()
    page.wait_for_timeout(300)
    assert plot.locator(".ytick text").all_text_contents() != before


def test_check_data_page(data: Path, visit: Visit) -> None:
    (data / "images/val/5.png").write_bytes(b"no picture")
    page_of(data, status=1)
    page = visit((data.parent / "page.html").as_uri())
    assert page.locator("li.problem").count() == 1
    page.wait_for_function("Array.from(document.images).every(one => one.complete)")
    sizes = page.evaluate("Array.from(document.images).map(one => one.naturalWidth)")
    assert sizes
    assert all(sizes)
