"""Reads what a page's form sends."""

from urllib.parse import parse_qsl

from fastapi import Request

from streams.errors import AndonError

MOST_BYTES = 1 << 20
"""Longest form that is read."""


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
    return dict(pairs)
