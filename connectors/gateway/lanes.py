"""The gateway's lanes to the broker: what decides a part never queues behind pictures.

Each lane has connections, a bound and a spool of its own. A link that carries less than the line's
pictures then still carries every decision and acknowledgement, and an object store that is down
holds back only the pictures that need it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from connectors.gateway.part_traces import PartTraces
from connectors.gateway.places import place_name
from connectors.gateway.shared_publisher import SharedPublisher
from connectors.gateway.spool import Budget, Spool
from connectors.gateway.spooling_publisher import SpoolingPublisher
from connectors.settings import GatewaySettings
from streams.envelope import Message, header_dict
from streams.errors import UnavailableError
from streams.failures import Cause, PermanentError, TransientError
from streams.ports import ImageStore, Publisher
from streams.topics import FRAMES, INLINE_LIMIT_BYTES

_WORDS_AT_ONCE = 256
"""Decisions and acknowledgements that may be on their way together."""
_SPOOLED_AT_ONCE = 1024
"""Pictures of the spool that may be on their way together; their bytes are bounded before."""
_LARGE_AT_ONCE = 8
"""Pictures that may be on their way to the object store together, at most."""


class Lane(StrEnum):
    """What travels together."""

    WORDS = "words"
    """Decisions, acknowledgements, verdicts, dead letters: small, and first."""
    PICTURES = "pictures"
    """Frames that travel inside their message."""
    LARGE = "large"
    """Frames that go through the object store."""


def lane_of(topic: str, message: Message) -> Lane:
    """The lane of a message.

    >>> lane_of("andon.acks", Message(b"k", b"{}", ())).name
    'WORDS'
    """
    if topic != FRAMES.name:
        return Lane.WORDS
    return Lane.LARGE if len(message.value) > INLINE_LIMIT_BYTES else Lane.PICTURES


@dataclass(eq=False)
class LanedPublisher:
    """The gateway's publisher: one ``SpoolingPublisher`` for each lane.

    Args:
        lanes: by their kind; what has none of its own goes with the pictures.
    """

    lanes: Mapping[Lane, SpoolingPublisher]
    on_down: Callable[[bool], None] = lambda _: None
    on_full: Callable[[bool], None] = lambda _: None
    traces: PartTraces | None = None
    """Gives each message the header of its part's trace; None: nothing is traced."""

    def __post_init__(self) -> None:
        self._down: set[Lane] = set()
        self._full: set[Lane] = set()
        for lane, publisher in self.lanes.items():
            publisher.on_down = self._told(lane, self._down, lambda down: self.on_down(down))
            publisher.on_full = self._told(lane, self._full, lambda full: self.on_full(full))

    async def send(self, topic: str, message: Message) -> None:
        """Send or keep a message. Raises ``SpoolFullError`` when neither can be done."""
        lane = lane_of(topic, message)
        send = self.lanes.get(lane, self.lanes[Lane.PICTURES]).send
        if self.traces is None:
            await send(topic, message)
        else:
            await self.traces.sent(topic, message, send)

    async def run(self) -> None:
        """Send what is spooled. Runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            for publisher in self.lanes.values():
                group.create_task(publisher.run())

    def _told(
        self, lane: Lane, where: set[Lane], tell: Callable[[bool], None]
    ) -> Callable[[bool], None]:
        """The first lane says that something is wrong, the last one that it is over."""

        def told(wrong: bool) -> None:
            before = bool(where)
            (where.add if wrong else where.discard)(lane)
            if bool(where) != before:
                tell(wrong)

        return told


@dataclass(frozen=True)
class ReferencingPublisher:
    """Puts frames over the inline limit into object storage; the message then only names them."""

    publisher: Publisher
    images: ImageStore
    timeout_s: float
    """Seconds that the store may take for the smallest picture."""
    slowest_kib_s: float = 64.0
    """The slowest link that is still good, KiB/s: a large picture may take so much longer."""

    async def send(self, topic: str, message: Message) -> None:
        if topic == FRAMES.name and len(message.value) > INLINE_LIMIT_BYTES:
            headers = header_dict(message.headers)
            content_type = headers.get("content-type", "application/octet-stream")
            time_s = self.timeout_s + len(message.value) / (self.slowest_kib_s * 1024)
            try:
                async with asyncio.timeout(time_s):
                    await self.images.put(headers["ce_dataref"], message.value, content_type)
            except TimeoutError as error:
                raise UnavailableError(f"object storage took over {time_s:.1f} s") from error
            except PermanentError as error:
                if error.cause is Cause.NOT_ALLOWED:  # no dead letter can hold the picture
                    raise TransientError(error.cause, str(error)) from error
                raise
            message = Message(message.key, b"", message.headers)
        await self.publisher.send(topic, message)


def spools_of(own: GatewaySettings) -> Mapping[Lane, Spool]:
    """The spool of each lane; together they keep within the limit.

    Pictures keep the folder that earlier versions used for everything.
    """
    folder = own.spool_dir / place_name(own.line, own.station)
    budget = Budget(own.spool_limit_mib << 20)
    below = {Lane.WORDS: folder / "words", Lane.PICTURES: folder, Lane.LARGE: folder / "large"}
    return {lane: Spool(path, budget) for lane, path in below.items()}


def lanes_of(
    own: GatewaySettings,
    connections: Sequence[Publisher],
    images: ImageStore,
    spools: Mapping[Lane, Spool],
    slowest_kib_s: float,
) -> LanedPublisher:
    """A gateway's lanes. The first connection carries words, the others pictures."""

    def lane(kind: Lane, publisher: Publisher, at_once: int) -> SpoolingPublisher:
        shared = publisher if isinstance(publisher, SharedPublisher) else None
        return SpoolingPublisher(
            publisher,
            spools[kind],
            timeout_s=own.publish_timeout_s,
            in_flight_bytes=own.in_flight_mib << 20,
            at_once=at_once,
            tells_when_slow=kind is Lane.WORDS,
            wanted_bytes=None if shared is None else shared.wanted_bytes,
        )

    first, *others = connections
    words = lane(Lane.WORDS, first, _WORDS_AT_ONCE)
    pictures = SharedPublisher(others, words.quickest_s, words.usual_s)
    large = ReferencingPublisher(first, images, own.object_timeout_s, slowest_kib_s)
    uploads = SharedPublisher([large] * _LARGE_AT_ONCE, words.quickest_s, words.usual_s)
    return LanedPublisher(
        {
            Lane.WORDS: words,
            Lane.PICTURES: lane(Lane.PICTURES, pictures, _SPOOLED_AT_ONCE),
            Lane.LARGE: lane(Lane.LARGE, uploads, _LARGE_AT_ONCE),
        }
    )
