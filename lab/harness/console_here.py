"""A console over a stack of its own without Ray, an administrator logged in, for benchmarks."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from andon.settings import Settings
from andon.stack.local import LocalStack, StackPorts
from andon.stack.prepare import prepare
from andon.wiring import brokers
from console.access import ConsoleRole
from console.credentials import new_secret, secret_hash
from history.accounts import Accounts, ConsoleUser, Login
from history.console_audit import Deed
from infra.stack.process import Process, answers_http, free_port
from infra.stack.server import LocalServer
from streams.ports import Publisher
from streams.principals import Role

READY_S = 60.0
WHO = "benchmark"
_LASTS = timedelta(days=1)


@dataclass
class StoresAlone(LocalStack):
    """Broker, PostgreSQL and S3; no Ray."""

    def _starters(self) -> dict[str, Callable[[], LocalServer]]:
        found = super()._starters()
        del found["ray"]
        return found


class ConsoleProcess:
    """``andon console`` as a process that may be killed and started again, on one port.

    Args:
        folder: for its log.
        environment: its settings.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._log, self._environment = folder / "logs" / "console.log", dict(environment)
        self._process: Process | None = None

    def start(self) -> None:
        """Start it; returns once it answers."""
        command = [sys.executable, "-m", "andon", "console", "--port", str(self.port)]
        self._process = Process("console", command, self._log, self._environment)
        self._process.wait_ready(lambda: answers_http(self.port, "/login"), READY_S)

    def kill(self) -> None:
        """End it at once, as a fault does."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop(5)


@dataclass(frozen=True)
class ConsoleHere:
    """A console that runs, and what is asked of it."""

    console: ConsoleProcess
    secret: str
    """Of an administrator's session: the value of the cookie."""
    token: str
    """Of an administrator's token, for programs."""
    settings: Settings
    publisher: Publisher


async def let_in(settings: Settings) -> tuple[str, str]:
    """An administrator without a password: the secrets of a session and of a token."""
    url = settings.postgres.url.get_secret_value()
    to, secret, token = Accounts(url, timeout_s=READY_S), new_secret(), new_secret()
    deed = Deed(actor=WHO, action="user.add", object=WHO, via="cli", login="host")
    ends = datetime.now(UTC) + _LASTS
    try:
        await to.add(ConsoleUser(name=WHO, role=ConsoleRole.ADMIN), "no password", deed)
        for value, label in ((secret, ""), (token, WHO)):
            opened = Login(
                secret_hash=secret_hash(value),
                user_name=WHO,
                label=label,
                way="token" if label else "password",
                role=ConsoleRole.ADMIN,
                expires_at=ends,
            )
            await to.open(opened, deed)
    finally:
        await to.close()
    return secret, token


@asynccontextmanager
async def console_here(folder: Path) -> AsyncIterator[ConsoleHere]:
    """Stack and console, ready; both are gone at the end.

    Raises:
        AndonError: a component did not come up.
    """
    stack = StoresAlone(folder / "stack", StackPorts.free())
    await asyncio.to_thread(stack.start)
    console = ConsoleProcess(folder, stack.environment(Role.CONSOLE))
    try:
        settings = stack.settings()
        await prepare(settings, [], WHO)
        secret, token = await let_in(settings)
        await asyncio.to_thread(console.start)
        async with brokers.publisher(settings) as publisher:
            yield ConsoleHere(console, secret, token, settings, publisher)
    finally:
        await asyncio.to_thread(console.stop)
        await asyncio.to_thread(stack.stop)
