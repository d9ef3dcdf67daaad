"""What the commands of ``andon history`` share: one question, one review, and bad usage."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Annotated, TypeVar

import typer

from andon.settings import load_settings
from andon.wiring import brokers, opened, storage
from history.errors import BadQueryError
from history.filters import parse_moment
from history.queries import History
from history.records import Story
from history.reviews import submit_review
from streams.events import Review

T = TypeVar("T")
_TIMEOUT_S = 120.0
"""A question over a year of parts may take longer than a row of the line."""

Frame = Annotated[str, typer.Argument(help="Frame id, or the serial of a part seen once.")]


def ask(question: Callable[[History], Awaitable[T]]) -> T:
    """Open the history, ask it one question, and close it."""

    async def run() -> T:
        build = partial(storage.history, least_timeout_s=_TIMEOUT_S)
        async with opened(build, load_settings()) as history:
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


def moment(words: str) -> datetime:
    """A time as ``--since`` and ``--until`` take it; bad usage where it is none."""
    with usage_errors():
        return parse_moment(words)


async def tell_of_class(history: History, story: Story, class_name: str) -> None:
    """Say where a class is none of the policy that judged the part: a typing error would teach."""
    from console.review.verdict import classes_of
    from history.review_queue import ReviewQueue
    from policies.conditions.checker import closest

    judged = story.effective
    if not class_name or judged is None:
        return
    classes = classes_of(await ReviewQueue(history).policy_body(judged.policy_hash))
    names = [one.name for one in classes]
    if names and class_name not in names:
        near = closest(class_name, tuple(names))
        hint = f"did you mean {near!r}?" if near else f"it has {', '.join(map(repr, names))}"
        typer.echo(
            f"class {class_name!r} is none of the policy that judged the part ({hint}); it is "
            "taken as it is, and a later review of the part takes its place",
            err=True,
        )


async def publish_review(made: Review) -> None:
    """Send a review to Kafka; the role record stores it."""
    async with brokers.publisher(load_settings()) as publisher:
        await submit_review(publisher, made)
