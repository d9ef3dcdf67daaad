"""What a slow, distant and unreliable link to the broker costs: the gateway's lanes over a proxy.

A backlog of pictures waits on disk while decisions and acknowledgements go on being made. Measured
are how long those take, how much of the link the backlog uses, and how many bytes are sent again.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connectors.gateway.lanes import Lane, LanedPublisher, lanes_of, spools_of
from connectors.gateway.shared_publisher import BATCH_BYTES
from connectors.settings import GatewaySettings
from infra.stack.broker import start_broker
from infra.stack.process import free_port
from lab.harness.slow_link import Carried, Link, slow_link
from lab.progress import Say
from streams.envelope import Message
from streams.errors import UnavailableError
from streams.ids import new_frame_id
from streams.kafka.connection import KafkaConnection
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.topic_admin import ensure_topics
from streams.topics import ACKS, DECISIONS, FRAMES

WORD_BYTES = 1200
"""Size of a decision, bytes."""
WORDS_EVERY_S = 0.25
_FROM, _TO = 0.4, 0.9
"""The share of the backlog between which its speed is measured: clients connect before, and the
last few wait for connections that stalled."""
_LEAST = 24
"""Pictures of the smallest backlog."""
_MOST_S = 900.0
"""A backlog that takes longer is given up, seconds."""


@dataclass(frozen=True)
class LinkCase:
    """One link, beside the line's own rate."""

    of_line: float
    """Its speed, in rates at which the line makes pictures."""
    delay_s: float


@dataclass(frozen=True)
class LinksOptions:
    """What is sent over which links."""

    line_bytes_s: float
    """Rate at which the line makes pictures, bytes/s."""
    picture_bytes: int
    backlog_s: float
    """How long the backlog takes on the link, seconds."""
    unlucky_in: int
    """One connection in so many is reset or stalls."""
    speeds: Sequence[float]
    delays_s: Sequence[float]
    seed: int
    connections: int | None
    """Most connections for pictures; None: as many as the gateway's setting says."""

    def cases(self) -> list[LinkCase]:
        """Every speed with every delay."""
        return [LinkCase(speed, delay) for speed in self.speeds for delay in self.delays_s]


@dataclass(frozen=True)
class LinkFigures:
    """What one link did."""

    of_line: float
    delay_s: float
    pictures: int
    words: int
    words_p50_s: float
    words_p95_s: float
    words_most_s: float
    link_share: float
    """Share of the link's speed at which the backlog fell."""
    resent_share: float
    """Bytes that were carried beyond those of the messages, as a share of these."""
    connections: int
    unlucky: int


@dataclass(eq=False)
class _Watched:
    """A publisher that notes when the broker had each message."""

    publisher: KafkaPublisher
    arrived: dict[bytes, float]
    bytes_at: list[tuple[float, int]] = field(default_factory=list)

    async def send(self, topic: str, message: Message) -> None:
        await self.publisher.send(topic, message)
        now = time.monotonic()
        self.arrived[dict(message.headers)["ce_id"]] = now
        self.bytes_at.append((now, len(message.value)))


class _NoStore:
    """Nothing here goes through an object store."""

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        raise UnavailableError("no object store")

    async def get(self, key: str, at_most: int = 0) -> bytes:
        raise UnavailableError("no object store")

    async def exists(self, key: str) -> bool:
        raise UnavailableError("no object store")


def measure_links(options: LinksOptions, say: Say) -> list[LinkFigures]:
    """Each case with a broker of its own; at most the backlog's time several times each."""
    found = []
    for case in options.cases():
        port = free_port()
        with start_broker(advertised_port=port) as broker:
            figures = asyncio.run(_one(case, options, port, broker.port))
        say(
            f"{case.of_line:g} x the line's rate, {case.delay_s:g} s: "
            f"{figures.link_share:.0%} of the link"
        )
        found.append(figures)
    return found


