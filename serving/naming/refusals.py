"""Reads what endpoints, gateways and proxies say when they refuse a request.

There is no one form: OpenAI wraps an ``error`` object, Azure adds inner errors, Gemini sends a list
of one, vLLM an object of kind ``error``, FastAPI a list of places, OpenRouter the provider's own
body as a string, Envoy plain words, a login wall HTML. Nothing here raises.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_MESSAGES: Final = (
    "message",
    "msg",
    "detail",
    "error_description",
    "error_msg",
    "status_msg",
    "faultstring",
    "Message",
    "reason",
    "title",
    "error",
)
_WRAPPERS: Final = ("error", "errors", "fault", "base_resp", "detail", "message", "innererror")
_CODES: Final = ("status_code", "statusCode", "code", "status", "http_code", "errorcode", "type")
_DEPTH: Final = 6
_MOST_CHARS: Final = 2000

_STATUS_OF_WORD: Final = (
    (re.compile(r"rate.?limit|too.?many.?requests|resource.?exhausted|throttl|quota", re.I), 429),
    (re.compile(r"overloaded|unavailable|capacity|no healthy upstream|warming|loading", re.I), 503),
    (re.compile(r"deadline.?exceeded|gateway.?time.?out|timed?.?out|\btimeout", re.I), 504),
    (re.compile(r"unauthenticated|authentication|invalid.?api.?key|unauthorized", re.I), 401),
    (re.compile(r"permission|forbidden|access.?denied", re.I), 403),
    (re.compile(r"not.?found|does not exist", re.I), 404),
    (re.compile(r"bad gateway|upstream connect|connection (reset|refused|error)", re.I), 502),
    (
        re.compile(r"invalid.?(request|argument|parameter|value)|bad.?request|unsupported", re.I),
        400,
    ),
    (re.compile(r"internal|server.?error|api_error|provider", re.I), 500),
)
"""What a body means that gives no status of its own; the first that matches."""
_PAUSE: Final = re.compile(
    r"(?:try again|retrydelay|retry|wait)\W*(?:in|after|for)?\W{0,4}"
    r"(?:(\d{1,4})\s?m(?:in(?:utes?)?)?\b(?!s)|(\d{1,4})m(?=\d))?\s?"
    r"(?:(\d{1,6}(?:\.\d{1,9})?)\s?(ms|milliseconds?|s\b|sec))?",
    re.I,
)


@dataclass(frozen=True)
class Refusal:
    """One error, whatever its form: the status that it means, words, and the fields it names."""

    status: int
    message: str
    code: str = ""
    fields: tuple[str, ...] = ()
    """Fields of the request that it points to, such as ``temperature``."""

    @property
    def pause_s(self) -> float | None:
        """How long the words ask to wait ("try again in 1.5s"), in seconds."""
        for found in _PAUSE.finditer(self.message[:_MOST_CHARS]):
            whole, leading, number, unit = found.groups()
            minutes = whole or leading
            if minutes is None and number is None:
                continue
            seconds = float(number or 0) / (1000 if (unit or "").lower().startswith("m") else 1)
            return 60 * float(minutes or 0) + seconds
        return None


def refusal_of(body: object, status: int) -> Refusal | None:
    """The error in a decoded JSON body, or None when it holds none.

    Args:
        body: decoded JSON.
        status: of HTTP; 200 where the error only stands in the body.
    """
    if isinstance(body, list) and len(body) >= 1:
        body = body[0]
    if isinstance(body, str) and status >= 300:
        return _refusal(status, body, "", ())
    if not isinstance(body, Mapping) or not (status >= 300 or _is_error(body)):
        return None
    levels = list(_levels(body))
    message = next((m for level in reversed(levels) if (m := _message(level))), "")
    outer = next((m for level in levels if (m := _message(level))), "")
    if outer and outer not in message:
        message = f"{outer}: {message}"
    codes = [str(level[k]) for level in levels for k in _CODES if _is_plain(level.get(k))]
    inner = next((int(c) for c in codes if c.isdigit() and 300 <= int(c) <= 599), 0)
    words = [c for c in codes if not c.isdigit()]
    fields = tuple(dict.fromkeys(f for level in levels for f in _fields(level)))
    meant = inner if status < 300 else status
    if meant < 300:
        meant = _status_of(" ".join((*words, message)))
    return _refusal(meant, message, next(iter(words), ""), fields)


def refusal_of_text(text: str, status: int) -> Refusal:
    """The error of a body that is no JSON: a page's title and heading, or plain words.

    A status below 300 is replaced by what the words mean; 0 where they mean nothing.
    """
    shown = text
    if is_markup(text):
        parts = re.findall(r"<(?:title|h1|message|code)[^>]*>([^<]{1,300})", text[:20_000], re.I)
        plain = " ".join(re.sub(r"<[^>]*>", " ", text[:2000]).split())[:200]
        shown = ": ".join(dict.fromkeys(p.strip() for p in parts)) or plain or "an empty web page"
    meant = status
    if status < 300:
        number = re.search(r"\b(4\d\d|5\d\d)\b", shown[:300])
        meant = int(number[1]) if number else _status_of(shown[:300], 0)
    return _refusal(meant, shown, "", ())


def is_markup(text: str) -> bool:
    """Whether a body is HTML or XML."""
    return (
        re.match(r"\s*<(!doctype|html|head|body|\?xml|title|h1|center|error)\b", text, re.I)
        is not None
    )


def _refusal(status: int, message: str, code: str, fields: tuple[str, ...]) -> Refusal:
    plain = " ".join(message.split())
    return Refusal(status, encodable(plain[:_MOST_CHARS]), encodable(code[:100]), fields)


def encodable(text: str) -> str:
    """The text without the lone surrogates that JSON may hold and UTF-8 does not.

    >>> encodable("bad \\ud800 thing")
    'bad ? thing'
    """
    return text.encode("utf-8", "replace").decode()


def _is_error(body: Mapping[str, object]) -> bool:
    """Whether a body with HTTP status 200 reports an error."""
    if body.get("error") or body.get("errors") or body.get("fault"):
        return True
    if body.get("object") == "error" or body.get("type") == "error":
        return True
    base = body.get("base_resp")
    if isinstance(base, Mapping) and base.get("status_code") not in (0, None):
        return True
    said = any(body.get(name) for name in ("detail", "message", "msg", "Message"))
    return said and "choices" not in body


def _levels(body: Mapping[str, object], depth: int = 0) -> Iterator[Mapping[str, object]]:
    """The object and those that it wraps, outermost first."""
    yield body
    if depth >= _DEPTH:
        return
    for name in _WRAPPERS:
        child = _decoded(body.get(name))
        for item in child if isinstance(child, list) else [child]:
            if isinstance(item, Mapping):
                yield from _levels(item, depth + 1)
    metadata = body.get("metadata")
    if isinstance(metadata, Mapping):  # OpenRouter passes the provider's own body on as a string
        raw = _decoded(metadata.get("raw"))
        yield from _levels(raw if isinstance(raw, Mapping) else {"message": raw}, depth + 1)


def _decoded(value: object) -> object:
    """A string that holds JSON, or a Python list as vLLM prints it, decoded; else the value."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "[") or len(value) > 20_000:
        return value
    for text in (value, value.replace("'", '"').replace("(", "[").replace(")", "]")):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            continue
    return value


def _message(level: Mapping[str, object]) -> str:
    return next(
        (v.strip() for k in _MESSAGES if isinstance(v := level.get(k), str) and v.strip()), ""
    )


def _fields(level: Mapping[str, object]) -> Iterator[str]:
    """Fields that a level names by itself: OpenAI's ``param``, FastAPI's ``loc``."""
    param, place = level.get("param"), level.get("loc")
    if isinstance(param, str) and param:
        yield param
    if isinstance(place, list):
        yield ".".join(str(step) for step in place if step != "body")


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _status_of(words: str, otherwise: int = 500) -> int:
    return next((status for pattern, status in _STATUS_OF_WORD if pattern.search(words)), otherwise)
