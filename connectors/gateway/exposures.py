"""From the trigger to the frames on Kafka: one photograph of the part, or several shots of it.

The journal holds the frame ids of all shots before any frame is published. The part may move once
the last exposure is over; each frame is published as soon as it is taken.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import structlog

from connectors.cameras.adjustable import Feature
from connectors.cameras.evidence import evidence_of
from connectors.cameras.supervised import SupervisedCamera
from connectors.errors import CaptureError, JournalError, SpoolFullError
from connectors.gateway import part_events
from connectors.gateway.journal import Journal
from connectors.gateway.journal_entries import JournalEntry, StepLine
from connectors.handshake import Part
from connectors.handshake import values as hs
from connectors.settings import GatewaySettings, ShotSettings
from streams.codes import ClockStatus, FaultCode, Stage
from streams.envelope import to_message
from streams.events import PartOnLine
from streams.kafka.delivery import refused_letter
from streams.ports import Camera, Picture, Publisher
from streams.topics import DEAD, FRAMES, SHOTS

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class GatewayInputs:
    """What the exposures tell the gateway."""

    apply: Callable[[hs.Input], None]
    fault: Callable[[FaultCode, bool], None]


@dataclass(eq=False)
class _Station:
    """One camera, and the shots that it takes one after another."""

    camera: SupervisedCamera
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(eq=False)
class _Exposing:
    """The shots of one part that are under way."""

    open: int
    taken: int = 0
    why: str = ""
    """Why the last shot without a picture has none."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Exposures:
    """Takes and publishes the photographs of a station.

    Args:
        settings: the shots, and the deadline of an exposure.
        cameras: one for each shot in order, several shots may share one; one without shots.
        journal: remembers what was exposed.
        publisher: takes the frames.
        clock: whether the host's clock is synchronised.
        inputs: where exposures and faults are told.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        cameras: Sequence[Camera],
        journal: Journal,
        publisher: Publisher,
        clock: ClockStatus,
        inputs: GatewayInputs,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._publisher = publisher
        self._clock = clock
        self._inputs = inputs
        self._shots = settings.shots or (ShotSettings(name="single"),)
        self._broken = {id(camera) for camera in cameras}
        self._stations = {id(camera): self._station(camera) for camera in cameras}
        self._by_shot = [self._stations[id(camera)] for camera in cameras]

    @property
    def count(self) -> int:
        """How many photographs a part has."""
        return len(self._by_shot)

    async def run(self) -> None:
        """Keep every camera open until cancelled."""
        async with asyncio.TaskGroup() as group:
            for station in self._stations.values():
                group.create_task(station.camera.run())

    async def close(self) -> None:
        """Close every camera."""
        for station in self._stations.values():
            await station.camera.close()

    async def adjust(self, features: Mapping[str, Feature]) -> None:
        """Give every camera these features on top of the settings', each between its exposures.

        Raises:
            CaptureError: a camera refuses one; those before it have theirs.
        """
        for station in self._stations.values():
            async with station.turn:
                await station.camera.adjust(features)

    async def expose(self, part: Part, entry: JournalEntry) -> None:
        """Take every shot of a part, and publish each once its frame id is on disk."""
        exposing = _Exposing(self.count)
        shots = [self._shot(n, part, entry, exposing) for n in range(1, self.count + 1)]
        if len(shots) == 1:
            published = [await shots[0]]
        else:
            ended = await asyncio.gather(*shots, return_exceptions=True)
            errors = [one for one in ended if isinstance(one, BaseException)]
            if errors:
                raise errors[0]
            published = [one is True for one in ended]
        if any(published):
            self._journal.append(StepLine(t="published", k=part.key))

    async def _shot(
        self, number: int, part: Part, entry: JournalEntry, exposing: _Exposing
    ) -> bool:
        """One shot; whether its frame was published."""
        taken = await self._taken(number, part)
        picture = taken if isinstance(taken, Picture) else None
        self._end(part, exposing, taken)
        entry = self._journal.entries.get(part.key, entry)
        shot = number if self.count > 1 else 0
        subject = part_events.part_on_line(self._settings, entry, self._clock, shot)
        if picture is not None:
            with contextlib.suppress(JournalError):  # the journal reports it; the part goes on
                await self._journal.commit()
            event = part_events.frame_event(subject, picture, self._shots[number - 1].light)
            await self._publisher.send(FRAMES.name, to_message(event, picture.data))
            return True
        if isinstance(taken, CaptureError) and taken.picture is not None:
            await self._keep(subject, taken, taken.picture)
        await exposing.ended.wait()
        if exposing.taken:  # without any picture the gateway holds the part itself
            verdict = part_events.failed_shot(subject, str(taken), time.time())
            await self._publisher.send(SHOTS.name, to_message(verdict))
        return False

    async def _keep(self, subject: PartOnLine, why: CaptureError, refused: Picture) -> None:
        """A picture that nobody may judge the part by goes to the history, for people."""
        picture = await asyncio.to_thread(evidence_of, refused)
        message = to_message(part_events.frame_event(subject, picture), picture.data)
        now = datetime.now(UTC)
        letter = refused_letter(
            FRAMES.name, message, Stage.CAPTURE, part_events.CAMERA_FAULT, str(why), now
        )
        try:
            await self._publisher.send(DEAD.name, letter)
        except SpoolFullError as error:
            log.warning("camera.picture_lost", part_id=subject.part_id, why=str(error))

    async def _taken(self, number: int, part: Part) -> Picture | Exception:
        try:
            return await self._take(number, part)
        except Exception as error:  # a shot that failed, however, is a shot without a picture
            words = part_events.words_of(part)
            unforeseen = None if isinstance(error, CaptureError) else error
            log.error("camera.failed", **words, shot=number, why=str(error), exc_info=unforeseen)
            return error

    async def _take(self, number: int, part: Part) -> Picture:
        station = self._by_shot[number - 1]
        shot = self._shots[number - 1]
        delay_s = shot.delay_ms / 1000
        if delay_s:
            await asyncio.sleep(max(part.triggered_at + delay_s - time.monotonic(), 0.0))
        given_at = part.triggered_at + delay_s
        trigger = replace(part.trigger, given_at=given_at, shot=shot.name)
        async with station.turn:
            return await station.camera.capture(trigger)

    def _end(self, part: Part, exposing: _Exposing, taken: Picture | Exception) -> None:
        """An exposure is over; with the last one the part may move."""
        exposing.open -= 1
        if isinstance(taken, Picture):
            exposing.taken += 1
        else:
            exposing.why = str(taken)
        if exposing.open:
            return
        if exposing.taken:
            self._journal.append(StepLine(t="captured", k=part.key, at=time.time()))
        self._inputs.apply(hs.ExposureEnded(part.key, exposing.taken > 0, exposing.why))
        exposing.ended.set()

    def _station(self, camera: Camera) -> _Station:
        def on_fault(broken: bool) -> None:
            (self._broken.add if broken else self._broken.discard)(id(camera))
            self._inputs.fault(FaultCode.CAMERA, bool(self._broken))

        return _Station(SupervisedCamera(camera, self._settings.capture_timeout_s, on_fault))