async def _one(case: LinkCase, options: LinksOptions, port: int, broker_port: int) -> LinkFigures:
    bytes_s = case.of_line * options.line_bytes_s
    with tempfile.TemporaryDirectory(prefix="andon-links-") as folder:
        most = {} if options.connections is None else {"picture_connections": options.connections}
        own = GatewaySettings(spool_dir=Path(folder), spool_limit_mib=4096, **most)
        spools = spools_of(own)
        for spool in spools.values():
            await asyncio.to_thread(spool.open)
        backlog = max(_LEAST, round(bytes_s * options.backlog_s / options.picture_bytes))
        for _ in range(backlog):
            await spools[Lane.PICTURES].put(FRAMES.name, _picture(options.picture_bytes))
        async with slow_link(Link(bytes_s=1e9), ("127.0.0.1", broker_port), port) as link:
            connection = KafkaConnection(f"127.0.0.1:{port}")
            await ensure_topics(connection, topics=(FRAMES, DECISIONS, ACKS))
            link.become(Link(bytes_s, case.delay_s, options.unlucky_in, options.seed))
            arrived: dict[bytes, float] = {}
            plain = [KafkaPublisher(connection)]
            plain += [
                KafkaPublisher(connection, BATCH_BYTES) for _ in range(own.picture_connections)
            ]
            watched = [_Watched(publisher, arrived) for publisher in plain]
            lanes = lanes_of(own, watched, _NoStore(), spools, connection.slowest_kib_s)
            for topic in (DECISIONS.name, ACKS.name):  # as in a gateway that has run for a while
                await watched[0].publisher.send(topic, _word())
            running = asyncio.create_task(lanes.run())
            try:
                made = await _words(lanes, watched, backlog)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                carried = replace(link.carried)
                link.become(Link(bytes_s=1e9))
                await asyncio.gather(*(publisher.stop() for publisher in plain))
    return _figures(case, bytes_s, made, watched, carried)


async def _words(
    lanes: LanedPublisher, watched: Sequence[_Watched], backlog: int
) -> dict[bytes, float]:
    """Decisions and acknowledgements, until the backlog and they have arrived: when each was made.

    Raises:
        TimeoutError: the backlog does not end.
    """
    made: dict[bytes, float] = {}
    sends: set[asyncio.Task[None]] = set()
    pictures = watched[1:]
    async with asyncio.timeout(_MOST_S):
        while sum(len(one.bytes_at) for one in pictures) < backlog:
            for topic in (DECISIONS.name, ACKS.name):
                word = _word()
                made[dict(word.headers)["ce_id"]] = time.monotonic()
                sends.add(asyncio.create_task(lanes.send(topic, word)))
            await asyncio.sleep(WORDS_EVERY_S)
        await asyncio.gather(*sends)
        while not made.keys() <= watched[0].arrived.keys():  # noqa: ASYNC110 - kept on disk
            await asyncio.sleep(0.05)
    return made


def _figures(
    case: LinkCase,
    bytes_s: float,
    made: dict[bytes, float],
    watched: Sequence[_Watched],
    carried: Carried,
) -> LinkFigures:
    took = sorted(watched[0].arrived[one] - at for one, at in made.items())
    pictures = sorted(at for one in watched[1:] for at in one.bytes_at)
    measured = pictures[round(len(pictures) * _FROM) : round(len(pictures) * _TO)]
    size = sum(size for _, size in measured[1:])
    seconds = measured[-1][0] - measured[0][0]
    total = sum(size for one in watched for _, size in one.bytes_at)
    return LinkFigures(
        of_line=case.of_line,
        delay_s=case.delay_s,
        pictures=len(pictures),
        words=len(made),
        words_p50_s=round(took[len(took) // 2], 2),
        words_p95_s=round(took[int(len(took) * 0.95)], 2),
        words_most_s=round(took[-1], 2),
        link_share=round(size / seconds / bytes_s, 3),
        resent_share=round(max(carried.up_bytes / total - 1.0, 0.0), 4),
        connections=carried.connections,
        unlucky=carried.unlucky,
    )


def _identity() -> tuple[str, bytes]:
    return "ce_id", str(new_frame_id()).encode()


def _word() -> Message:
    return Message(b"line1/station1", bytes(WORD_BYTES), (_identity(),))


def _picture(size: int) -> Message:
    deadline = datetime.now(UTC) + timedelta(hours=1)
    headers = (_identity(), ("ce_deadline", deadline.isoformat().encode()))
    return Message(b"line1/station1", bytes(size), headers)
