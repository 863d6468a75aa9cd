"""Self-contained HTML pages: all that a page needs is inside of its one file."""
