"""How the twin behaves beside answering: latency, failures, rubbish."""

import random
from collections import deque
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lab.llm_twin.manners import TwinManners
from lab.llm_twin.oddities import Oddity

Share = Annotated[float, Field(ge=0, le=1)]
Rubbish = Literal[
    "none",
    "refusal",
    "truncation",
    "content_filter",
    "not_json",
    "wrong_schema",
    "unlisted",
    "empty",
    "megabyte",
    "deep_json",
    "no_choices",
    "reasoning",
    "reasoning_unopened",
    "fenced",
    "only_reasoning",
]


class Behaviour(BaseModel):
    """What the twin is told to be; shares are drawn per request from a seeded generator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    latency_ms: Annotated[float, Field(ge=0, le=600_000)] = 0.0
    jitter_ms: Annotated[float, Field(ge=0, le=600_000)] = 0.0
    """Uniform, added to the latency."""
    failure_rate: Share = 0.0
    """Share of requests answered with HTTP 500."""
    rate_limit_rate: Share = 0.0
    """Share of requests answered with HTTP 429."""
    drop_rate: Share = 0.0
    """Share of requests whose connection is cut without an answer."""
    requests_per_s: Annotated[float, Field(gt=0)] | None = None
    """More than this in a second is answered with HTTP 429."""
    retry_after_s: Annotated[float, Field(ge=0, le=3600)] | None = 0.05
    """``Retry-After`` of each 429; None leaves the header out."""
    rubbish: Rubbish | Oddity = "none"
    """What is sent instead of an answer, or in which odd form the answer comes."""
    manners: TwinManners = TwinManners()
    """What is accepted of a request, and how the rest is refused."""
    obeys_pictures: str = ""
    """Simulates a model that obeys writing in a picture: it answers this, whatever was asked."""
    logprobs: bool = True
    """False: log-probabilities are left out though asked for, as many servers do."""
    api_key: str = ""
    """Bearer token that is asked for; empty takes any."""
    models: tuple[str, ...] = ("twin", "twin-strong", "gpt-4o", "gpt-4o-mini")
    seed: int = 0


class Counters(BaseModel):
    """What the twin has seen."""

    requests: int = 0
    answered: int = 0
    rejected: int = 0
    """Requests that broke the protocol."""
    failed: int = 0
    rate_limited: int = 0
    dropped: int = 0
    in_flight: int = 0
    in_flight_most: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cpu_s: float = 0.0
    """CPU time of the twin's process, read when the counters are asked for."""
    rejections: list[str] = []
    """Messages of the last hundred rejections."""


class RateLimiter:
    """A sliding window of one second."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def admit(self, now: float, per_s: float | None) -> bool:
        """Whether one more request fits."""
        while self._times and self._times[0] <= now - 1.0:
            self._times.popleft()
        if per_s is not None and len(self._times) >= per_s:
            return False
        self._times.append(now)
        return True


def draw(rng: random.Random, behaviour: Behaviour) -> str:
    """Fate of one request: ``failure``, ``rate_limit``, ``drop`` or ``answer``."""
    value = rng.random()
    for fate, rate in (
        ("failure", behaviour.failure_rate),
        ("rate_limit", behaviour.rate_limit_rate),
        ("drop", behaviour.drop_rate),
    ):
        if value < rate:
            return fate
        value -= rate
    return "answer"
