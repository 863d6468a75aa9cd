"""The frame of a page, its tables and its pictures."""

import base64
import html
import json
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from maskformer_jax.image_files import encode_image


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(text: object) -> Markup:
    """Any text as HTML; what is HTML already stays as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(str(text)))


def page(title: str, parts: Iterable[str], *, scripts: Iterable[str] = ()) -> str:
    """A whole page.

    Args:
        title: of the window, as plain text.
        parts: of the body, as HTML; empty ones are left out.
        scripts: JavaScript, run in this order after the body has been read.
    """
    body = "\n".join(part for part in parts if part)
    ends = "\n".join(f"<script>{_closed_only_here(script)}</script>" for script in scripts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # An icon of its own, so that a browser asks no server for one.
        '<link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title><style>{asset('style.css')}</style></head>\n<body>\n"
        f"{body}\n{ends}\n</body></html>\n"
    )


def section(heading: str, content: str) -> str:
    """Content below a heading; empty content has none."""
    return f"<section><h2>{escape(heading)}</h2>\n{content}</section>" if content else ""


def table(headers: Sequence[object], rows: Iterable[Sequence[object]]) -> Markup:
    """A table; cells are plain text unless they are `Markup`."""
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return Markup(f'<div class="table"><table><tr>{head}</tr>{body}</table></div>')


def swatch(color: Sequence[int]) -> Markup:
    """A small square of an RGB colour, 0..255."""
    return Markup(f'<span class="swatch" style="background: rgb{tuple(color)}"></span>')


def inline_picture(picture: np.ndarray) -> str:
    """A picture, uint8 RGB [H, W, 3], as a URL that holds it as a JPEG."""
    return data_url(encode_image(picture, "jpg"), "image/jpeg")


def data_url(data: bytes, kind: str) -> str:
    """A URL that holds the data; `kind` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def json_for_script(value: Any) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


@cache
def asset(name: str) -> str:
    """The text of a file beside this module."""
    return (resources.files(__package__) / name).read_text("utf-8")


def _closed_only_here(script: str) -> str:
    # A library that has the tag in a string would end the script there.
    return script.replace("</script", "<\\/script")
