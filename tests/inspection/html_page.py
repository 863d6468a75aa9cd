"""A page read back: its elements, and what it would load."""

from html.parser import HTMLParser

NO_ICON = "data:,"


class Page(HTMLParser):
    """Counts elements and collects what would be loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.sources: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)
        values = [value or "" for name, value in attrs if name in ("src", "href")]
        self.sources += [value for value in values if value != NO_ICON]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
