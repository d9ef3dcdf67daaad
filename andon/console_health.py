"""The doctor for the console's page: ``andon doctor`` as a process of its own, within its time."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from andon.settings import Settings
from streams.errors import AndonError

if TYPE_CHECKING:
    from console.health import CheckRow

TIMEOUT_S: Final = 60.0
"""Of all checks together, the start of the process included."""


class DoctorError(AndonError):
    """The checks did not run, or not to their end."""


async def examine(settings: Settings, command: Sequence[str] = ()) -> "list[CheckRow]":
    """Run ``andon doctor`` without the checks that a page must not ask.

    It imports what the line's processes import, Ray too, and holds an interpreter for seconds: not
    the console's.

    Args:
        settings: name those checks.
        command: to run instead of this interpreter's ``andon``.

    Raises:
        DoctorError: it did not answer in time, or with something else than its rows.
    """
    from console.health import CheckRow

    without = [word for name in settings.console.health_without for word in ("--without", name)]
    words = [*(command or (sys.executable, "-m", "andon")), "doctor", "--json", *without]
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # what it starts itself ends with it
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            said, _ = await process.communicate()
    except TimeoutError:
        raise DoctorError(f"`andon doctor` did not answer within {TIMEOUT_S:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    try:
        return TypeAdapter(list[CheckRow]).validate_json(said)
    except ValidationError:
        raise DoctorError(
            f"`andon doctor` ended with exit code {process.returncode} and said nothing that can "
            "be read; run it at a prompt of this host"
        ) from None
