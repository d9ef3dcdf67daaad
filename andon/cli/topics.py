"""``andon topics``: whether the broker keeps the line's topics as they are meant, and mending."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict

import typer

from andon import wiring
from andon.cli.options import Json
from andon.cli.printing import plain, print_found, table_of_rows
from andon.settings import load_settings
from streams.kafka.topic_check import Wrong, check_topics, mend_topics

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def topics() -> None:
    """Partitions, sizes, copies and retention of the topics at the broker."""


@app.command()
def check(as_json: Json = False) -> None:
    """What is wrong with the topics at the broker; nothing is changed. Exit code 1 for a fault.

    A topic that a producer's first message created has one partition and takes 1 MB.
    """
    settings = load_settings()
    connection, wanted = wiring.kafka_connection(settings), wiring.topics_wanted(settings)
    _show(asyncio.run(check_topics(connection, wanted)), as_json)


@app.command()
def mend(as_json: Json = False) -> None:
    """Create absent topics, add partitions, set limits and retention as they are meant.

    Copies of a topic that is there are moved by the broker's own tools. Exit code 1 when something
    stays wrong.
    """
    settings = load_settings()
    connection, wanted = wiring.kafka_connection(settings), wiring.topics_wanted(settings)
    _show(asyncio.run(mend_topics(connection, wanted)), as_json)


def _show(wrong: Sequence[Wrong], as_json: bool) -> None:
    rows = ((plain(w.topic), w.what, w.found, w.wanted, plain(w.remedy)) for w in wrong)
    table = table_of_rows(("topic", "what", "found", "wanted", "what to do"), rows)
    shown = [table] if wrong else ["Every topic is as it is meant."]
    print_found([asdict(w) for w in wrong], shown, as_json)
    raise typer.Exit(1 if wrong else 0)
