"""What stands before every route of the HTTP API: as whom it answers, what browsers are told."""

from collections.abc import Iterable
from typing import Final

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
    that site's name in ``Host``.

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

        given = Headers(scope=scope).getlist("host")
        if len(given) == 1 and host_of(given[0]) in self._hosts:
            await self._app(scope, receive, send_with_headers)
            return
        refused = JSONResponse({"detail": "this host is not allowed; see --allow-host"}, 421)
        await refused(scope, receive, send_with_headers)
