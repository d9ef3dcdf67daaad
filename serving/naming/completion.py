"""One Chat Completions call: a question becomes a request, its response an answer or a failure."""

import asyncio
import math
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Annotated, Final, Self, TypeVar

import openai
from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionMessageParam
from openai.types.chat.chat_completion_content_part_image_param import ImageURL
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from serving.naming.answers import RawAnswer, Token, UnknownReason, response_format
from serving.naming.settings import EndpointSettings, EndpointZone
from streams.errors import AndonError

TOKENS_PER_PICTURE: Final = 255
"""Estimate for one 448x448 picture (GPT-4o's published rule: 85 + 170 per 512-pixel tile)."""
CHARS_PER_TOKEN: Final = 4
_CONFIGURATION: Final = frozenset({401, 403, 404})
"""Statuses that every further call would get as well."""
_TRANSIENT: Final = frozenset({408, 409, 425})


class EndpointError(AndonError):
    """An endpoint cannot be used as it is configured."""


class CallProblem(StrEnum):
    """Why a question was not answered."""

    LATE = "late"
    BUSY = "busy"
    BREAKER_OPEN = "breaker_open"
    OVER_BUDGET = "over_budget"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNREACHABLE = "unreachable"
    REJECTED = "rejected"
    CLOSED = "closed"


@dataclass(frozen=True)
class Question:
    """What is asked: a prompt, pictures as data URLs in order, and the labels to choose from."""

    system: str
    text: str
    image_urls: tuple[str, ...]
    labels: tuple[str, ...]
    temperature: float | None = None
    """Replaces the endpoint's own temperature when it is set."""


@dataclass(frozen=True)
class Completion:
    """One response, read: the answer, and what the endpoint says it took."""

    raw: RawAnswer
    tokens_in: int | None = None
    tokens_out: int | None = None
    model: str = ""


@dataclass(frozen=True)
class Failed:
    """One call that brought no answer."""

    problem: CallProblem
    message: str
    retryable: bool
    blames_endpoint: bool
    retry_after_s: float | None = None
    billed: bool = False
    """The endpoint may have worked on it: the reservation counts as spent."""


