"""The Chat Completions protocol: a question to request fields, response bytes to an answer."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.naming.answers import RawAnswer, Token, UnknownReason, response_format
from serving.naming.settings import EndpointSettings

TOKENS_PER_PICTURE = 255
"""Estimate for one 448x448 picture (GPT-4o's published rule: 85 + 170 per 512-pixel tile)."""
CHARS_PER_TOKEN = 4


@dataclass(frozen=True)
class Question:
    """What is asked: a prompt, pictures as data URLs in order, and the labels to choose from."""

    system: str
    text: str
    image_urls: tuple[str, ...]
    labels: tuple[str, ...]
    temperature: float | None = None
    """Instead of the endpoint's own, when set."""


@dataclass(frozen=True)
class Completion:
    """One response, read: the answer, and what the endpoint says it took."""

    raw: RawAnswer
    tokens_in: int | None = None
    tokens_out: int | None = None
    model: str = ""


def request_fields(question: Question, settings: EndpointSettings) -> dict[str, Any]:
    """Keyword arguments of ``chat.completions.create``."""
    pictures = [
        {"type": "image_url", "image_url": _image_url(u, settings)} for u in question.image_urls
    ]
    messages: list[dict[str, Any]] = []
    if question.system:
        messages.append({"role": "system", "content": question.system})
    content = [{"type": "text", "text": question.text}, *pictures]
    messages.append({"role": "user", "content": content})
    fields: dict[str, Any] = {
        "model": settings.model,
        "messages": messages,
        settings.max_tokens_field: settings.max_tokens,
    }
    temperature = settings.temperature
    if temperature is not None:
        fields["temperature"] = (
            temperature if question.temperature is None else question.temperature
        )
    if settings.structured == "json_schema":
        fields["response_format"] = response_format(question.labels)
    elif settings.structured == "json_object":
        fields["response_format"] = {"type": "json_object"}
    if settings.logprobs:
        fields |= {"logprobs": True, "top_logprobs": settings.top_logprobs}
    if settings.extra_body:
        fields["extra_body"] = dict(settings.extra_body)
    return fields


def estimate_tokens(question: Question, settings: EndpointSettings) -> tuple[int, int]:
    """Prompt and answer tokens to set aside before the call; the answer at its allowed most."""
    prompt = (len(question.system) + len(question.text)) // CHARS_PER_TOKEN + 1
    return prompt + TOKENS_PER_PICTURE * len(question.image_urls), settings.max_tokens


def read_completion(body: bytes) -> Completion:
    """Whatever came back with status 200. Never raises: what cannot be read says so."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return _unreadable(body)
    choice = _first(_get(document, "choices"))
    message = _get(choice, "message")
    if not isinstance(message, dict):
        return _unreadable(body)
    content, refusal = message.get("content"), message.get("refusal")
    if content is not None and not isinstance(content, str):
        return _unreadable(body)
    usage = _get(document, "usage")
    raw = RawAnswer(
        text=content or "",
        finish_reason=_text(_get(choice, "finish_reason")) or "stop",
        refusal=_text(refusal),
        tokens=_tokens(_get(_get(choice, "logprobs"), "content")),
    )
    return Completion(
        raw,
        _count(_get(usage, "prompt_tokens")),
        _count(_get(usage, "completion_tokens")),
        _text(_get(document, "model"))[:200],
    )


def _image_url(url: str, settings: EndpointSettings) -> dict[str, str]:
    return {"url": url} if settings.detail is None else {"url": url, "detail": settings.detail}


def _unreadable(body: bytes) -> Completion:
    start = body[:200].decode("utf-8", "replace")
    return Completion(RawAnswer(start, unreadable=UnknownReason.MALFORMED))


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < 10**9 else None


def _tokens(items: Any) -> tuple[Token, ...] | None:
    if not isinstance(items, list) or not items:
        return None
    tokens = []
    for item in items:
        piece = _piece(item)
        if piece is None:
            return None
        top = _get(item, "top_logprobs")
        others = [_piece(other) for other in top] if isinstance(top, list) else []
        tokens.append(Token(*piece, tuple(o for o in others if o is not None)))
    return tuple(tokens)


def _piece(item: Any) -> tuple[bytes, float] | None:
    logprob, token, data = _get(item, "logprob"), _get(item, "token"), _get(item, "bytes")
    if isinstance(logprob, bool) or not isinstance(logprob, int | float) or math.isnan(logprob):
        return None
    if isinstance(data, list) and all(isinstance(b, int) and 0 <= b < 256 for b in data):
        return bytes(data), float(logprob)
    return (token.encode(), float(logprob)) if isinstance(token, str) else None
