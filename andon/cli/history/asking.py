"""What the commands of ``andon history`` share: one question, one review, and bad usage."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Annotated, TypeVar

import typer

from andon import wiring
from andon.settings import load_settings
from history.errors import BadQueryError
from history.queries import History
from history.reviews import submit_review
from streams.events import Review

T = TypeVar("T")
_TIMEOUT_S = 120.0
"""A question over a year of parts may take longer than a row of the line."""

Frame = Annotated[str, typer.Argument(help="Frame id, or the serial of a part seen once.")]


def ask(question: Callable[[History], Awaitable[T]]) -> T:
    """Open the history, ask it one question, and close it."""

    async def run() -> T:
        build = partial(wiring.history, least_timeout_s=_TIMEOUT_S)
        async with wiring.opened(build, load_settings()) as history:
            return await question(history)

    with usage_errors():
        return asyncio.run(run())


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """A question that cannot be asked is bad usage: exit code 2."""
    try:
        yield
    except BadQueryError as error:
        raise typer.BadParameter(str(error)) from None


async def publish_review(made: Review) -> None:
    """Send a review to Kafka; the role record stores it."""
    async with wiring.publisher(load_settings()) as publisher:
        await submit_review(publisher, made)
