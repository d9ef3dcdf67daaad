"""What has been computed or answered already, on disk: runs are resumed, answers never paid twice.

One SQLite file. An answer is kept under what was really sent: the prompt's hash, the digests of
the pictures in their order, the model and every parameter of the request. The address of a
loopback endpoint is not part of it (a twin takes another port each time), any other host is.
"""

import hashlib
import json
import sqlite3
from collections import Counter
from contextvars import ContextVar
from pathlib import Path
from typing import Final, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from serving.naming.answers import RawAnswer, Token
from serving.naming.completion import Question
from serving.naming.endpoint import Endpoint, Reply, Unanswered
from serving.naming.settings import EndpointSettings, EndpointZone
from streams.errors import AndonError

FILE: Final = "evaluation.sqlite3"
_BUSY_S: Final = 10.0
_COUNTS: Final = ("model", "tokens_in", "tokens_out", "cost", "latency_ms")
M = TypeVar("M", bound=BaseModel)
CALLS: ContextVar[list[Reply] | None] = ContextVar("CALLS", default=None)
"""Collects the replies, old and new, that one picture's naming used."""


class CacheError(AndonError):
    """The cache's file cannot be used; says which."""


class Cache:
    """Values by kind and key; every ``put`` is on disk when it returns.

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

    def get(self, kind: str, key: str, model: type[M]) -> M | None:
        """The value, or None."""
        row = self._execute("SELECT body FROM kept WHERE kind = ? AND key = ?", kind, key)
        return None if row is None else model.model_validate_json(row[0])

    def put(self, kind: str, key: str, value: BaseModel) -> None:
        """Keep a value; an older one is replaced."""
        self._execute(
            "INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", kind, key, value.model_dump_json()
        )

    def _execute(self, statement: str, *values: str) -> tuple[str, ...] | None:
        try:
            found: tuple[str, ...] | None = self._base.execute(statement, values).fetchone()
        except sqlite3.Error as error:
            raise CacheError(f"{self.path}: {error}") from error
        return found

    def close(self) -> None:
        """Close the file; what was put is on disk already."""
        self._base.close()

    def __enter__(self) -> "Cache":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def digest_of(*values: object) -> str:
    """SHA-256 (hex) of JSON values."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def identity_of(settings: EndpointSettings) -> dict[str, object]:
    """What makes two endpoints answer alike: host, model and parameters; no secret, no limit."""
    host = "" if settings.zone is EndpointZone.LOOPBACK else urlsplit(settings.base_url).hostname
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


class KeptReply(BaseModel):
    """A reply on disk; tokens are bytes, and stand as hexadecimal text."""

    text: str
    finish_reason: str
    refusal: str
    tokens: list[tuple[str, float, list[tuple[str, float]]]] | None
    model: str
    tokens_in: int
    tokens_out: int
    cost: float
    latency_ms: float

    @classmethod
    def of(cls, reply: Reply) -> Self:
        raw = reply.raw
        tokens = raw.tokens and [
            (t.data.hex(), t.logprob, [(data.hex(), p) for data, p in t.alternatives])
            for t in raw.tokens
        ]
        texts = {"text": raw.text, "finish_reason": raw.finish_reason, "refusal": raw.refusal}
        return cls(**texts, tokens=tokens, **{n: getattr(reply, n) for n in _COUNTS})

    def reply(self) -> Reply:
        """The reply as it came, with ``attempts`` 0."""
        tokens = None
        if self.tokens is not None:
            tokens = tuple(
                Token(bytes.fromhex(t), p, tuple((bytes.fromhex(a), q) for a, q in others))
                for t, p, others in self.tokens
            )
        raw = RawAnswer(self.text, self.finish_reason, self.refusal, tokens)
        return Reply(raw, **{n: getattr(self, n) for n in _COUNTS}, attempts=0)


class CachedEndpoint(Endpoint):
    """An endpoint that is asked each question once, ever.

    Replies that could not be read are not kept: the next run asks again.
    """

    def __init__(self, settings: EndpointSettings, cache: Cache) -> None:
        super().__init__(settings)
        self._cache = cache
        self._repeated: Counter[str] = Counter()

    async def ask(self, question: Question, timeout_s: float) -> Reply | Unanswered:
        """Like ``Endpoint.ask``, but a known reply comes from disk, with ``attempts`` 0."""
        key = question_key(question, self.settings)
        if question.temperature is not None:
            key = question_key(question, self.settings, self._count(key))
        known = self._cache.get("answer", key, KeptReply)
        if known is not None:
            reply = known.reply()
        else:
            outcome = await super().ask(question, timeout_s)
            if isinstance(outcome, Unanswered):
                return outcome
            reply = outcome
            if reply.raw.unreadable is None:
                self._cache.put("answer", key, KeptReply.of(reply))
        if (calls := CALLS.get()) is not None:
            calls.append(reply)
        return reply

    def _count(self, key: str) -> int:
        self._repeated[key] += 1
        return self._repeated[key]
