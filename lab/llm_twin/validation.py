"""Reads a Chat Completions request as strictly as the real API, and decodes its pictures."""

import base64
import binascii
import hashlib
import math
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lab.llm_twin.errors import ApiError, invalid
from lab.llm_twin.schema import check_response_format

Image = npt.NDArray[np.uint8]

MAX_PICTURES: Final = 500
MAX_PICTURE_BYTES: Final = 20 << 20
MAX_SIDE: Final = 16_384
CONTEXT_CHARS: Final = 512_000
_FIELD_NAMES: Final = """model messages temperature top_p n max_tokens max_completion_tokens
    response_format logprobs top_logprobs seed stop stream user store metadata frequency_penalty
    presence_penalty reasoning_effort service_tier parallel_tool_calls tools tool_choice logit_bias
"""
_FIELDS: Final = frozenset(_FIELD_NAMES.split())
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool"})
_FORMATS: Final = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
}
_DATA_URL: Final = re.compile(r"data:(image/[a-z]+);base64,")


@dataclass(frozen=True)
class Picture:
    """One picture of the request."""

    pixels: Image
    """uint8 RGB (height, width, 3)."""
    tokens: int

    @cached_property
    def digest(self) -> str:
        """SHA-256 of shape and pixels: the same for any lossless encoding of the same picture."""
        return picture_digest(self.pixels)


@dataclass(frozen=True)
class ChatRequest:
    """A request that the real API would have taken."""

    model: str
    text: str
    """All text of all messages, in order."""
    pictures: tuple[Picture, ...]
    schema: dict[str, Any] | None
    json_mode: bool
    max_tokens: int | None
    temperature: float
    logprobs: bool
    top_logprobs: int
    prompt_tokens: int

    @property
    def choices(self) -> tuple[str, ...]:
        """The first enumeration of the schema: what may be answered."""
        for value in (self.schema or {}).get("properties", {}).values():
            if isinstance(value, dict) and "enum" in value:
                return tuple(str(v) for v in value["enum"])
        return ()


