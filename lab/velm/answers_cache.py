"""What has been computed or answered already, on disk: runs are resumed, answers never paid twice.

One SQLite file. An answer is kept under what was really sent: the prompt's hash, the digests of
the pictures in their order, the model and every parameter of the request. The address of a
loopback endpoint is not part of it (a twin takes another port each time), any other host is.
"""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

from serving.naming.answers import RawAnswer, Token
from serving.naming.completion import Question
from serving.naming.endpoint import Endpoint, Late, Reply, Unanswered
from serving.naming.settings import EndpointSettings, Zone
from streams.errors import AndonError

FILE: Final = "evaluation.sqlite3"
_BUSY_S: Final = 10.0
CALLS: ContextVar[list[Reply] | None] = ContextVar("CALLS", default=None)
"""Collects the replies, old and new, that one picture's naming used."""


class CacheError(AndonError):
    """The cache's file cannot be used; says which."""


class Cache:
    """JSON values by kind and key; every ``put`` is on disk when it returns.

    Args:
        folder: made when absent; may be shared by runs one after another or at once.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS kept"
                " (kind TEXT, key TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, key))"
            )
        except (OSError, sqlite3.Error) as error:
            raise CacheError(f"{self.path}: {error}; name another folder for the cache") from error

    def get(self, kind: str, key: str) -> Any:
        """The value, or None."""
        try:
            row = self._base.execute(
                "SELECT body FROM kept WHERE kind = ? AND key = ?", (kind, key)
            ).fetchone()
        except sqlite3.Error as error:
            raise CacheError(f"{self.path}: {error}") from error
        return None if row is None else json.loads(row[0])

    def put(self, kind: str, key: str, value: Any) -> None:
        """Keep a JSON value; an older one is replaced."""
        body = json.dumps(value, ensure_ascii=False)
        try:
            self._base.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (kind, key, body))
        except sqlite3.Error as error:
            raise CacheError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def __enter__(self) -> "Cache":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def digest_of(*values: Any) -> str:
    """SHA-256 (hex) of JSON values."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def identity_of(settings: EndpointSettings) -> dict[str, Any]:
    """What makes two endpoints answer alike: host, model and parameters; no secret, no limit."""
    host = "" if settings.zone is Zone.LOOPBACK else urlsplit(settings.base_url).hostname
    return {
        "host": host,
        "model": settings.model,
        "structured": settings.structured,
        "logprobs": settings.top_logprobs if settings.logprobs else None,
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "detail": settings.detail,
        "extra_body": settings.extra_body,
    }


def question_key(question: Question, settings: EndpointSettings, occurrence: int = 0) -> str:
    """The key of one answer. ``occurrence`` tells repeated calls with a temperature apart."""
    prompt_hash = hashlib.sha256(f"{question.system}\0{question.text}".encode()).hexdigest()
    pictures = [hashlib.sha256(url.encode()).hexdigest() for url in question.image_urls]
    return digest_of(
        prompt_hash,
        pictures,
        list(question.labels),
        question.temperature,
        identity_of(settings),
        occurrence,
    )


class CachedEndpoint(Endpoint):
    """An endpoint that is asked each question once, ever.

    Replies that could not be read are not kept: the next run asks again.
    """

    def __init__(self, settings: EndpointSettings, cache: Cache) -> None:
        super().__init__(settings)
        self._cache = cache
        self._repeated: Counter[str] = Counter()

    async def ask(
        self, question: Question, timeout_s: float, on_late: Late | None = None
    ) -> Reply | Unanswered:
        """As ``Endpoint.ask``; a known reply comes from disk, with ``attempts`` 0."""
        key = question_key(question, self.settings)
        if question.temperature is not None:
            key = question_key(question, self.settings, self._count(key))
        known = self._cache.get("answer", key)
        if known is not None:
            reply = _reply(known)
        else:
            outcome = await super().ask(question, timeout_s, on_late)
            if isinstance(outcome, Unanswered):
                return outcome
            reply = outcome
            if reply.raw.unreadable is None:
                self._cache.put("answer", key, _body(reply))
        if (calls := CALLS.get()) is not None:
            calls.append(reply)
        return reply

    def _count(self, key: str) -> int:
        self._repeated[key] += 1
        return self._repeated[key]


def _body(reply: Reply) -> dict[str, Any]:
    raw = reply.raw
    tokens = None
    if raw.tokens is not None:
        tokens = [
            [t.data.hex(), t.logprob, [[d.hex(), p] for d, p in t.alternatives]] for t in raw.tokens
        ]
    return {
        "text": raw.text,
        "finish_reason": raw.finish_reason,
        "refusal": raw.refusal,
        "tokens": tokens,
        "model": reply.model,
        "tokens_in": reply.tokens_in,
        "tokens_out": reply.tokens_out,
        "cost": reply.cost,
        "latency_ms": reply.latency_ms,
    }


def _reply(body: Mapping[str, Any]) -> Reply:
    tokens = None
    if body["tokens"] is not None:
        tokens = tuple(
            Token(bytes.fromhex(d), p, tuple((bytes.fromhex(a), q) for a, q in others))
            for d, p, others in body["tokens"]
        )
    raw = RawAnswer(body["text"], body["finish_reason"], body["refusal"], tokens)
    return Reply(
        raw,
        body["model"],
        body["tokens_in"],
        body["tokens_out"],
        body["cost"],
        body["latency_ms"],
        attempts=0,
    )
