"""A page of what `check-data` found: findings, statistics, pictures of the worst cases.

One HTML file with everything in it, which needs no network.
"""

from collections.abc import Sequence

import numpy as np

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import DataConfig
from maskformer_jax.data.alike import tell_once
from maskformer_jax.data.check_report import Case, DatasetReport
from maskformer_jax.data.example import Example
from maskformer_jax.data.images import decode_image
from maskformer_jax.data.run_lengths import decode_mask
from maskformer_jax.data.sources import open_leniently
from maskformer_jax.data.transforms import resize_image, shortest_edge_size
from maskformer_jax.errors import UserError
from maskformer_jax.pages.html import Markup, escape, inline_picture, page, section, swatch, table
from maskformer_jax.visualize.labels import overlay_with_legend
from maskformer_jax.visualize.segments import instance_overlay, panoptic_overlay

_PICTURE_SIDE = 480  # pixels, the shorter


def check_page(report: DatasetReport, data: DataConfig) -> str:
    """Make the page.

    Args:
        report: of `check_dataset`.
        data: the data set, from which the pictures are read again.
    """
    title = f"Data set {report.info.name}"
    return page(
        title,
        [
            f"<h1>{escape(title)}</h1>",
            f"<p>{report.info.num_classes} classes; {len(report.problems)} problems, "
            f"{len(report.warnings)} warnings.</p>",
            _findings(report),
            section("Images", _sizes(report)),
            section("Classes", _classes(report)),
            section("Images to look at", _cases(report.cases, report.info, data)),
        ],
    )


def _findings(report: DatasetReport) -> str:
    items = [
        f'<li class="{kind}">{escape(message)}</li>'
        for kind, messages in (("problem", report.problems), ("warning", report.warnings))
        for message in tell_once(messages)
    ]
    if not items:
        return "<p>No problems were found.</p>"
    return section("Findings", '<ul class="findings">' + "\n".join(items) + "</ul>")


def _sizes(report: DatasetReport) -> str:
    rows = []
    for split in report.splits:
        heights, widths = np.array(split.sizes or [(0, 0)]).T
        rows.append(
            (
                split.split,
                len(split.sizes),
                f"{heights.min()} to {heights.max()}",
                f"{widths.min()} to {widths.max()}",
                split.most_segments,
            )
        )
    headers = ("split", "images", "height", "width", "most segments in an image")
    return table(headers, rows) if rows else ""


def _classes(report: DatasetReport) -> str:
    if not report.splits:
        return ""
    headers = ["class"]
    for split in report.splits:
        headers += [f"{split.split}: images", f"{split.split}: % of pixels"]
    names = [(category.name, category.color) for category in report.info.categories]
    rows = []
    for label, (name, color) in enumerate([*names, ("void", (0, 0, 0))]):
        row: list[object] = [Markup(swatch(color) + escape(name))]
        for split in report.splits:
            share = 100 * split.pixels[label] / max(split.pixels.sum(), 1)
            row += [int(split.images[label]), f"{share:.2f}"]
        rows.append(tuple(row))
    return table(headers, rows)


def _cases(cases: Sequence[Case], info: DatasetInfo, data: DataConfig) -> str:
    sources = {}
    figures = []
    for case in cases:
        if case.split not in sources:
            sources[case.split] = open_leniently(data, case.split, info)
        source = sources[case.split]
        try:
            picture = _draw(source[case.position], info)
        except Exception:  # what cannot be read as an example may still be an image
            try:
                data_of_image = source.encoded_image(case.position)
                picture = _shrink(decode_image(data_of_image, name=case.image_id))
            except (UserError, OSError):
                picture = None
        image = "" if picture is None else f'<img alt="" src="{inline_picture(picture)}">'
        text = escape(f"{case.split}, {case.image_id}: {case.reason}")
        figures.append(f"<figure>{image}<figcaption>{text}</figcaption></figure>")
    if not figures:
        return ""
    return '<div class="cases">' + "\n".join(figures) + "</div>"


def _draw(example: Example, info: DatasetInfo) -> np.ndarray:
    if example.panoptic is not None:
        segments = example.panoptic.segments
        labels = {segment.segment_id: segment.label for segment in segments}
        picture = panoptic_overlay(example.image, example.panoptic.id_map, labels, info.categories)
    elif example.label_map is not None:
        picture = overlay_with_legend(example.image, example.label_map, info.categories)
    else:
        kept = example.instances or ()
        masks = np.array([decode_mask(one.rle) for one in kept], bool)
        stack = masks.reshape(-1, *example.image.shape[:2])
        labels_of = [one.label for one in kept]
        picture = instance_overlay(example.image, stack, labels_of, info.categories)
    return _shrink(picture)


def _shrink(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    if min(height, width) <= _PICTURE_SIDE:
        return picture
    size = shortest_edge_size((height, width), _PICTURE_SIDE, 4 * _PICTURE_SIDE)
    return resize_image(picture, size)
