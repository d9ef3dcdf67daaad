"""A way to PostgreSQL that breaks at a COMMIT, before or after the database had it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.engine import make_url


class Cut:
    """A way to PostgreSQL that breaks at the next COMMIT that it is told to break at."""

    def __init__(self) -> None:
        self.at_commit = ""
        """``before`` or ``after`` the database has it; empty: it breaks at none."""
        self.passes = 0
        """So many COMMITs go by before that one."""
        self.cuts = 0
        self.is_down = False
        """Whether nobody gets through after the cut."""
        self.tasks: set[asyncio.Task[None]] = set()

    async def carry(
        self, client: asyncio.StreamReader, back: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        if self.is_down and self.cuts:
            return back.transport.abort()
        answers, server = await asyncio.open_connection(host, port)
        broken = False

        async def answer() -> None:
            while (data := await answers.read(65536)) and not broken:
                back.write(data)
            back.transport.abort()

        answering = asyncio.create_task(answer())
        try:
            while data := await client.read(65536):
                when = self._when(data)
                if when:
                    broken, self.at_commit = True, ""
                    self.cuts += 1
                if when != "before":
                    server.write(data)
                if when == "after":  # the database has it when it answers
                    await asyncio.wait({answering}, timeout=10)
                if when:
                    break
        except ConnectionError:
            pass
        for end in (server, back):
            end.transport.abort()
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)

    def _when(self, data: bytes) -> str:
        if b"COMMIT" not in data or not self.at_commit:
            return ""
        if self.passes:
            self.passes -= 1
            return ""
        return self.at_commit


@asynccontextmanager
async def cut_way(url: str) -> AsyncIterator[tuple[Cut, str]]:
    """The way, and the database's address by it."""
    cut, address = Cut(), make_url(url)
    host, port = address.host or "127.0.0.1", address.port or 5432

    async def carry(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        cut.tasks.add(task)
        await cut.carry(client, back, host, port)

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    by_it = address.set(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    yield cut, by_it.render_as_string(hide_password=False)
    server.close()
    for task in cut.tasks:
        task.cancel()
    await asyncio.gather(*cut.tasks, return_exceptions=True)
