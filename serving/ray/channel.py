"""The worker's end of :mod:`serving.ray.bridge`: one supervisor keeps a bridge process alive."""

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import random
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import count

from serving.ray.bridge import ANSWER, OK, REQUEST

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 3.0
"""Between attempts to connect; doubles, with jitter."""
CONNECT_TIMEOUT_S = 120.0
"""A bridge that is not connected by then, cluster or no cluster, is ended and another started."""
BUFFER_BYTES = 64 << 20
"""Calls wait once this much is on its way to the bridge."""


class State(StrEnum):
    """Of the connection."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"


class CallFailed(Exception):
    """A call has no answer; ``kind`` names the cause."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _Lost(Exception):
    """The bridge went away while a call was under way."""


@dataclass
class _Line:
    """A connected bridge."""

    writer: asyncio.StreamWriter
    waiting: dict[int, "asyncio.Future[bytes]"]


class Channel:
    """Calls to deployments of one Serve application.

    Args:
        address: host:port of the Ray head.
        application: the Serve application.
        on_state: told of every change of state, for metrics.
    """

    def __init__(
        self, address: str, application: str, on_state: Callable[[State], None] | None = None
    ) -> None:
        self._address, self._application = address, application
        self._on_state = on_state or (lambda _: None)
        self.state = State.STOPPED
        self._line: _Line | None = None
        self._connected = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._numbers = count(1)

    @property
    def connected(self) -> bool:
        """Whether a bridge stands."""
        return self._line is not None

    @property
    def bridge_pid(self) -> int | None:
        """Process id of the bridge, if there is one."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Begin to connect, and go on until :meth:`close`."""
        if self._supervisor is None:
            self._supervisor = asyncio.create_task(self._supervise(), name="serving-channel")

    async def close(self) -> None:
        """Stop; calls under way fail."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        self._set(State.STOPPED)

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait for a connection; False when there is none after ``timeout_s``."""
        try:
            await asyncio.wait_for(self._connected.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def call(self, target: int, body: bytes, timeout_s: float) -> bytes:
        """Call and return the answer; repeats it when the bridge dies meanwhile.

        Raises:
            CallFailed: no answer within ``timeout_s``.
        """
        if self._supervisor is None:
            raise CallFailed("NotStarted", "the client was not started, or is closed")
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        try:
            async with asyncio.timeout_at(until):
                while True:
                    await self._connected.wait()
                    try:
                        return await self._send(target, body, until - loop.time())
                    except _Lost:
                        continue
        except TimeoutError:
            if self.state is State.CONNECTED:
                raise CallFailed("TimeoutError", f"no answer within {timeout_s:g} s") from None
            raise CallFailed(
                "RayUnreachable", f"no connection to the Ray at {self._address}"
            ) from None

    async def _send(self, target: int, body: bytes, left: float) -> bytes:
        line = self._line
        if line is None:
            raise _Lost
        number = next(self._numbers) & 0xFFFFFFFF or next(self._numbers) & 0xFFFFFFFF
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        line.waiting[number] = future
        try:
            line.writer.write(REQUEST.pack(number, target, left, len(body)) + body)
            await line.writer.drain()
            return await future
        except ConnectionError:
            raise _Lost from None
        finally:
            line.waiting.pop(number, None)

    async def _supervise(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            self._set(State.CONNECTING)
            try:
                if await self._connection():
                    pause = FIRST_PAUSE_S
            except OSError as error:
                log.warning("the bridge to Ray could not be started: %s", error)
            self._set(State.WAITING)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _connection(self) -> bool:
        """One bridge from start to end; whether it ever was connected."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = process = await asyncio.create_subprocess_exec(
                *self._command(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        writer.transport.set_write_buffer_limits(high=BUFFER_BYTES)
        line = _Line(writer, {})
        try:
            await asyncio.wait_for(reader.readexactly(ANSWER.size), CONNECT_TIMEOUT_S)
            self._line = line
            self._connected.set()
            self._set(State.CONNECTED)
            await _read(reader, line)
            return True
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            return self._line is not None
        finally:
            self._line = None
            self._connected.clear()
            for future in line.waiting.values():
                if not future.done():
                    future.set_exception(_Lost())
            writer.transport.abort()
            await asyncio.shield(_end(process))
            self._process = None

    def _command(self, fd: int) -> list[str]:
        command = [sys.executable, "-m", "serving.ray.bridge", "--address", self._address]
        return [*command, "--application", self._application, "--fd", str(fd)]

    def _set(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            log.info("Ray at %s: %s", self._address, state)
            self._on_state(state)


async def _read(reader: asyncio.StreamReader, line: _Line) -> None:
    while True:
        number, status, length = ANSWER.unpack(await reader.readexactly(ANSWER.size))
        body = await reader.readexactly(length)
        future = line.waiting.get(number)
        if future is None or future.done():
            continue
        if status == OK:
            future.set_result(body)
        else:
            found = json.loads(body)
            future.set_exception(CallFailed(found["type"], found["message"]))


async def _end(process: asyncio.subprocess.Process, pause_s: float = 0.2) -> None:
    """Wait for its own end, then kill it: it holds nothing worth a goodbye."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), pause_s)
        return
    with contextlib.suppress(ProcessLookupError):
        # not process.kill(): that polls, and may reap the child before asyncio's watcher does
        os.kill(process.pid, signal.SIGKILL)
    await process.wait()


def _die_with_parent() -> None:
    """In the child: the kernel ends it with its parent, even when that is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(1)