class Transport:
    """Sends one question at a time over one connection pool; never raises for the endpoint."""

    def __init__(self, settings: EndpointSettings) -> None:
        self._settings = settings
        timeout = openai.Timeout(settings.timeout_s, connect=settings.connect_timeout_s)
        # No redirects: they could lead a picture out of the zone. Proxies only towards outside.
        outside = settings.zone is EndpointZone.EXTERNAL
        http = openai.DefaultAsyncHttpxClient(
            timeout=timeout, follow_redirects=False, trust_env=outside
        )
        self._client = openai.AsyncOpenAI(
            api_key=_key(settings),
            base_url=settings.base_url,
            max_retries=0,
            timeout=timeout,
            default_headers={k: v.get_secret_value() for k, v in settings.headers.items()},
            http_client=http,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def send(self, question: Question) -> Completion | Failed:
        """One call, within the endpoint's own ``timeout_s``."""
        name, limit = self._settings.name, self._settings.max_answer_bytes
        extra = dict(self._settings.extra_body) or None
        create = self._client.chat.completions.with_streaming_response.create
        try:
            async with (
                asyncio.timeout(self._settings.timeout_s),
                create(**request_fields(question, self._settings), extra_body=extra) as response,
            ):
                body = bytearray()
                async for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > limit:
                        return _unreadable(bytes(body), UnknownReason.TOO_LONG)
        except openai.APIStatusError as error:
            return _of_status(error, name)
        except (TimeoutError, openai.APITimeoutError):
            text = f"{name}: no answer in {self._settings.timeout_s:g} s"
            return Failed(CallProblem.LATE, text, True, True, billed=True)
        except Exception as error:  # noqa: BLE001 - a transport's own error must not leave the port
            text = f"{name}: {type(error).__name__}: {error}"[:300]
            return Failed(CallProblem.UNREACHABLE, text, True, True)
        return read_completion(bytes(body))


def request_fields(
    question: Question, settings: EndpointSettings
) -> CompletionCreateParamsNonStreaming:
    """Keyword arguments of ``chat.completions.create``."""
    content: list[ChatCompletionContentPartParam] = [{"type": "text", "text": question.text}]
    for url in question.image_urls:
        picture: ImageURL = {"url": url}
        if settings.detail is not None:
            picture["detail"] = settings.detail
        content.append({"type": "image_url", "image_url": picture})
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": content}]
    if question.system:
        messages.insert(0, {"role": "system", "content": question.system})
    fields: CompletionCreateParamsNonStreaming = {"model": settings.model, "messages": messages}
    fields[settings.max_tokens_field] = settings.max_tokens
    if settings.temperature is not None:
        own = question.temperature
        fields["temperature"] = settings.temperature if own is None else own
    if settings.structured == "json_schema":
        fields["response_format"] = response_format(question.labels)
    elif settings.structured == "json_object":
        fields["response_format"] = {"type": "json_object"}
    if settings.logprobs:
        fields["logprobs"], fields["top_logprobs"] = True, settings.top_logprobs
    return fields


def estimate_tokens(question: Question, settings: EndpointSettings) -> tuple[int, int]:
    """Prompt and answer tokens to set aside before the call; the answer at its allowed most."""
    prompt = (len(question.system) + len(question.text)) // CHARS_PER_TOKEN + 1
    return prompt + TOKENS_PER_PICTURE * len(question.image_urls), settings.max_tokens


T = TypeVar("T")


def _or_none(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        return None


Tolerant = Annotated[T | None, WrapValidator(_or_none)]
"""A field of a response that servers get wrong: what cannot be read is None."""


class _Piece(BaseModel):
    logprob: Annotated[float, Field(ge=-math.inf)]
    token: Tolerant[str] = None
    spelt: Tolerant[list[Annotated[int, Field(ge=0, le=255)]]] = Field(None, alias="bytes")

    @model_validator(mode="after")
    def _is_spelt(self) -> Self:
        if self.spelt is None and self.token is None:
            raise ValueError("neither bytes nor text")
        return self

    def read(self) -> tuple[bytes, float]:
        """What was generated, and its log-probability."""
        data = (self.token or "").encode() if self.spelt is None else bytes(self.spelt)
        return data, self.logprob


class _Token(_Piece):
    top_logprobs: Tolerant[list[Tolerant[_Piece]]] = None

    def read_all(self) -> Token:
        """The token with those that might have stood in its place."""
        return Token(*self.read(), tuple(p.read() for p in self.top_logprobs or () if p))


class _Logprobs(BaseModel):
    content: Annotated[list[_Token], Field(min_length=1)]


class _Message(BaseModel):
    content: str | None = None
    refusal: Tolerant[str] = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: Tolerant[str] = None
    logprobs: Tolerant[_Logprobs] = None


class _Usage(BaseModel):
    prompt_tokens: Tolerant[Annotated[int, Field(ge=0, lt=10**9)]] = None
    completion_tokens: Tolerant[Annotated[int, Field(ge=0, lt=10**9)]] = None


class _Response(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: Tolerant[_Usage] = None
    model: Tolerant[str] = None


def read_completion(body: bytes) -> Completion:
    """Whatever came back with status 200. Never raises: what cannot be read says so."""
    try:
        response = _Response.model_validate_json(body, strict=True)
    except ValidationError:
        return _unreadable(body, UnknownReason.MALFORMED)
    choice, usage = response.choices[0], response.usage or _Usage()
    raw = RawAnswer(
        text=choice.message.content or "",
        finish_reason=choice.finish_reason or "stop",
        refusal=choice.message.refusal or "",
        tokens=tuple(t.read_all() for t in choice.logprobs.content) if choice.logprobs else None,
    )
    return Completion(
        raw, usage.prompt_tokens, usage.completion_tokens, (response.model or "")[:200]
    )


def _unreadable(body: bytes, reason: UnknownReason) -> Completion:
    return Completion(RawAnswer(body[:200].decode("utf-8", "replace"), unreadable=reason))


def _key(settings: EndpointSettings) -> str:
    name = settings.api_key_env
    if not name:
        return settings.api_key.get_secret_value()
    if name not in os.environ:
        raise EndpointError(f"endpoint {settings.name!r}: environment variable {name} is not set")
    return os.environ[name]


def _of_status(error: openai.APIStatusError, name: str) -> Failed:
    """Status codes sorted into: wait and retry, retry, give up."""
    status = error.status_code
    text = f"{name}: HTTP {status}: {error.message}"[:300]
    after = retry_after_s(dict(error.response.headers))
    if status == 429:
        exhausted = error.code == "insufficient_quota"
        return Failed(CallProblem.RATE_LIMITED, text, not exhausted, exhausted, after)
    if status in _TRANSIENT or status >= 500:
        return Failed(CallProblem.SERVER_ERROR, text, True, True, after)
    return Failed(CallProblem.REJECTED, text, False, status in _CONFIGURATION)


def retry_after_s(headers: dict[str, str]) -> float | None:
    """``retry-after-ms`` or ``Retry-After`` (seconds or a date, RFC 9110), in seconds from now."""
    try:
        if (ms := headers.get("retry-after-ms")) is not None:
            seconds = float(ms) / 1000
        elif (value := headers.get("retry-after")) is None:
            return None
        elif value.strip().replace(".", "", 1).isdigit():
            seconds = float(value)
        else:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), 86_400.0)
