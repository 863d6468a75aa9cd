"""A page of what `check-data` found: findings, statistics, pictures of the worst cases.

One HTML file with everything in it, which needs no network.
"""

import base64
import html
from collections.abc import Iterable, Sequence

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
from maskformer_jax.image_files import encode_image
from maskformer_jax.visualize.labels import overlay_with_legend
from maskformer_jax.visualize.segments import instance_overlay, panoptic_overlay

_PICTURE_SIDE = 480  # pixels, the shorter
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c22; --warn: #b70; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
ul.findings { padding: 0; }
ul.findings li { list-style: none; margin: .4rem 0; padding: .4rem .8rem;
  border-left: 4px solid var(--warn); background: #8881; overflow-wrap: anywhere; }
ul.findings li.problem { border-color: var(--bad); }
.table { overflow-x: auto; } table { border-collapse: collapse; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
.swatch { display: inline-block; width: 1em; height: 1em; border-radius: 2px; vertical-align: -2px;
  margin-right: .5em; border: 1px solid var(--line); }
.cases { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); }
figure { margin: 0; } figure img { width: 100%; border-radius: 4px; }
figcaption { font-size: .9em; overflow-wrap: anywhere; }
"""


def check_page(report: DatasetReport, data: DataConfig) -> str:
    """Make the page.

    Args:
        report: of `check_dataset`.
        data: the data set, from which the pictures are read again.
    """
    name = html.escape(report.info.name)
    parts = [
        f"<h1>Data set {name}</h1>",
        f"<p>{report.info.num_classes} classes; {len(report.problems)} problems, "
        f"{len(report.warnings)} warnings.</p>",
        _findings(report),
        _sizes(report),
        _classes(report),
        _cases(report.cases, report.info, data),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Data set {name}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def _findings(report: DatasetReport) -> str:
    items = [
        f'<li class="{kind}">{html.escape(message)}</li>'
        for kind, messages in (("problem", report.problems), ("warning", report.warnings))
        for message in tell_once(messages)
    ]
    if not items:
        return "<p>No problems were found.</p>"
    return '<h2>Findings</h2>\n<ul class="findings">' + "\n".join(items) + "</ul>"


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
    return "<h2>Images</h2>" + _table(headers, rows) if rows else ""


def _classes(report: DatasetReport) -> str:
    if not report.splits:
        return ""
    headers = ["class"]
    for split in report.splits:
        headers += [f"{split.split}: images", f"{split.split}: % of pixels"]
    names = [(category.name, category.color) for category in report.info.categories]
    rows = []
    for label, (name, color) in enumerate([*names, ("void", (0, 0, 0))]):
        swatch = f'<span class="swatch" style="background: rgb{color}"></span>'
        row: list[object] = [_Raw(swatch + html.escape(name))]
        for split in report.splits:
            share = 100 * split.pixels[label] / max(split.pixels.sum(), 1)
            row += [int(split.images[label]), f"{share:.2f}"]
        rows.append(tuple(row))
    return "<h2>Classes</h2>" + _table(headers, rows)


class _Raw(str):
    """Text that is HTML already."""

    __slots__ = ()


def _table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{html.escape(header)}</th>" for header in headers)
    lines = [
        "<tr>"
        + "".join(
            f"<td>{cell if isinstance(cell, _Raw) else html.escape(str(cell))}</td>" for cell in row
        )
        + "</tr>"
        for row in rows
    ]
    return f'<div class="table"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


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
        image = "" if picture is None else f'<img alt="" src="{_inline(picture)}">'
        text = html.escape(f"{case.split}, {case.image_id}: {case.reason}")
        figures.append(f"<figure>{image}<figcaption>{text}</figcaption></figure>")
    if not figures:
        return ""
    return '<h2>Images to look at</h2>\n<div class="cases">' + "\n".join(figures) + "</div>"


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


def _inline(picture: np.ndarray) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(encode_image(picture, "jpg")).decode()
