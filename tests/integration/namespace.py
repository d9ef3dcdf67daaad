"""Another network namespace, joined to this one by a cable of its own: another host, in effect."""

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Self

HERE, THERE, PREFIX = "169.254.213.1", "169.254.213.2", 30
_TIMEOUT_S = 600.0


class NetworkNamespace:
    """A context manager; needs the right to make network namespaces and links.

    Raises:
        OSError, subprocess.SubprocessError: there is no such right, or no ``ip``.
    """

    def __init__(self) -> None:
        self.name = f"andon-{uuid.uuid4().hex[:8]}"
        self.link, self._other = f"{self.name[:9]}a", f"{self.name[:9]}b"

    def __enter__(self) -> Self:
        try:
            _ip("netns", "add", self.name)
            _ip("link", "add", self.link, "type", "veth", "peer", "name", self._other)
            _ip("link", "set", self._other, "netns", self.name)
            _ip("address", "add", f"{HERE}/{PREFIX}", "dev", self.link)
            _ip("link", "set", self.link, "up")
            _ip("-n", self.name, "address", "add", f"{THERE}/{PREFIX}", "dev", self._other)
            _ip("-n", self.name, "link", "set", self._other, "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for words in (("link", "delete", self.link), ("netns", "delete", self.name)):
            subprocess.run(["ip", *words], capture_output=True, timeout=60, check=False)

    def served(self, ran: Path, ports: list[int]) -> dict[int, dict[str, str]]:
        """What this host's sockets do for a stranger over there; those that are reached at all."""
        words = [sys.executable, "-m", "tests.integration.sockets", str(ran), HERE]
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *words, *map(str, ports)],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        told: dict[str, dict[str, str]] = json.loads(done.stdout)
        return {int(port): what for port, what in told.items()}


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, timeout=60, check=True)