def picture_digest(pixels: Image) -> str:
    """SHA-256 (hexadecimal) of a picture's shape and pixels."""
    shape = "x".join(map(str, pixels.shape)).encode()
    return hashlib.sha256(shape + b"\0" + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def decode_picture(data: bytes) -> Image:
    """Decode to uint8 RGB; raises ``ValueError`` for anything but PNG, JPEG, WebP and GIF."""
    import cv2

    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if found is None:
        raise ValueError("not an image")
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def parse_request(body: Any, models: frozenset[str]) -> ChatRequest:
    """Validate a decoded JSON body.

    Raises:
        ApiError: what the real API answers to such a request.
    """
    if not isinstance(body, dict):
        raise invalid("We could not parse the JSON body of your request.", "body")
    for name in body.keys() - _FIELDS:
        raise invalid(f"Unrecognized request argument supplied: {name}", name, "unknown_parameter")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise invalid("you must provide a model parameter", "model")
    if model not in models:
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise ApiError(404, message, param="model", code="model_not_found")
    if body.get("stream"):
        raise invalid("This twin does not stream.", "stream")
    text, pictures = _messages(body.get("messages"))
    form = body.get("response_format")
    schema = check_response_format(form)
    json_mode = isinstance(form, dict) and form.get("type") == "json_object"
    if json_mode and "json" not in text.casefold():
        raise invalid("'messages' must contain the word 'json' in some form.", "messages")
    temperature, _ = _number(body, "temperature", 0, 2, 1.0), _number(body, "top_p", 0, 1, 1.0)
    if _whole(body, "n", 1, 128) not in (None, 1):
        raise invalid("This twin answers n=1 only.", "n")
    return ChatRequest(
        model=model,
        text=text,
        pictures=pictures,
        schema=schema,
        json_mode=json_mode,
        max_tokens=_max_tokens(body),
        temperature=temperature,
        logprobs=_flag(body, "logprobs"),
        top_logprobs=_top_logprobs(body),
        prompt_tokens=len(text) // 4 + 1 + sum(p.tokens for p in pictures),
    )


def _messages(messages: Any) -> tuple[str, tuple[Picture, ...]]:
    if not isinstance(messages, list) or not messages:
        raise invalid("Invalid 'messages': expected a non-empty array.", "messages")
    texts: list[str] = []
    pictures: list[Picture] = []
    for i, message in enumerate(messages):
        where = f"messages[{i}]"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise invalid(f"Invalid value: '{where}.role'.", f"{where}.role", "invalid_value")
        content = message.get("content")
        if isinstance(content, str):
            texts.append(content)
            continue
        if not isinstance(content, list) or not content:
            raise invalid(f"Invalid type for '{where}.content'.", f"{where}.content")
        for j, part in enumerate(content):
            _part(part, message["role"], f"{where}.content[{j}]", texts, pictures)
    if sum(map(len, texts)) > CONTEXT_CHARS:
        raise invalid("maximum context length exceeded", "messages", "context_length_exceeded")
    if len(pictures) > MAX_PICTURES:
        raise invalid(f"Too many images, at most {MAX_PICTURES}.", "messages")
    return "\n".join(texts), tuple(pictures)


def _part(part: Any, role: str, where: str, texts: list[str], pictures: list[Picture]) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        texts.append(part["text"])
        return
    if kind != "image_url":
        raise invalid(f"Invalid value: '{where}.type'.", f"{where}.type", "invalid_value")
    if role != "user":
        raise invalid("Image URLs are only allowed for messages with role 'user'.", where)
    image = part.get("image_url")
    if not isinstance(image, dict) or not isinstance(image.get("url"), str):
        raise invalid(f"Invalid type for '{where}.image_url'.", f"{where}.image_url")
    if image.keys() - {"url", "detail"}:
        raise invalid(f"Unknown parameter in '{where}.image_url'.", where, "unknown_parameter")
    detail = image.get("detail", "auto")
    if detail not in ("auto", "low", "high"):
        raise invalid(f"Invalid value: '{where}.image_url.detail'.", where, "invalid_value")
    pictures.append(_picture(image["url"], detail, where))


def _picture(url: str, detail: str, where: str) -> Picture:
    match = _DATA_URL.match(url)
    if match is None or match.group(1) not in _FORMATS:
        raise invalid("Invalid image data URL; expected base64 PNG, JPEG, GIF or WebP.", where)
    if (len(url) - match.end()) // 4 * 3 > MAX_PICTURE_BYTES + 2:
        raise invalid("image exceeds 20 MB", where, "image_too_large")
    try:
        pixels = _pixels(url, match.end(), _FORMATS[match.group(1)])
    except (binascii.Error, ValueError) as error:
        code = "invalid_image_format"
        raise invalid(f"You uploaded an unsupported image: {error}.", where, code) from error
    height, width = pixels.shape[:2]
    if max(height, width) > MAX_SIDE:
        raise invalid(f"image is larger than {MAX_SIDE} pixels", where, "image_too_large")
    return Picture(pixels, _picture_tokens(height, width, detail))


@lru_cache(maxsize=16)
def _pixels(url: str, start: int, kind: str) -> Image:
    """The same reference comes with every question: decoded once, and therefore read-only."""
    data = base64.b64decode(url[start:], validate=True)
    if not _is_format(data, kind):
        raise ValueError("the media type differs from the bytes")
    pixels = decode_picture(data)
    pixels.setflags(write=False)
    return pixels


def _is_format(data: bytes, kind: str) -> bool:
    heads = {
        "PNG": data.startswith(b"\x89PNG\r\n\x1a\n"),
        "JPEG": data.startswith(b"\xff\xd8\xff"),
        "GIF": data.startswith((b"GIF87a", b"GIF89a")),
        "WEBP": data[:4] == b"RIFF" and data[8:12] == b"WEBP",
    }
    return heads[kind]


def _picture_tokens(height: int, width: int, detail: str) -> int:
    """GPT-4o's published rule: 85, plus 170 for each 512-pixel tile in high detail."""
    if detail == "low":
        return 85
    scale = min(1.0, 2048 / max(height, width))
    scale = min(scale, 768 / min(height * scale, width * scale) * scale)
    return 85 + 170 * math.ceil(height * scale / 512) * math.ceil(width * scale / 512)


def _number(body: dict[str, Any], name: str, low: float, high: float, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise invalid(f"Invalid '{name}': expected {low} to {high}.", name)
    return float(value)


def _whole(body: dict[str, Any], name: str, low: int, high: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise invalid(f"Invalid '{name}': expected an integer, {low} to {high}.", name)
    return value


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool | None):
        raise invalid(f"Invalid type for '{name}': expected a boolean.", name)
    return bool(value)


def _max_tokens(body: dict[str, Any]) -> int | None:
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        raise invalid("Set either 'max_tokens' or 'max_completion_tokens', not both.", "max_tokens")
    old, new = (
        _whole(body, "max_tokens", 1, 128_000),
        _whole(body, "max_completion_tokens", 1, 128_000),
    )
    return new if old is None else old


def _top_logprobs(body: dict[str, Any]) -> int:
    top = _whole(body, "top_logprobs", 0, 20)
    if top and not body.get("logprobs"):
        raise invalid("'logprobs' must be true when 'top_logprobs' is set.", "top_logprobs")
    return top or 0
