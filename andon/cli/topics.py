"""``andon topics``: whether the broker keeps the line's topics as meant, and its dead letters."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from andon.cli.options import Json
from andon.cli.printing import plain, print_found, table_of_rows
from andon.cli.topics_acl import acl
from andon.settings import load_settings
from andon.wiring import brokers
from streams.events import DeadLetter
from streams.failures import PermanentError
from streams.kafka.dead_letters import NotWholeError, original, read_letters
from streams.kafka.topic_check import Wrong, check_topics, mend_topics

_SENT = "sent"
app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def topics() -> None:
    """The topics at the broker: whether they are as meant, who may use them, what was set aside."""


app.command()(acl)


@app.command()
def check(as_json: Json = False) -> None:
    """What is wrong with the topics at the broker; nothing is changed. Exit code 1 for a fault.

    A topic that a producer's first message created has one partition and takes 1 MB.
    """
    settings = load_settings()
    connection, wanted = brokers.kafka_connection(settings), brokers.topics_wanted(settings)
    _show(asyncio.run(check_topics(connection, wanted)), as_json)


@app.command()
def mend(as_json: Json = False) -> None:
    """Create absent topics, add partitions, set limits and retention as they are meant.

    What else is set on a topic stays, such as a longer retention. Copies of a topic that is there
    are moved by the broker's own tools. Exit code 1 when something stays wrong.
    """
    settings = load_settings()
    connection, wanted = brokers.kafka_connection(settings), brokers.topics_wanted(settings)
    _show(asyncio.run(mend_topics(connection, wanted)), as_json)


@app.command()
def dead(
    topic: Annotated[
        str | None, typer.Option(help="Only messages of this topic, as andon.decisions.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Messages that were set aside, and why: the dead letters that the broker still has.

    `andon topics resend` sends one again once its cause is mended.
    """
    connection = brokers.kafka_connection(load_settings())

    async def read() -> list[tuple[DeadLetter, int]]:
        found = [(letter, len(value)) async for letter, value in read_letters(connection)]
        return [one for one in found if topic in (None, one[0].topic)]

    letters = sorted(asyncio.run(read()), key=lambda one: one[0].failed_at)
    rows = (
        (str(x.letter_id), f"{x.failed_at:%Y-%m-%d %H:%M:%S}", x.stage.value, plain(x.topic),
         str(size), plain(x.error_type), plain(x.error[:200]))
        for x, size in letters
    )  # fmt: skip
    heads = ("letter", "failed at (UTC)", "stage", "topic", "bytes", "error", "why")
    body = [{**x.model_dump(mode="json"), "size_bytes": size} for x, size in letters]
    print_found(body, [table_of_rows(heads, rows)], as_json)


@app.command()
def resend(
    letters: Annotated[list[UUID], typer.Argument(help="Letters, as `andon topics dead` shows.")],
    as_json: Json = False,
) -> None:
    """Send set-aside messages to their topic once more, as they were.

    What was recorded already is recognised by its identity. Where the broker asks for logins, run
    it as a role that writes the topic. Exit code 1 when a letter is not there or holds only a part
    of its message.
    """
    found = asyncio.run(_resend(set(letters)))
    rows = ((str(letter), plain(said)) for letter, said in found.items())
    body = {str(letter): said for letter, said in found.items()}
    print_found(body, [table_of_rows(("letter", ""), rows)], as_json)
    raise typer.Exit(0 if all(said.startswith(_SENT) for said in found.values()) else 1)


async def _resend(letters: set[UUID]) -> dict[UUID, str]:
    settings = load_settings()
    found = dict.fromkeys(letters, "no such letter at the broker")
    async with brokers.publisher(settings) as publisher:
        async for letter, value in read_letters(brokers.kafka_connection(settings)):
            if letter.letter_id in letters:
                try:
                    await publisher.send(letter.topic, original(letter, value))
                    found[letter.letter_id] = f"{_SENT} to {letter.topic}"
                except (NotWholeError, PermanentError) as error:
                    found[letter.letter_id] = str(error)
    return found


def _show(wrong: Sequence[Wrong], as_json: bool) -> None:
    rows = ((plain(w.topic), w.what, w.found, w.wanted, plain(w.remedy)) for w in wrong)
    table = table_of_rows(("topic", "what", "found", "wanted", "what to do"), rows)
    shown = [table] if wrong else ["Every topic is as it is meant."]
    print_found([asdict(w) for w in wrong], shown, as_json)
    raise typer.Exit(1 if wrong else 0)
