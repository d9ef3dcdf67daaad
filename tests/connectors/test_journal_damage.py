"""A journal that is damaged, cut or an old copy: the gateway starts, and no part is acted on twice.

The world's controller keeps what it was told; the journal of a line that ran is damaged in every
way, and a gateway starts with it beside the controller as it stands, hears every decision again and
goes on. ``World.check`` fails where a trigger gets two result numbers.
"""

import copy
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from connectors.gateway.journal_entries import (
    JournalEntry,
    JournalLine,
    RunLine,
    StepLine,
    encode_line,
    recover,
    replay,
)
from connectors.gateway.journal_frames import framed
from connectors.handshake import HandshakeConfig, PartKey
from connectors.handshake import values as hs
from connectors.handshake.signals import Signal
from streams.codes import AckOutcome, DecisionSource, ResultCode
from tests.connectors.world import World, frame_id, verdict

HOST = "boot-a"
EVERY = max(1, int(os.environ.get("ANDON_TEST_DAMAGE_EVERY", "29")))
"""Every so many bytes are flipped; 1 flips each of them."""


@dataclass
class JournalledWorld(World):
    """A world whose gateway keeps a journal as ``connectors.gateway.core`` does."""

    bodies: list[bytes] = field(default_factory=list)
    behind: int = 0
    disk_full: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.known: dict[PartKey, hs.Part] = {}

    @property
    def journal(self) -> bytes:
        return framed(self.bodies, 0)

    def note(self, line: JournalLine) -> None:
        if not self.disk_full:
            self.bodies.append(encode_line(line))

    def connect(self) -> None:
        super().connect()
        self._remember()

    def feed(self, event: hs.Input) -> None:
        if isinstance(event, hs.ExposureEnded) and event.captured:
            self.note(StepLine(t="captured", k=event.key, at=self.now))
        if isinstance(event, hs.ResultWritten):
            self.note(StepLine(t="written", k=event.key, at=self.now))
        super().feed(event)

    def _execute(self, command: hs.Command, ready: bool) -> None:
        match command:
            case hs.Capture(part):
                self._mint(part)
            case hs.Decide(part, reason):
                self._mint(part)
                frame = part.frame_id or frame_id(part.trigger)
                answer = verdict(frame, DecisionSource.WATCHDOG, ResultCode.HOLD, reason)
                self.note(StepLine(t="decided", k=part.key, v=answer))
            case hs.WriteResult(part):
                seq, answer = part.result_seq, part.verdict
                self.note(StepLine(t="writing", k=part.key, r=seq, v=answer, at=self.now))
            case hs.ResultReport(part=part, key=key, verdict=told):
                if part is not None and part.verdict is told:
                    self.note(StepLine(t="closed", k=key))
            case hs.MemoryBehind(_, dropped):
                self.behind += 1
                for part in dropped:
                    self.note(StepLine(t="closed", k=part.key))
            case hs.Resynchronised():
                self._remember(new=True)
        super()._execute(command, ready)

    def _mint(self, part: hs.Part) -> None:
        if part.key not in self.known:
            self.known[part.key] = part
            frames, window_s = [part.frame_id or frame_id(part.trigger)], self.config.window_s(1000)
            clock = (HOST, part.triggered_at)
            self.note(JournalEntry.minted(part.trigger, frames, 0.0, window_s, part.missed, clock))

    def _remember(self, new: bool = False) -> None:
        state = self.state
        boot, last, result = state.plc_boot_id, state.last_trigger_seq, state.result_seq
        self.note(RunLine(t="run", b=boot, s=last, new=new, r=result))

    def restart(self, journal: bytes) -> None:
        """The gateway is killed, and starts with this journal; the broker repeats its decisions."""
        self.cut()
        known, good, _ = replay(journal)
        self.bodies = list(_bodies(journal[:good]))
        self.known = {}
        self.state = recover(self.config, known, self.now, self.now, HOST)
        self.connect()
        for key, part in self.triggered.items():
            frame = frame_id_of(self, key, part)
            answer = verdict(frame, DecisionSource.EXPERT, ResultCode.PASS)
            self.feed(hs.Decided(key, frame, answer))


def _bodies(data: bytes) -> Iterator[bytes]:
    for line in data.splitlines():
        yield line.split(b" ", 2)[-1]


