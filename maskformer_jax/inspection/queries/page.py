"""The page about queries."""

from collections.abc import Sequence

import cv2
import numpy as np

from maskformer_jax.categories import Category
from maskformer_jax.data.panoptic import encode_ids
from maskformer_jax.data.transforms import resize_image, shortest_edge_size
from maskformer_jax.image_files import encode_image
from maskformer_jax.inspection.queries.one_image import ImageQueries
from maskformer_jax.inspection.queries.statistics import QueryStatistics
from maskformer_jax.pages.html import data_url, escape, inline_picture, page, section, swatch
from maskformer_jax.pages.segments import Layer, Viewers
from maskformer_jax.visualize.segments import shade

_SHORT_SIDE, _LONG_SIDE = 320, 640  # pixels of a shown image, at most
_MOST_CLASSES = 3  # listed for a query
_MOST_ATTENTION = 6  # queries whose attention is shown for an image


def queries_page(
    title: str,
    statistics: QueryStatistics,
    examples: Sequence[tuple[str, np.ndarray, ImageQueries]],
    categories: Sequence[Category],
) -> str:
    """Make the page.

    Args:
        title: the model.
        statistics: over the images of a data set.
        examples: name, pixels (RGB uint8 [H, W, 3]) and queries of a few images.
        categories: K categories in label order.
    """
    viewers = Viewers()
    used = int((statistics.uses > 0).sum())
    total = len(statistics.uses)
    intro = (
        f"<p>{used} of {total} queries are used in {statistics.images} images: they give a class a "
        "probability of at least 0.5. The map of a query is the mean of its masks where it is "
        "used, bright where they are.</p>"
    )
    shown = "".join(
        section(name, _example(image, queries, categories, viewers))
        for name, image, queries in examples
    )
    return page(
        title,
        [
            f"<h1>Queries of {escape(title)}</h1>",
            intro,
            section("What each query specialises in", _cards(statistics, categories)),
            shown,
        ],
        scripts=[viewers.script()] if examples else [],
    )


def _cards(statistics: QueryStatistics, categories: Sequence[Category]) -> str:
    order = np.argsort(-statistics.uses, kind="stable")
    cards = []
    for query in order[statistics.uses[order] > 0].tolist():
        uses = int(statistics.uses[query])
        counts = statistics.counts[query]
        classes = [
            f"{swatch(categories[label].color)}{escape(categories[label].name)} "
            f"{100 * counts[label] / uses:.0f} %"
            for label in np.argsort(-counts, kind="stable")[:_MOST_CLASSES].tolist()
            if counts[label]
        ]
        picture = _heat(statistics.places[query], (160, 160))
        cards.append(
            f'<figure class="query"><img alt="where query {query} is used" '
            f'src="{inline_picture(picture)}"><figcaption><strong>query {query}</strong>, '
            f"{uses} images, {100 * statistics.areas[query]:.1f} % of the image<br>"
            + "<br>".join(classes)
            + "</figcaption></figure>"
        )
    return '<div class="queries">' + "\n".join(cards) + "</div>"


def _example(
    image: np.ndarray, queries: ImageQueries, categories: Sequence[Category], viewers: Viewers
) -> str:
    size = shortest_edge_size(image.shape[:2], _SHORT_SIDE, _LONG_SIDE)
    picture = resize_image(image, size)
    url = inline_picture(picture)
    number = len(queries.class_probabilities)
    layers = [
        _layer(f"layer {layer + 1} of {number}", queries, layer, size, categories)
        for layer in range(number)
    ]
    hint = (
        '<p class="note">Each pixel belongs to the query with the largest product of class and '
        "mask probability. Point at it to see which.</p>"
    )
    return hint + viewers.add(url, layers) + _attention(picture, queries, categories)


def _layer(
    name: str,
    queries: ImageQueries,
    layer: int,
    size: tuple[int, int],
    categories: Sequence[Category],
) -> Layer:
    classes = queries.class_probabilities[layer]
    kept = np.flatnonzero(classes.argmax(axis=1) < len(categories))
    height, width = size
    ids = np.zeros(size, np.int32)
    best = np.zeros(size, np.float32)
    segments, seen = [], dict.fromkeys(range(len(categories)), 0)
    for query in kept.tolist():
        label, score = int(classes[query, :-1].argmax()), float(classes[query, :-1].max())
        mask = cv2.resize(queries.mask_probabilities[layer, query], (width, height))
        owned = (score * mask > best) & (mask >= 0.5)
        ids[owned], best[owned] = query + 1, (score * mask)[owned]
        category = categories[label]
        segments.append(
            {
                "id": query + 1,
                "name": f"query {query}: {category.name}",
                "color": list(shade(category.color, seen[label])),
                "score": round(score, 3),
            }
        )
        seen[label] += 1
    present = set(np.unique(ids).tolist())
    shown = [segment for segment in segments if segment["id"] in present]
    return Layer(name, data_url(encode_image(encode_ids(ids)), "image/png"), shown)


def _attention(picture: np.ndarray, queries: ImageQueries, categories: Sequence[Category]) -> str:
    """Where the surest queries look in the last layer."""
    classes = queries.class_probabilities[-1, :, :-1]
    order = np.argsort(-classes.max(axis=1), kind="stable")[:_MOST_ATTENTION]
    figures = []
    for query in order.tolist():
        label, score = int(classes[query].argmax()), float(classes[query].max())
        heat = _heat(queries.attention[-1, query], picture.shape[:2])
        mixed = (0.45 * picture + 0.55 * heat).astype(np.uint8)
        text = f"query {query}: {categories[label].name}, {score:.2f}"
        figures.append(
            f'<figure><img alt="attention of query {query}" src="{inline_picture(mixed)}">'
            f"<figcaption>{escape(text)}</figcaption></figure>"
        )
    return "<h3>Attention in the last layer</h3>" + (
        '<div class="cases">' + "\n".join(figures) + "</div>"
    )


def _heat(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Values as colours, the largest bright: uint8 RGB of a (height, width)."""
    height, width = size[:2]
    scaled = (255 * values / max(float(values.max()), 1e-9)).astype(np.uint8)
    large = cv2.resize(scaled, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(cv2.applyColorMap(large, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
