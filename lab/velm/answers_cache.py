"""What has been computed or answered already, on disk: runs are resumed, answers never paid twice.

One SQLite file. An answer is kept under what was really sent: the prompt's hash, the digests of
the pictures in their order, the model and every parameter of the request. The address of a
loopback endpoint is not part of it (a twin takes another port each time), any other host is.
"""

import json
import sqlite3
from collections import Counter
from contextvars import ContextVar
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import to_json

from serving.bundles import digest_of
from serving.naming.calls import Question
from serving.naming.endpoint import Endpoint, Reply, Unanswered
from serving.naming.guard import CallBill
from serving.naming.settings import EndpointSettings, EndpointZone
from streams.errors import AndonError

KIND: Final = "reply"
_BUSY_S: Final = 10.0
_ROOT: Final = Path(__file__).parents[2]
T = TypeVar("T")
CALLS: ContextVar[list[Reply] | None] = ContextVar("CALLS", default=None)
"""Collects the replies, old and new, that one picture's naming used."""


class CacheError(AndonError):
    """The cache's file cannot be used; says which."""


class Cache:
    """Values that pydantic reads and writes, by kind and key; ``put`` has written on return.

    Args:
        folder: made when absent; may be shared by runs one after another or at once.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "evaluation.sqlite3"
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

    def get(self, kind: str, key: str, form: type[T]) -> T | None:
        """The value, or None."""
        row = self._execute("SELECT body FROM kept WHERE kind = ? AND key = ?", kind, key)
        return None if row is None else TypeAdapter(form).validate_json(row[0])

    def put(self, kind: str, key: str, value: object) -> None:
        """Keep a value; an older one is replaced."""
        body = value.model_dump_json() if isinstance(value, BaseModel) else to_json(value).decode()
        self._execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", kind, key, body)

    def _execute(self, statement: str, *values: str) -> tuple[str, ...] | None:
        try:
            found: tuple[str, ...] | None = self._base.execute(statement, values).fetchone()
        except sqlite3.Error as error:
            raise CacheError(f"{self.path}: {error}") from error
        return found

    def __enter__(self) -> "Cache":
        return self

    def __exit__(self, *exception: object) -> None:
        self._base.close()


def digest_json(*values: object) -> str:
    """SHA-256 (hex) of JSON values."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    return digest_of(text.encode())


@cache
def digest_code(*patterns: str) -> str:
    """SHA-256 (hex) of source files, so that what other code computed is computed again.

    Args:
        patterns: glob patterns below the folder of all packages.
    """
    files = sorted(path for pattern in patterns for path in _ROOT.glob(pattern))
    return digest_json([digest_of(path.read_bytes()) for path in files])


def identity_of(settings: EndpointSettings) -> dict[str, object]:
    """What makes two endpoints answer alike: host, model and parameters; no secret, no limit."""
    parameters = {"model", "structured", "temperature", "max_tokens", "detail", "extra_body"}
    is_local = settings.zone is EndpointZone.LOOPBACK
    return {
        "host": "" if is_local else urlsplit(settings.base_url).hostname,
        "logprobs": settings.top_logprobs if settings.logprobs else None,
        **settings.model_dump(include=parameters),
    }


def question_key(question: Question, settings: EndpointSettings, occurrence: int = 0) -> str:
    """The key of one answer. ``occurrence`` tells repeated calls with a temperature apart."""
    return digest_json(
        digest_of(f"{question.system}\0{question.text}".encode()),
        [digest_of(url.encode()) for url in question.image_urls],
        list(question.labels),
        question.temperature,
        identity_of(settings),
        occurrence,
    )


class _Kept(BaseModel):
    """A reply on disk; the bytes of its tokens stand as hexadecimal text."""

    model_config = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")
    reply: Reply


class CachedEndpoint(Endpoint):
    """An endpoint that is asked each question once, ever.

    Replies that could not be read are not kept: the next run asks again.
    """

    def __init__(self, settings: EndpointSettings, cache: Cache) -> None:
        super().__init__(settings)
        self._cache = cache
        self._repeated: Counter[str] = Counter()

    async def ask(
        self, question: Question, timeout_s: float, bill: CallBill | None = None
    ) -> Reply | Unanswered:
        """Like ``Endpoint.ask``, but a known reply comes from disk, with ``attempts`` 0."""
        key = question_key(question, self.settings)
        if question.temperature is not None:
            self._repeated[key] += 1
            key = question_key(question, self.settings, self._repeated[key])
        known = self._cache.get(KIND, key, _Kept)
        if known is not None:
            outcome: Reply | Unanswered = replace(known.reply, attempts=0)
        else:
            outcome = await super().ask(question, timeout_s, bill)
            if isinstance(outcome, Reply) and outcome.raw.unreadable is None:
                self._cache.put(KIND, key, _Kept(reply=outcome))
        if isinstance(outcome, Reply) and (calls := CALLS.get()) is not None:
            calls.append(outcome)
        return outcome
