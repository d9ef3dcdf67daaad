"""`andon history` as a person runs it."""

import asyncio

from click.testing import Result
from typer.testing import CliRunner

from andon.__main__ import app

HOSTILE = "\x1b[2J=cmd|'/c calc'!A1\n[red]"


def andon(*words: str) -> Result:
    return CliRunner().invoke(app, ["history", *words], catch_exceptions=False)


async def run(*words: str) -> Result:
    return await asyncio.to_thread(andon, *words)