def frame_id_of(world: World, key: PartKey, part: str) -> Any:
    from streams.ports import Trigger

    return frame_id(Trigger(key.plc_boot_id, key.trigger_seq, part, "lot", "p", 0, world.takt_ms))


def played(parts: int, seed: int = 5) -> JournalledWorld:
    """A line that ran; the last parts are under way."""
    world = JournalledWorld(seed=seed, config=HandshakeConfig(result_window_ms=60_000), silent=0.2)
    world.connect()
    world.run(1.0)
    for _ in range(parts):
        world.trigger()
        world.run(world.rng.uniform(0.05, 0.4))
    return world


def goes_on(world: JournalledWorld, journal: bytes) -> JournalledWorld:
    """A copy of the line, restarted with this journal, that plays two more parts."""
    line = copy.deepcopy(world)
    line._queue.clear()
    line.later(0.1, line._beat)
    line.restart(journal)
    line.run(2.0)
    for _ in range(2):
        line.trigger()
        line.run(1.0)
    line.check(repeated=True)
    applied = [len(rows) for rows in line.results.values()]
    assert max(applied, default=0) <= 1
    last = line.plc[Signal.TRIGGER_SEQ]
    assert line.results[PartKey(1, last)] or PartKey(1, last) in line.state.parts, "goes on"
    return line


def test_a_sound_journal_is_believed() -> None:
    world = played(12)
    line = goes_on(world, world.journal)
    assert line.behind == 0
    torn = goes_on(world, world.journal + b"1234 99 {torn")
    assert torn.behind == 0


@pytest.mark.parametrize("bits", [1, 0x20, 0xFF])
def test_any_byte_flipped(bits: int) -> None:
    world = played(6)
    data = world.journal
    for at in range(0, len(data), EVERY):
        goes_on(world, data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :])


def test_any_byte_became_the_end_of_a_line() -> None:
    world = played(6)
    data = world.journal
    for at in range(3, len(data), 2 * EVERY):
        for end in (b"\n", b"\r"):
            goes_on(world, data[:at] + end + data[at + 1 :])


def test_cut_anywhere() -> None:
    world = played(6)
    data = world.journal
    for at in range(0, len(data), EVERY):
        goes_on(world, data[:at])
    ends = [n for n, byte in enumerate(data, 1) if byte == 10]
    for at in ends:
        goes_on(world, data[:at])


def test_any_line_taken_out_or_the_head_cut_off() -> None:
    world = played(6)
    lines = world.journal.splitlines(keepends=True)
    for n in range(len(lines)):
        goes_on(world, b"".join(lines[:n] + lines[n + 1 :]))
        goes_on(world, b"".join(lines[n:]))


def test_an_old_copy() -> None:
    """Three, fifty and a hundred parts old: nothing twice, and the next part is served."""
    world = JournalledWorld(seed=9, config=HandshakeConfig(result_window_ms=60_000), silent=0.1)
    world.connect()
    world.run(1.0)
    copies = {}
    for number in range(130):
        copies[number] = world.journal
        world.trigger()
        world.run(world.rng.uniform(0.05, 0.4))
    for age in (3, 50, 100):
        line = goes_on(world, copies[130 - age])
        assert line.behind == 1
        said = {r.key for r in line.reports if r.part and r.outcome is AckOutcome.ACKNOWLEDGED}
        assert said <= {key for key, rows in line.results.items() if rows}


def test_a_disk_that_took_nothing_before_the_restart() -> None:
    """The results went out all the same: the controller's numbers tell that they did."""
    world = played(5)
    world.disk_full = True
    for _ in range(4):
        world.trigger()
        world.run(0.5)
    line = goes_on(world, world.journal)
    assert line.behind == 1


@pytest.mark.parametrize("seed", range(20))
def test_any_history_any_damage(seed: int) -> None:
    rng = random.Random(seed)
    world = played(rng.randrange(1, 25), seed)
    data = bytearray(world.journal)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at:]
            case 2:
                del data[at : at + rng.randrange(1, 300)]
            case _:
                data[at : at + 4096] = bytes(min(4096, len(data) - at))  # a page of zeros
        if not data:
            break
    goes_on(world, bytes(data))
