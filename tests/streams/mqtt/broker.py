"""Somebody else's MQTT broker, in a process and an environment of its own: amqtt."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path

import aiomqtt
import pytest

from infra.stack.certificates import KeyPair
from infra.stack.process import free_port, port_is_open
from infra.stack.server import LocalServer, launch
from lab.peers.environment import PeerError, programs_of

REQUIREMENT = "amqtt==0.12.1"
ENVIRONMENT = Path(__file__).parents[3] / ".venvs" / REQUIREMENT.replace("==", "-")
USER, PASSWORD = "andon", "correct horse"


@cache
def programs() -> Path:
    """The folder of the broker's programs; skips, with the reason, where it cannot be had."""
    try:
        return programs_of(ENVIRONMENT, (REQUIREMENT,), 120)
    except PeerError as error:
        pytest.skip(f"no MQTT broker: {error}")


def _password_file(folder: Path) -> Path:
    """Hashed by the broker's own library."""
    hashed = "from pwdlib.hashers.argon2 import Argon2Hasher as H; print(H().hash('%s'))"
    command = [str(programs() / "python"), "-c", hashed % PASSWORD]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    path = folder / "passwords"
    path.write_text(f"{USER}:{said.strip()}\n")
    return path


@contextmanager
def running_mqtt(
    folder: Path, port: int | None = None, login: bool = False, tls: KeyPair | None = None
) -> Iterator[LocalServer]:
    """A broker on loopback that keeps nothing over a restart.

    Args:
        folder: for its configuration and log.
        port: where it listens; a free one without it.
        login: whether only ``USER`` with ``PASSWORD`` may come.
        tls: its certificate and key.
    """
    port = port or free_port()
    listener: dict[str, object] = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    if tls is not None:
        listener |= {"ssl": True, "certfile": str(tls.cert), "keyfile": str(tls.key)}
    known = "amqtt.plugins.authentication."
    plugins: dict[str, object] = {f"{known}AnonymousAuthPlugin": {"allow_anonymous": True}}
    if login:
        plugins = {f"{known}FileAuthPlugin": {"password_file": str(_password_file(folder))}}
    config = folder / "broker.yaml"  # JSON is YAML
    config.write_text(json.dumps({"listeners": {"default": listener}, "plugins": plugins}))
    command = [str(programs() / "amqtt"), "-c", str(config)]
    process = launch("amqtt", command, folder / "broker.log", lambda _: port_is_open(port), 60)
    with LocalServer(process, port) as server:
        yield server


class Heard:
    """What a subscriber was told, in order."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    def under(self, topic: str) -> list[bytes]:
        """The payloads of one topic."""
        return [payload for name, payload in self.messages if name == topic]


@asynccontextmanager
async def subscribed(port: int, topics: str = "#") -> AsyncIterator[Heard]:
    """A subscriber of an open broker: somebody's dashboard."""
    heard = Heard()

    async def listen(client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            heard.messages.append((str(message.topic), message.payload))

    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(topics, qos=1)
        listening = asyncio.create_task(listen(client))
        try:
            yield heard
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
