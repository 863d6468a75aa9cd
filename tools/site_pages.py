"""Pages of the site from outside of docs/, and links to files that are no pages (mkdocs hooks)."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
NAMES = {source: page for page, source in PAGES.items()}


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages from the root of the repository."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Lead links to where their files are on the site; those to code become plain text."""
    del config, files
    folder = ROOT if page.file.src_uri in PAGES else ROOT / "docs"

    def change(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        path = (folder / target).resolve()
        if not path.is_relative_to(ROOT) or not path.exists():
            return link[0]  # mkdocs complains
        name = path.relative_to(ROOT).as_posix()
        if name in NAMES:
            return f"[{text}]({NAMES[name]}{anchor})"
        if path.parent == ROOT / "docs":
            return f"[{text}]({path.name}{anchor})"
        return text

    return re.sub(r"\[([^\]]+)\]\((?!\w+://)([^)#\s]+)(#[^)\s]+)?\)", change, markdown)
