"""A picture with segments over it that can be read by hovering and switched on and off."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from maskformer_jax.pages.html import Markup, asset, escape, json_for_script


class Layer(NamedTuple):
    """Segments over an image, as `segments.js` draws them."""

    name: str  # such as "prediction"
    map: str  # URL of a PNG of ids as COCO writes them, R + 256 G + 65536 B; 0 for no segment
    segments: Sequence[Mapping[str, Any]]  # id, name, color (RGB 0..255), and a score if any


class Viewers:
    """The viewers of one page, and the script that starts them."""

    def __init__(self) -> None:
        self._numbers = count()
        self._starts: list[str] = []

    def add(self, image: str, layers: Sequence[Layer], *, caption: str = "") -> Markup:
        """The place of one viewer.

        Args:
            image: URL of the picture.
            layers: side by side, each over the picture.
            caption: below, as plain text.
        """
        name = f"viewer-{next(self._numbers)}"
        data = json_for_script({"image": image, "layers": [layer._asdict() for layer in layers]})
        self._starts.append(f'start("{name}", {data});')
        note = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        return Markup(f'<figure>{note}<div class="viewer" id="{name}"></div></figure>')

    def script(self) -> str:
        """JavaScript that fills each viewer when it comes near the window; empty without one."""
        if not self._starts:
            return ""
        return "\n".join((asset("segments.js"), _START, *self._starts))


# Decoding waits until a viewer is about to be seen: a page can have dozens.
_START = """
function start(name, options) {
  const root = document.getElementById(name);
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    new SegmentViewer(root, options);
  }, { rootMargin: "400px" });
  observer.observe(root);
}
"""
