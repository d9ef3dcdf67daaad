"""What the console tells Prometheus: of its own answers, and of what no worker knows by itself.

The review queue is in PostgreSQL, and what the replicas hold is known to Ray Serve: the console
asks for both now and then, beside its requests (``console.plant_watch``).
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.exposition import MetricKind, MetricRow, Read, Sampled

COMMON: Final = ()


def _row(
    name: str, kind: MetricKind, help_: str, labels: tuple[str, ...] = (), watch: str = ""
) -> MetricRow:
    return MetricRow(f"andon_{name}", kind, help_, labels, watch, COMMON)


REQUESTS = _row(
    "console_requests",
    "counter",
    "Answers of the console",
    ("route", "method", "status"),
    "Statuses from 500: the database is away, or the console has a fault that its log tells.",
)
ANSWERING = _row(
    "console_response_seconds",
    "histogram",
    "Request to the beginning of its answer",
    ("route",),
    "Seconds: the database is slow, or too much is asked of it.",
)
OPEN = _row(
    "console_open_requests",
    "gauge",
    "Requests that are being answered, and the live pages that somebody looks at",
)
SEES = _row(
    "console_sees",
    "gauge",
    "Whether what the console asks answered last: 1 or 0",
    ("check",),
    "0: `andon doctor` with the name of the check says why.",
)
REVIEWS = _row(
    "review_waiting_parts",
    "gauge",
    "Parts that wait for a person, at most 1000 of a reason",
    ("waits_for",),
    "Rises over shifts: more is held than people look at.",
)
REVIEW_AGE = _row(
    "review_oldest_seconds",
    "gauge",
    "Since when the part that waits longest for a person waits",
    ("waits_for",),
    "A held part blocks its place: look at the oldest first.",
)
REPLICAS_WANTED = _row(
    "serve_replicas_expected", "gauge", "Replicas that there should be", ("deployment",)
)
REPLICAS = _row(
    "serve_replicas",
    "gauge",
    "Replicas that answer",
    ("deployment",),
    "Fewer than there should be: they start again by themselves; Ray's logs say why they ended.",
)
PROBLEMS = _row(
    "serve_problems",
    "gauge",
    "Replicas that have no version of a product, or not the one that they should have",
    ("deployment", "product"),
    "`andon models list` says why.",
)
MODEL = _row(
    "serve_model_info",
    "gauge",
    "Replicas that answer with the version of the product",
    ("deployment", "product", "version"),
    "Two versions of a product for long: a replica did not take the newer one.",
)
BUILD = _row(
    "serve_build_info",
    "gauge",
    "Replicas that run the build of Andon; `build` is empty for one from before replicas said it",
    ("deployment", "build"),
    "Another one than `andon_build_info`'s: Ray was not started again after an upgrade.",
)
WAITING = _row(
    "serve_waiting_items",
    "gauge",
    "Pictures that wait in the replica's queue",
    ("deployment", "replica"),
    "Stays above its batch: the replica is the bottleneck.",
)
ANSWERS = _row(
    "serve_answers",
    "counter",
    "Answers of the replica: `scored`, or `failed`",
    ("deployment", "replica", "result"),
    "A rising share of `failed`: pictures that cannot be read, or a version that does not load.",
)
LLM_CALLS = _row(
    "serve_llm_calls",
    "counter",
    "Calls to language models: `answered`, or `unanswered`",
    ("replica", "endpoint", "result"),
    "A rising share of `unanswered`: the endpoint is slower than the line, or fails.",
)
LLM_TOKENS = _row(
    "serve_llm_tokens",
    "counter",
    "Tokens of these calls; of those `unanswered`, which a provider may bill, mostly an estimate",
    ("replica", "endpoint", "result"),
    "All replicas together are bounded by `tokens_per_h` of the endpoint.",
)
LLM_COST = _row(
    "serve_llm_cost",
    "counter",
    "Their cost, in the currency of the endpoint's price list",
    ("replica", "endpoint", "result"),
    "All replicas together are bounded by `money_per_h` of the endpoint.",
)
CPU = _row(
    "serve_cpu_seconds",
    "counter",
    "Processor time of the replica's process",
    ("deployment", "replica"),
)
MEMORY = _row(
    "serve_resident_bytes",
    "gauge",
    "Memory of the replica's process",
    ("deployment", "replica"),
    "Rises with the products that it holds; without a new product it should not.",
)
CONSOLE_METRICS: Final = (
    REQUESTS, ANSWERING, OPEN, SEES, REVIEWS, REVIEW_AGE, REPLICAS_WANTED, REPLICAS, PROBLEMS,
    MODEL, BUILD, WAITING, ANSWERS, LLM_CALLS, LLM_TOKENS, LLM_COST, CPU, MEMORY,
)  # fmt: skip
CONSOLE_LABELS: Final = {
    "route": "the path with its parameters' names; `other`: there is no such path",
    "method": "`GET`, `POST` ...",
    "status": "the HTTP status",
    "check": "the check of `andon doctor`: `kafka`, `postgres` or `serve`",
    "waits_for": "`hold`, `unknown`, `unsure`, `late`, `disagreement`, `second` or `audit`",
    "result": "`scored` or `failed`; of a language model's calls `answered` or `unanswered`",
    "endpoint": "the endpoint's name in the settings",
    "deployment": "`VisionExpert` or `AnomalyClassifier`",
    "build": "version and commit, as `andon --version` says them",
    "replica": "the beginning of the replica's random name, new at each start",
}


class ConsoleMeter:
    """Counts what the console answers, and tells what ``reads`` say at each scrape.

    Args:
        reads: for each row that is not counted here, what it is now.
    """

    def __init__(self, reads: Mapping[MetricRow, Read]) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = REQUESTS.counter(registry)
        self._answering = ANSWERING.histogram(registry)
        self._open = OPEN.gauge(registry)
        for row, read in reads.items():
            registry.register(Sampled(row, read, ()))

    def began(self) -> None:
        """A request arrived."""
        self._open.inc()

    def ended(self) -> None:
        """Its answer ended, or whoever asked left."""
        self._open.dec()

    def answered(self, route: str, method: str, status: int, took_s: float) -> None:
        """An answer began."""
        self._requests.labels(route, method, str(status)).inc()
        self._answering.labels(route).observe(took_s)


class Metered:
    """Times every request, around whatever else stands before the routes."""

    def __init__(
        self, app: ASGIApp, meter: ConsoleMeter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app, self._meter, self._clock = app, meter, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s, meter = self._clock(), self._meter

        async def send_and_count(message: Message) -> None:
            if message["type"] == "http.response.start":
                took_s = self._clock() - began_s
                meter.answered(route_of(scope), scope["method"], message["status"], took_s)
            await send(message)

        meter.began()
        try:
            await self._app(scope, receive, send_and_count)
        finally:
            meter.ended()


def route_of(scope: Scope) -> str:
    """The path of the route that a request came to, with the names of its parameters.

    >>> route_of({"type": "http", "path": "/part/17"})
    'other'
    """
    return str(getattr(scope.get("route"), "path", "other"))
