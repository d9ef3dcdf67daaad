"""The wire to one endpoint: the openai SDK, one call, its outcome as a value."""

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

import openai

from serving.naming.answers import RawAnswer, UnknownReason
from serving.naming.completion import Completion, Question, read_completion, request_fields
from serving.naming.settings import EndpointSettings, Zone
from streams.errors import AndonError

_CONFIGURATION: Final = frozenset({401, 403, 404})
"""Statuses that every further call would get as well."""
_TRANSIENT: Final = frozenset({408, 409, 425, 500, 502, 503, 504, 529})


class EndpointError(AndonError):
    """An endpoint cannot be used as it is configured."""


class Problem(StrEnum):
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
class Failed:
    """One call that brought no answer."""

    problem: Problem
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
        s = settings
        timeout = openai.Timeout(s.timeout_s, connect=s.connect_timeout_s)
        # No redirects: they could lead a picture out of the zone. Proxies only towards outside.
        http = openai.DefaultAsyncHttpxClient(
            timeout=timeout, follow_redirects=False, trust_env=s.zone is Zone.EXTERNAL
        )
        self._client = openai.AsyncOpenAI(
            api_key=_key(s),
            base_url=s.base_url,
            max_retries=0,
            timeout=timeout,
            default_headers={k: v.get_secret_value() for k, v in s.headers.items()},
            http_client=http,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def send(self, question: Question) -> Completion | Failed:
        """One call, within the endpoint's own ``timeout_s``."""
        fields = request_fields(question, self._settings)
        limit = self._settings.max_answer_bytes
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                create = self._client.chat.completions.with_streaming_response.create
                async with create(**fields) as response:
                    body = bytearray()
                    async for chunk in response.iter_bytes():
                        body += chunk
                        if len(body) > limit:
                            start = body[:100].decode("utf-8", "replace")
                            return Completion(RawAnswer(start, unreadable=UnknownReason.TOO_LONG))
        except openai.APIStatusError as error:
            return _of_status(error, self._settings.name)
        except (TimeoutError, openai.APITimeoutError):
            text = f"{self._settings.name}: no answer in {self._settings.timeout_s:g} s"
            return Failed(Problem.LATE, text, True, True, billed=True)
        except (openai.OpenAIError, OSError) as error:
            text = f"{self._settings.name}: {type(error).__name__}: {error}"[:300]
            return Failed(Problem.UNREACHABLE, text, True, True)
        except Exception as error:  # noqa: BLE001 - a transport's own error must not leave the port
            text = f"{self._settings.name}: {type(error).__name__}: {error}"[:300]
            return Failed(Problem.UNREACHABLE, text, True, True)
        return read_completion(bytes(body))


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
        return Failed(Problem.RATE_LIMITED, text, not exhausted, exhausted, after)
    if status in _TRANSIENT or status >= 500:
        return Failed(Problem.SERVER_ERROR, text, True, True, after)
    return Failed(Problem.REJECTED, text, False, status in _CONFIGURATION)


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
