"""Reads a Chat Completions request as strictly as the real API, and decodes its pictures."""

import base64
import binascii
import hashlib
import math
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import BeforeValidator, Field, JsonValue, ValidationError

from lab.llm_twin.errors import ApiError, invalid, refused
from lab.llm_twin.schema import Strict, check_response_format

Image = npt.NDArray[np.uint8]

MAX_PICTURES: Final = 500
MAX_PICTURE_BYTES: Final = 20 << 20
MAX_SIDE: Final = 16_384
CONTEXT_CHARS: Final = 512_000
MAX_TOKENS: Final = 128_000
_FIELDS: Final = frozenset(CompletionCreateParamsNonStreaming.__annotations__)
"""Every field that OpenAI's client may send; those that the twin does not read change nothing."""
_HEADS: Final = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "image/gif": re.compile(rb"GIF8[79]a"),
}
"""How the file of each media type begins."""
_DATA_URL: Final = re.compile(r"data:(image/[a-z]+);base64,")


class _Text(Strict):
    type: Literal["text"]
    text: str


class _ImageUrl(Strict):
    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class _ImagePart(Strict):
    type: Literal["image_url"]
    image_url: _ImageUrl


def _as_parts(content: object) -> object:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class _Message(Strict, extra="ignore"):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[
        list[Annotated[_Text | _ImagePart, Field(discriminator="type")]],
        Field(min_length=1),
        BeforeValidator(_as_parts),
    ]


class _Body(Strict, extra="ignore"):
    """What the twin reads of a request; ``_FIELDS`` says what else may stand in it."""

    messages: list[_Message] = Field(min_length=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    n: int | None = Field(None, ge=1, le=128)
    max_tokens: int | None = Field(None, ge=1, le=MAX_TOKENS)
    max_completion_tokens: int | None = Field(None, ge=1, le=MAX_TOKENS)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    stream: bool | None = None


@dataclass(frozen=True)
class SentPicture:
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
    pictures: tuple[SentPicture, ...]
    schema: dict[str, JsonValue] | None
    max_tokens: int | None
    logprobs: bool
    top_logprobs: int
    prompt_tokens: int

    @property
    def properties(self) -> dict[str, JsonValue]:
        """The properties of the schema by name; none without a schema."""
        found = (self.schema or {}).get("properties")
        return found if isinstance(found, dict) else {}

    @property
    def choices(self) -> tuple[str, ...]:
        """The first enumeration of the schema: what may be answered."""
        for value in self.properties.values():
            if isinstance(value, dict) and isinstance(values := value.get("enum"), list):
                return tuple(str(v) for v in values)
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


def parse_request(body: object, models: frozenset[str]) -> ChatRequest:
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
    try:
        asked = _Body.model_validate(body)
    except ValidationError as error:
        raise refused(error) from error
    if asked.stream:
        raise invalid("This twin does not stream.", "stream")
    if asked.n not in (None, 1):
        raise invalid("This twin answers n=1 only.", "n")
    if asked.max_tokens is not None and asked.max_completion_tokens is not None:
        raise invalid("Set either 'max_tokens' or 'max_completion_tokens', not both.", "max_tokens")
    if asked.top_logprobs and not asked.logprobs:
        raise invalid("'logprobs' must be true when 'top_logprobs' is set.", "top_logprobs")
    text, pictures = _contents(asked.messages)
    form = body.get("response_format")
    schema = check_response_format(form)
    json_mode = isinstance(form, dict) and form.get("type") == "json_object"
    if json_mode and "json" not in text.casefold():
        raise invalid("'messages' must contain the word 'json' in some form.", "messages")
    return ChatRequest(
        model=model,
        text=text,
        pictures=pictures,
        schema=schema,
        max_tokens=asked.max_tokens or asked.max_completion_tokens,
        logprobs=bool(asked.logprobs),
        top_logprobs=asked.top_logprobs or 0,
        prompt_tokens=len(text) // 4 + 1 + sum(p.tokens for p in pictures),
    )


def _contents(messages: list[_Message]) -> tuple[str, tuple[SentPicture, ...]]:
    texts: list[str] = []
    pictures: list[SentPicture] = []
    for i, message in enumerate(messages):
        for j, part in enumerate(message.content):
            where = f"messages[{i}].content[{j}]"
            if isinstance(part, _Text):
                texts.append(part.text)
            elif message.role != "user":
                raise invalid("Image URLs are only allowed for messages with role 'user'.", where)
            else:
                pictures.append(_picture(part.image_url.url, part.image_url.detail, where))
    if sum(map(len, texts)) > CONTEXT_CHARS:
        raise invalid("maximum context length exceeded", "messages", "context_length_exceeded")
    if len(pictures) > MAX_PICTURES:
        raise invalid(f"Too many images, at most {MAX_PICTURES}.", "messages")
    return "\n".join(texts), tuple(pictures)


def _picture(url: str, detail: str, where: str) -> SentPicture:
    match = _DATA_URL.match(url)
    if match is None or match.group(1) not in _HEADS:
        raise invalid("Invalid image data URL; expected base64 PNG, JPEG, GIF or WebP.", where)
    if (len(url) - match.end()) // 4 * 3 > MAX_PICTURE_BYTES + 2:
        raise invalid("image exceeds 20 MB", where, "image_too_large")
    try:
        pixels = _pixels(url, match.end(), match.group(1))
    except (binascii.Error, ValueError) as error:
        code = "invalid_image_format"
        raise invalid(f"You uploaded an unsupported image: {error}.", where, code) from error
    height, width = pixels.shape[:2]
    if max(height, width) > MAX_SIDE:
        raise invalid(f"image is larger than {MAX_SIDE} pixels", where, "image_too_large")
    return SentPicture(pixels, _picture_tokens(height, width, detail))


@lru_cache(maxsize=16)
def _pixels(url: str, start: int, kind: str) -> Image:
    """The same reference comes with every question: decoded once, and therefore read-only."""
    data = base64.b64decode(url[start:], validate=True)
    if not _HEADS[kind].match(data):
        raise ValueError("the media type differs from the bytes")
    pixels = decode_picture(data)
    pixels.setflags(write=False)
    return pixels


def _picture_tokens(height: int, width: int, detail: str) -> int:
    """GPT-4o's published rule: 85, plus 170 for each 512-pixel tile in high detail."""
    if detail == "low":
        return 85
    scale = min(1.0, 2048 / max(height, width))
    scale = min(scale, 768 / min(height * scale, width * scale) * scale)
    return 85 + 170 * math.ceil(height * scale / 512) * math.ceil(width * scale / 512)
