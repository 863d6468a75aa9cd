"""The page about queries: each pixel says which query owns it, in every layer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.categories import Category
from maskformer_jax.inspection.queries.one_image import ImageQueries
from maskformer_jax.inspection.queries.page import queries_page
from maskformer_jax.inspection.queries.statistics import count_uses

CATEGORIES = (
    Category(name="cat", color=(200, 30, 30), is_thing=True),
    Category(name="sky", color=(30, 30, 200)),
)


def test_pixels_say_their_query(tmp_path: Path, visit: Callable[[str], Any]) -> None:
    classes = np.zeros((2, 2, 3), np.float32)
    masks = np.zeros((2, 2, 16, 32), np.float32)
    for layer in range(2):  # the halves change their queries between the layers
        for query in range(2):
            classes[layer, query, query] = 0.9
            half = (query + layer) % 2
            masks[layer, query, :, 16 * half : 16 * (half + 1)] = 0.8
    queries = ImageQueries(classes, masks, np.full((2, 2, 2, 4), 0.125, np.float32))
    image = np.full((64, 128, 3), 90, np.uint8)
    file = tmp_path / "queries.html"
    examples = [("photo", image, queries)]
    file.write_text(queries_page("model", count_uses([queries]), examples, CATEGORIES), "utf-8")

    page = visit(file.as_uri())
    assert page.locator(".queries figure").count() == 2
    page.locator(".viewer").scroll_into_view_if_needed()
    page.wait_for_selector(".viewer[data-ready]")
    said = []
    for layer in range(2):
        canvas = page.locator(".viewer canvas").nth(layer)
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        for place in (0.25, 0.75):
            canvas.hover(position={"x": place * box["width"], "y": box["height"] / 2})
            said.append(page.locator(".viewer .tip").nth(layer).text_content())
    cat, sky = "query 0: cat, 0.90", "query 1: sky, 0.90"
    assert said == [cat, sky, sky, cat]
