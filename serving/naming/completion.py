"""One Chat Completions call: a question becomes a request, its response an answer or a failure."""

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

import openai
from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionMessageParam
from openai.types.chat.chat_completion_content_part_image_param import ImageURL
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

from serving.naming.addresses import read_address
from serving.naming.answers import UnknownReason, response_format
from serving.naming.calls import Completion, EndpointError, Failed, Question
from serving.naming.connecting import connection_failure
from serving.naming.failures import failure_of
from serving.naming.manners import Manners, Sent
from serving.naming.picture_fitting import JPEG, fitted, longest_side_px
from serving.naming.refusals import Refusal, refusal_of, refusal_of_text
from serving.naming.responses import read_completion, unreadable
from serving.naming.settings import NO_KEY, EndpointSettings, EndpointZone

TOKENS_PER_PICTURE: Final = 255
"""Estimate for one 448x448 picture (GPT-4o's published rule: 85 + 170 per 512-pixel tile)."""
CHARS_PER_TOKEN: Final = 4
FEATURES: Final = ("temperature", "response_format", "logprobs", "top_logprobs")
"""Fields of a request that carry the name of the feature."""
MOST_OF_A_REFUSAL: Final = 65_536
"""More bytes of a refusal are not read."""


class Transport:
    """Sends one question at a time over one connection pool; never raises for the endpoint."""

    def __init__(self, settings: EndpointSettings) -> None:
        self._settings = settings
        self._address = read_address(settings.base_url)
        timeout = openai.Timeout(settings.timeout_s, connect=settings.connect_timeout_s)
        http = _http_client(settings, timeout)
        key = _key(settings)
        headers = _not_from_the_environment(key)
        headers |= {k: v.get_secret_value() for k, v in settings.headers.items()}
        if self._address.is_azure_deployment:
            headers.setdefault("api-key", key)
        self._client = openai.AsyncOpenAI(
            api_key=key,
            base_url=self._address.base,
            max_retries=0,
            timeout=timeout,
            default_headers=headers,  # type: ignore[arg-type] # an Omit takes a header away
            default_query=dict(self._address.query),
            http_client=http,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def send(self, question: Question, manners: Manners = Manners()) -> Completion | Failed:
        """One call as the endpoint takes it, within the endpoint's own ``timeout_s``."""
        settings = self._settings
        extra = dict(settings.extra_body) or None
        create = self._client.chat.completions.with_streaming_response.create
        try:
            asked = (
                await asyncio.to_thread(fitted, question, manners) if manners.refits else question
            )
            fields = request_fields(asked, settings, manners)
            async with (
                asyncio.timeout(settings.timeout_s),
                create(**fields, extra_body=extra) as response,
            ):
                body = bytearray()
                async for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > settings.max_answer_bytes:
                        return unreadable(bytes(body), UnknownReason.TOO_LONG)
        except Exception as error:  # noqa: BLE001 - a transport's own error must not leave the port
            for cause in (error, error.__cause__):  # as the client's versions hand it on
                if isinstance(cause, _RefusedError):
                    return _of_status(cause, settings.name)
            return connection_failure(error, self._address, settings)
        return read_completion(bytes(body), settings.name)


def request_fields(
    question: Question, settings: EndpointSettings, manners: Manners = Manners()
) -> CompletionCreateParamsNonStreaming:
    """Keyword arguments of ``chat.completions.create``: what is wanted, as far as it is taken."""
    folded = bool(question.system) and not manners.system_role
    text = f"{question.system}\n\n{question.text}" if folded else question.text
    content: list[ChatCompletionContentPartParam] = [{"type": "text", "text": text}]
    for url in question.image_urls:
        picture: ImageURL = {"url": url}
        if settings.detail is not None and manners.detail:
            picture["detail"] = settings.detail
        content.append({"type": "image_url", "image_url": picture})
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": content}]
    if question.system and not folded:
        messages.insert(0, {"role": "system", "content": question.system})
    fields: CompletionCreateParamsNonStreaming = {"model": settings.model, "messages": messages}
    bound = manners.max_tokens_field or settings.max_tokens_field
    if bound != "none":
        fields[bound] = settings.max_tokens
    if settings.temperature is not None and manners.temperature:
        own = question.temperature
        fields["temperature"] = settings.temperature if own is None else own
    form = manners.form(settings.structured)
    if form == "json_schema":
        fields["response_format"] = response_format(question.labels)
    elif form == "json_object":
        fields["response_format"] = {"type": "json_object"}
    if settings.logprobs and manners.logprobs:
        fields["logprobs"] = True
        if manners.top_logprobs:
            fields["top_logprobs"] = settings.top_logprobs
    return fields


def sent_by(question: Question, settings: EndpointSettings, manners: Manners) -> Sent:
    """How a question is put with these manners: what a refusal of it can be about."""
    fitting = fitted(question, manners)
    fields = request_fields(fitting, settings, manners)
    bound = manners.max_tokens_field or settings.max_tokens_field
    features: set[str] = {name for name in (*FEATURES, bound) if name in fields}
    if question.system and manners.system_role:
        features.add("system")
    if settings.detail is not None and manners.detail:
        features.add("detail")
    return Sent(
        manners=manners,
        features=frozenset(features),
        form=manners.form(settings.structured),
        tokens=bound,
        side_px=longest_side_px(fitting),
        is_jpeg=all(url.startswith(JPEG) for url in fitting.image_urls),
    )


def estimate_tokens(question: Question, settings: EndpointSettings) -> tuple[int, int]:
    """Prompt and answer tokens to set aside before the call; the answer at its allowed most."""
    prompt = (len(question.system) + len(question.text)) // CHARS_PER_TOKEN + 1
    return prompt + TOKENS_PER_PICTURE * len(question.image_urls), settings.max_tokens


@dataclass(eq=False)
class _RefusedError(Exception):
    """An answer with another status than success, and as much of its body as is read."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Response(Protocol):
    """An answer of the client, as httpx gives it."""

    @property
    def is_success(self) -> bool: ...

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def aiter_bytes(self) -> AsyncIterator[bytes]: ...


async def _refuse(response: _Response) -> None:
    """Read the beginning of a refusal here: the client would read it to its end, however long."""
    if response.is_success:
        return
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MOST_OF_A_REFUSAL:
            break
    raise _RefusedError(response.status_code, dict(response.headers), bytes(body))


def _http_client(
    settings: EndpointSettings, timeout: openai.Timeout
) -> openai.DefaultAsyncHttpxClient:
    # No redirects: they could lead a picture out of the zone. Proxies only towards outside.
    outside = settings.zone is EndpointZone.EXTERNAL
    verify = _trusted(settings)
    try:
        return openai.DefaultAsyncHttpxClient(
            timeout=timeout,
            follow_redirects=False,
            trust_env=outside,
            verify=verify,
            event_hooks={"response": [_refuse]},
        )
    except Exception as error:  # noqa: BLE001 - its versions refuse a proxy in their own ways
        words = f"endpoint {settings.name!r}: the proxy that HTTPS_PROXY or ALL_PROXY name"
        raise EndpointError(f"{words} cannot be used: {error}") from None


def _not_from_the_environment(key: str) -> dict[str, str | openai.Omit]:
    """Takes away what the client would add to every call by itself, whosever the endpoint is: names
    of an account, and headers that may hold another service's key."""
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    custom = (line.split(":", 1)[0].strip() for line in lines if ":" in line)
    names = ("OpenAI-Organization", "OpenAI-Project", *custom)
    return {n: f"Bearer {key}" if n.lower() == "authorization" else openai.Omit() for n in names}


def _trusted(settings: EndpointSettings) -> ssl.SSLContext | bool:
    """The authorities of ``SSL_CERT_FILE``, such as the plant's own; else those of the client."""
    path = os.environ.get("SSL_CERT_FILE", "")
    if not path:
        return True
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        words = f"endpoint {settings.name!r}: SSL_CERT_FILE={path}: {error.strerror or error}"
        raise EndpointError(words) from None


def _key(settings: EndpointSettings) -> str:
    name = settings.api_key_env
    if settings.api_key_file is not None:
        where = str(settings.api_key_file)
        try:
            key = settings.api_key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise EndpointError(f"endpoint {settings.name!r}: {where}: {error}") from None
    elif name:
        where = f"environment variable {name}"
        if name not in os.environ:
            raise EndpointError(f"endpoint {settings.name!r}: {where} is not set")
        key = os.environ[name].strip()  # files of secrets end in a line break
    else:
        return settings.api_key.get_secret_value().strip() or NO_KEY
    if not key:
        raise EndpointError(f"endpoint {settings.name!r}: {where} is empty; the key belongs there")
    return key


def _of_status(refused: _RefusedError, name: str) -> Failed | Completion:
    """Status codes sorted into: wait and retry, retry, give up."""
    status, body = refused.status, refused.body
    refusal: Refusal | None = None
    with contextlib.suppress(ValueError, RecursionError):
        refusal = refusal_of(json.loads(body), status)
    if refusal is None or not refusal.message:
        refusal = refusal_of_text(body[:20_000].decode("utf-8", "replace"), status)
    if 300 <= status < 400:
        place = refused.headers.get("location", "")[:200]
        refusal = replace(refusal, message=f"leads to {place!r}")
    return failure_of(refusal, name, retry_after_s=retry_after_s(refused.headers))


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """``retry-after-ms`` or ``Retry-After`` (seconds or a date, RFC 9110), in seconds from now.

    A date is by the endpoint's clock, as its ``Date`` is: ours may be an hour away.
    """
    try:
        if (ms := headers.get("retry-after-ms")) is not None:
            seconds = float(ms) / 1000
        elif (value := headers.get("retry-after")) is None:
            return None
        elif value.strip().replace(".", "", 1).isdigit():
            seconds = float(value)
        else:
            sent_at = datetime.now(UTC)
            with contextlib.suppress(ValueError):
                sent_at = parsedate_to_datetime(headers.get("date", ""))
            seconds = (parsedate_to_datetime(value) - sent_at).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), 86_400.0)
