"""Recorded decisions and reviews from a file of JSON lines, as ``andon history export`` writes."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

from pydantic import ValidationError

from policies.errors import PolicyError
from streams.codes import Severity
from streams.events import Decision, Review

MAX_LINE = 4 << 20
"""Longest line that is read, bytes."""


def read_decisions(path: Path, advance: Callable[[int], None] | None = None) -> Iterator[Decision]:
    """The decisions of a dump, one line each; lines of other events are skipped.

    Args:
        path: a ``.jsonl`` file, or ``.jsonl.gz``.
        advance: told the bytes read so far, every few thousand lines.

    Raises:
        PolicyError: a line is neither; it names file and line.
    """
    done = 0
    for number, line in _lines(path):
        done += len(line)
        if advance is not None and number % 4096 == 0:
            advance(done)
        if b'"result_id"' not in line or b'"outcome"' in line:
            _check(path, number, line)
            continue
        try:
            yield Decision.model_validate_json(line)
        except ValidationError as error:
            raise _unreadable(path, number, "decision", error) from None


def read_reviews(path: Path) -> dict[UUID, Severity]:
    """What the last review of each frame in the same dump found.

    Raises:
        PolicyError: a review that this build does not read: without it another one would count.
    """
    found: dict[UUID, Review] = {}
    for number, line in _lines(path):
        if b'"review_id"' in line:
            try:
                review = Review.model_validate_json(line)
            except ValidationError as error:
                raise _unreadable(path, number, "review", error) from None
            known = found.get(review.frame_id)
            if known is None or known.reviewed_at <= review.reviewed_at:
                found[review.frame_id] = review
    return {frame: review.severity for frame, review in found.items()}


def _unreadable(path: Path, number: int, kind: str, error: ValidationError) -> PolicyError:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return PolicyError(
        f"{path}:{number}: no {kind}: {where}: {first['msg']}; "
        "export the history again with this version"
    )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE):
                number += 1
                if line.strip():
                    yield number, line
    except (OSError, EOFError) as error:
        raise PolicyError(f"{path}: cannot be read: {error}") from error


def _check(path: Path, number: int, line: bytes) -> None:
    try:
        if isinstance(json.loads(line), dict):
            return
    except ValueError:
        pass
    raise PolicyError(f"{path}:{number}: not a JSON object; a dump has one event per line")
