"""The files that pages load: a few, committed, each known by its hash."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("static")
KINDS: Final = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "editor.css": "text/css; charset=utf-8",
    "editor.js": "text/javascript; charset=utf-8",
    "history.css": "text/css; charset=utf-8",
    "line.css": "text/css; charset=utf-8",
    "line.js": "text/javascript; charset=utf-8",
    "rates.css": "text/css; charset=utf-8",
    "review.css": "text/css; charset=utf-8",
    "review.js": "text/javascript; charset=utf-8",
    "problems.js": "text/javascript; charset=utf-8",
    "part.css": "text/css; charset=utf-8",
    "people.css": "text/css; charset=utf-8",
    "policies.css": "text/css; charset=utf-8",
    "policies.js": "text/javascript; charset=utf-8",
    "zones.js": "text/javascript; charset=utf-8",
    "live.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "told.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "product.css": "text/css; charset=utf-8",
    "product.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""What is served, and as what; nothing else of the folder is."""


@cache
def asset(name: str) -> bytes:
    """The file's bytes; ``KeyError`` for what is not served."""
    if name not in KINDS:
        raise KeyError(name)
    return (FOLDER / name).read_bytes()


@cache
def asset_url(name: str) -> str:
    """Where a page loads it from: the address changes with the content, so it may be kept."""
    return f"/static/{name}?{hashlib.sha256(asset(name)).hexdigest()[:12]}"
