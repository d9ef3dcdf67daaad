"""The console beside the demo: open while the parts come, and afterwards until somebody ends it."""

import asyncio
import sys
import time

from andon.wiring.console import accounts
from console.access import ConsoleRole
from console.credentials import new_password, password_hash
from history.accounts import ConsoleUser
from history.console_audit import Deed
from infra.stack.process import Process, answers_http, free_port
from lab.harness.line import SimulatedLine
from streams.principals import Role

NAME = "demo"
"""Who may log in at the demo's console, as administrator."""
_READY_S = 180.0


class DemoConsole:
    """``andon console`` over the demo's own stack, with one person who may log in.

    Args:
        line: its stack has been prepared.
    """

    def __init__(self, line: SimulatedLine) -> None:
        self._port = port = free_port()
        self.url = f"http://127.0.0.1:{port}/"
        self.password = new_password()
        asyncio.run(self._let_in(line))
        command = [sys.executable, "-m", "andon", "console", "--port", str(port)]
        log = line.folder / "logs" / "console.log"
        self._process = Process("console", command, log, line.environment_of(Role.CONSOLE))
        self._process.wait_ready(lambda: answers_http(port, "/login"), _READY_S)

    def told(self) -> str:
        """How to open it, in words."""
        return f"{self.url}  name: {NAME}  password: {self.password}"

    def look(self) -> None:
        """Ask for a page, as somebody in front of a browser does."""
        answers_http(self._port, "/login")

    def wait(self) -> None:
        """Until it ends, or Ctrl-C."""
        try:
            while self._process.running:
                time.sleep(0.5)
        except KeyboardInterrupt:
            return

    def stop(self) -> None:
        """End it."""
        self._process.stop(5)

    async def _let_in(self, line: SimulatedLine) -> None:
        to = accounts(line.stack.settings(Role.CONSOLE))
        user = ConsoleUser(name=NAME, role=ConsoleRole.ADMIN)
        deed = Deed(actor="andon demo", action="user.add", object=NAME, via="cli", login="host")
        try:
            await to.add(user, await password_hash(self.password), deed)
        finally:
            await to.close()
