"""Pages as HTML: templates, the texts of the visitor's language, times of the plant."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse

from console.access import may_call
from console.assets import asset_url
from console.identity import Who
from console.texts import LANGUAGES, Translate, language_of, translator
from streams.names import key_of

LANGUAGE_COOKIE: Final = "andon_language"
THEME_COOKIE: Final = "andon_theme"
THEMES: Final = ("auto", "light", "dark")
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What a page may load and send: of this host alone, and nothing that stands in the page itself."""
_HEADERS: Final = {
    "Content-Security-Policy": PAGE_POLICY,
    "Referrer-Policy": "same-origin",  # with no-referrer a browser hides the origin of a form
}
_GLYPHS: Final = {"pass": "✓", "rework": "↻", "scrap": "✕", "hold": "‖"}


@dataclass(frozen=True)
class NavLink:
    """One page in the bar at the top."""

    name: str
    """Its text is ``nav.NAME``."""
    path: str


class Renderer:
    """Renders the templates.

    Args:
        time_zone: the plant's, by its IANA name.
        links: the pages of the bar, in order.
        sso: what the provider of logins is called; empty without one.
    """

    def __init__(self, time_zone: str, links: Sequence[NavLink] = (), sso: str = "") -> None:
        self._zone = ZoneInfo(time_zone)
        self._links, self._sso = tuple(links), sso
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"glyphs": _GLYPHS, "asset": asset_url}
        self._environment.filters |= {
            "clock": self.clock,
            "moment": self.moment,
            "second": self.second,
            "short": short,
            "key": key_of,
            "ms": milliseconds,
        }

    def clock(self, at: datetime) -> str:
        """Hours, minutes and seconds in the plant's zone."""
        return at.astimezone(self._zone).strftime("%H:%M:%S")

    def second(self, at: datetime) -> str:
        """Date and time to the second in the plant's zone."""
        return at.astimezone(self._zone).strftime("%Y-%m-%d %H:%M:%S")

    def moment(self, at: datetime | str | None) -> str:
        """Date and time in the plant's zone, to the millisecond where it was told so."""
        if at is None:
            return "–"
        read = datetime.fromisoformat(at) if isinstance(at, str) else at
        local = read.astimezone(self._zone)
        return local.strftime("%Y-%m-%d %H:%M:%S") + (
            f".{local.microsecond // 1000:03}" if local.microsecond else ""
        )

    def fragment(self, template: str, language: str, values: Mapping[str, object]) -> str:
        """A piece of a page, for one language."""
        t = translator(language)
        return self._environment.get_template(template).render(t=t, language=language, **values)

    def page(
        self, request: Request, template: str, status: int = 200, **values: object
    ) -> HTMLResponse:
        """A whole page for whoever asks.

        A page with ``nonce`` may make styles of its own, as the policy editor does.
        """
        language = asked_language(request)
        theme = request.cookies.get(THEME_COOKIE, "auto")
        who: Who | None = getattr(request.state, "who", None)
        query = f"?{request.url.query}" if request.url.query else ""
        found = {
            "who": who,
            "theme": theme if theme in THEMES else "auto",
            "themes": THEMES,
            "languages": LANGUAGES,
            "zone": self._zone.key,
            "sso": self._sso,
            "now": datetime.now(UTC),
            "here": request.url.path,
            "back": request.url.path + query if request.method == "GET" else "/",
            "links": [link for link in self._links if who and may_call(who.role, "GET", link.path)],
            **values,
        }
        html = self.fragment(template, language, found)
        return HTMLResponse(html, status, headers=_headers(str(values.get("nonce", ""))))


def new_nonce() -> str:
    """A word that only this answer's content policy and scripts know."""
    return secrets.token_urlsafe(16)


def _headers(nonce: str) -> Mapping[str, str]:
    if not nonce:
        return _HEADERS
    allowed = f"style-src 'self' 'nonce-{nonce}'"
    return {**_HEADERS, "Content-Security-Policy": PAGE_POLICY.replace("style-src 'self'", allowed)}


def asked_language(request: Request) -> str:
    """The language of whoever asks."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    return language_of(chosen, request.headers.get("accept-language", ""))


def words_of(request: Request) -> Translate:
    """The texts in the language of whoever asks."""
    return translator(asked_language(request))


def own_path(given: str) -> str:
    """A path of this console to go to; ``/`` for anything that leads elsewhere.

    >>> own_path("/history?class=crack"), own_path("//evil.example"), own_path("https://e.example")
    ('/history?class=crack', '/', '/')
    """
    parts = urlsplit(given)
    is_own = given.startswith("/") and not given.startswith(("//", "/\\"))
    return given if is_own and not parts.netloc and given.isprintable() else "/"


def short(hash_or_id: object) -> str:
    """As much of a hash as people compare."""
    return str(hash_or_id)[:12]


def milliseconds(value: float | int | None) -> str:
    """Milliseconds as people read them.

    >>> milliseconds(412.34), milliseconds(12_000), milliseconds(None)
    ('412 ms', '12.0 s', '–')
    """
    if value is None:
        return "–"
    return f"{value:.0f} ms" if abs(value) < 10_000 else f"{value / 1000:.1f} s"
