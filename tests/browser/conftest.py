"""Pages in a real browser, offline: Debian's Chromium, driven by Playwright (extra `browser`)."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

WIDE, PHONE = (1300, 900), (390, 800)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; tests that need it are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = [path for name in CHROMIUM if (path := shutil.which(name))]
    if not found:
        pytest.skip("no Chromium on the PATH")
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found[0], args=options)
        yield browser
        browser.close()


@pytest.fixture(params=[(WIDE, "light"), (PHONE, "dark")], ids=["wide-light", "phone-dark"])
def look(request: pytest.FixtureRequest) -> Any:
    """Size of the window and colour scheme."""
    return request.param


@pytest.fixture
def visit(chromium: Any, look: Any) -> Iterator[Callable[[str], Any]]:
    """Opens pages; afterwards none may have logged an error, left loopback, or grown too wide."""
    (width, height), scheme = look
    context = chromium.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        accept_downloads=True,
    )
    complaints: list[str] = []
    outside: list[str] = []

    def filter_request(route: Any) -> None:
        url = route.request.url
        if url.startswith(("file:", "http://127.0.0.1:", "data:", "blob:")):
            route.continue_()
        else:
            outside.append(url)
            route.abort()

    context.route("**/*", filter_request)
    pages = []

    def visit(url: str) -> Any:
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        pages.append(page)
        return page

    yield visit
    widths = [page.evaluate("document.documentElement.scrollWidth") for page in pages]
    context.close()
    assert not complaints
    assert not outside
    assert all(one <= width for one in widths), f"{widths} is wider than the window, {width}"
