"""The words that a client of an endpoint uses: question, completion, failure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from serving.naming.answers import RawAnswer
from serving.naming.refusals import Refusal
from streams.errors import AndonError

SHOWN_CHARS: Final = 400
"""As much of a failure's message is kept."""


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
    NOT_AN_API = "not_an_api"
    """Something answers there, but it is no Chat Completions: a login page, another interface."""
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
    usage: tuple[int, int] | None = None
    """Prompt and answer tokens, where the endpoint said what it worked."""
    refusal: Refusal | None = None
    """What the endpoint said, where it said something: it may name what it does not accept."""


@dataclass
class Statistics:
    """Counters since the start of the process: HTTP calls, and questions that wait for a place."""

    calls: int = 0
    retried: int = 0
    in_flight: int = 0
    in_flight_most: int = 0
    waiting: int = 0
    learned: int = 0
    """Questions that were put once more because of what a refusal taught."""
    without_logprobs: int = 0
    """Answers without the log-probabilities that were asked for."""
