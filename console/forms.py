"""Reads what a page's form sends."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.requests import ClientDisconnect

from streams.errors import AndonError

MOST_BYTES = 1 << 20
"""Longest form that is read."""
_SECRETS: Final = frozenset({"password", "old", "new", "again", "pin", "code"})
"""Fields that are never shown again."""


class BadFormError(AndonError):
    """A form that cannot be read."""


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, each once.

    Raises:
        BadFormError: too long, or not as a browser sends it.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise BadFormError(f"over {MOST_BYTES} bytes are not read")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body))
    except ValueError as error:
        raise BadFormError(f"this is no form: {error}") from None
    request.state.form = dict(pairs)
    return dict(pairs)


async def written_in(request: Request) -> Mapping[str, str]:
    """What somebody wrote into a form that was refused, so that it can be sent again.

    Empty for a form with a secret in it, and for what is no form.
    """
    if request.method != "POST" or "json" in request.headers.get("content-type", ""):
        return {}
    found: Mapping[str, str] = getattr(request.state, "form", {})
    if not found:
        with suppress(BadFormError, ClientDisconnect):
            found = await form_of(request)
    return {} if _SECRETS & found.keys() else found
