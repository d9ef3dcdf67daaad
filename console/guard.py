"""What stands before every route: as whom it answers, who may write, what browsers are told."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
"""On every answer that does not say otherwise: nothing is run, framed, sent on or kept."""


def host_of(header: str) -> str:
    """The host of a ``Host`` header, without its port.

    >>> host_of("[::1]:8080"), host_of("Console.plant:80")
    ('[::1]', 'console.plant')
    """
    host, separator, port = header.strip().lower().rpartition(":")
    if separator and port.isdigit() and (":" not in host or host.endswith("]")):
        return host
    return header.strip().lower()


class Guard:
    """Answers only requests for a host that it is allowed to be, with the headers on each answer.

    A page of another site that a browser is led to take for this console (DNS rebinding) asks with
    that site's name in ``Host``. A page of another site that has a browser send a form here names
    itself in ``Origin``; a write without a token must name this console there.

    Args:
        app: what answers.
        hosts: names and addresses besides loopback; an IPv6 address in brackets.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset((*LOOPBACK, *(host.lower() for host in hosts)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        given = headers.getlist("host")
        refused: JSONResponse | None = None
        if len(given) != 1 or host_of(given[0]) not in self._hosts:
            refused = JSONResponse({"detail": "this host is not allowed; see --allow-host"}, 421)
        elif not is_own_write(scope["method"], headers):
            refused = JSONResponse({"detail": "a write must come from a page of this console"}, 403)
        await (refused or self._app)(scope, receive, send_with_headers)


def is_own_write(method: str, headers: Headers) -> bool:
    """Whether a request changes nothing, shows a token, or comes from a page of this console.

    A browser adds no token by itself, and always says the origin of what changes something. It does
    add by itself the name and password that a proxy asked it for (``Authorization: Basic``).
    """
    shows_token = headers.get("authorization", "").lower().startswith("bearer ")
    if method in ("GET", "HEAD", "OPTIONS") or shows_token:
        return True
    origins = headers.getlist("origin")
    return len(origins) == 1 and urlsplit(origins[0]).netloc == headers.get("host", "").lower()
