"""The journal's lines as models, and what they add up to. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from connectors.gateway.journal_frames import unframed
from connectors.handshake import HandshakeConfig, Part, PartKey, Phase, State, Verdict, restore
from connectors.handshake.sequence import steps
from streams.ids import new_frame_id
from streams.ports import Trigger


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)


class RunLine(_Line):
    """The controller's run ``b`` and last trigger ``s``; ``new``: its older parts are void."""

    t: Literal["run"]
    b: int | None
    s: int
    new: bool = False
    r: int | None = None
    """``ResultSeq`` as it stood then; absent in journals of earlier versions."""


class AlertLine(_Line):
    """An alert of the moment ``at``, seconds since the epoch, has become a ``StopRequest``."""

    t: Literal["alert"]
    at: float


class JournalEntry(_Line):
    """What is known of one trigger. Times are seconds since the epoch.

    It is a line of its own when the trigger is minted, and again at a compaction (``part``).
    """

    t: Literal["minted", "part"]
    key: PartKey = Field(alias="k")
    frame_id: UUID = Field(alias="f")
    shots: tuple[UUID, ...] = Field(default=(), alias="fs")
    """The frames of the shots after the first, where a part has several: minted with it."""
    group: tuple[str, str, str, int, int] = Field(alias="g")
    """Part, lot, product, encoder position and takt."""
    triggered_at: float = Field(alias="at")
    clock: tuple[str, float] | None = Field(default=None, alias="mo")
    """The host's boot, and its monotonic clock at the trigger, seconds: no clock step moves it."""
    window_s: float = Field(alias="w")
    missed: bool = Field(default=False, alias="m")
    captured: bool = Field(default=False, alias="c")
    captured_at: float | None = Field(default=None, alias="ca")
    published: bool = Field(default=False, alias="p")
    verdict: Verdict | None = Field(default=None, alias="v")
    decision: str = Field(default="", alias="d")
    """The gateway's own decision as JSON; empty once the broker has it."""
    result_seq: int = Field(default=0, alias="r")
    ordered_at: float | None = Field(default=None, alias="oa")
    written_at: float | None = Field(default=None, alias="wa")
    acknowledgement: str = Field(default="", alias="a")
    """The outcome as JSON; empty once the broker has it."""
    closed: bool = Field(default=False, alias="z")
    recipe: int = Field(default=0, alias="q")
    """The recipe in force at the trigger; 0: none."""

    @classmethod
    def minted(
        cls,
        trigger: Trigger,
        frame_ids: Sequence[UUID],
        at: float,
        window_s: float,
        missed: bool = False,
        clock: tuple[str, float] | None = None,
        recipe: int = 0,
    ) -> "JournalEntry":
        """The entry of a trigger that was seen at ``at``, with a frame id for each shot."""
        t = trigger
        return cls(
            t="minted",
            key=PartKey(t.plc_boot_id, t.trigger_seq),
            frame_id=frame_ids[0],
            shots=tuple(frame_ids[1:]),
            group=(t.part_id, t.lot_id, t.product_id, t.encoder_pos, t.takt_ms),
            triggered_at=at,
            clock=clock,
            window_s=window_s,
            missed=missed,
            recipe=recipe,
        )

    @property
    def frame_ids(self) -> tuple[UUID, ...]:
        """One for each shot, in order; the first is the part's identity."""
        return self.frame_id, *self.shots

    @property
    def part_captured_at(self) -> float:
        """The moment that every event of the part states as its capture.

        It is the trigger's until a picture is there, and for good when the gateway had to decide
        without one: a picture that comes later keeps the moment that the decision has stated.
        """
        if self.captured_at is None or self.shots:  # several exposures have one trigger
            return self.triggered_at
        return self.captured_at

    @property
    def trigger(self) -> Trigger:
        """What the controller wrote with the trigger."""
        boot_id, seq = self.key
        return Trigger(boot_id, seq, *self.group)


class StepLine(_Line):
    """One step of a part whose entry stands in an earlier line."""

    t: Literal[
        "captured",
        "published",
        "decided",
        "decision_sent",
        "writing",
        "written",
        "outcome",
        "closed",
    ]
    k: PartKey
    v: Verdict | None = None
    d: str = ""
    r: int = 0
    at: float | None = None
    a: str = ""


@dataclass
class Recovered:
    """What a journal knew: the controller's run, its last trigger, and parts by key."""

    plc_boot_id: int | None = None
    last_trigger_seq: int = 0
    result_seq: int | None = None
    """The newest ``ResultSeq`` that was ordered or read; None: the journal does not say."""
    result_is_stated: bool = False
    """Whether a line says so: the parts of an earlier version's journal only tell by theirs."""
    entries: dict[PartKey, JournalEntry] = field(default_factory=dict)
    alerted_at: float = 0.0
    """Alerts up to this moment have become a ``StopRequest``, which may have been reset."""
    damage: list[str] = field(default_factory=list)
    """What is wrong with the file, in words: then it may not be the whole story."""


JournalLine = RunLine | AlertLine | JournalEntry | StepLine
_LINES: TypeAdapter[JournalLine] = TypeAdapter(Annotated[JournalLine, Field(discriminator="t")])


def encode_line(line: JournalLine) -> bytes:
    """A line's body.

    >>> encode_line(RunLine(t="run", b=7, s=41))
    b'{"t":"run","b":7,"s":41}'
    """
    return line.model_dump_json(exclude_defaults=True, by_alias=True).encode()


def replay(data: bytes) -> tuple[Recovered, int, int]:
    """Read lines: what they say, how many of the bytes are whole lines, and the last's number."""
    known, found = Recovered(), unframed(data)
    known.damage = found.damage
    for body in found.bodies:
        try:
            apply_line(known, _LINES.validate_json(body))
        except ValueError as error:
            known.damage.append(f"a line cannot be read: {error}")
    return known, found.whole_bytes, found.last


def snapshot_lines(known: Recovered) -> Iterator[bytes]:
    """The fewest lines that replay to the same."""
    if known.plc_boot_id is not None:
        run = RunLine(t="run", b=known.plc_boot_id, s=known.last_trigger_seq, r=known.result_seq)
        yield encode_line(run)
    if known.alerted_at:
        yield encode_line(AlertLine(t="alert", at=known.alerted_at))
    for entry in known.entries.values():
        yield encode_line(entry.model_copy(update={"t": "part"}))


def apply_line(known: Recovered, line: JournalLine) -> None:
    """Add one line to what is known."""
    match line:
        case RunLine():
            if line.new:
                known.entries = {k: e for k, e in known.entries.items() if k.plc_boot_id != line.b}
            known.plc_boot_id, known.last_trigger_seq = line.b, line.s
            if line.r is not None:
                known.result_seq, known.result_is_stated = line.r, True
        case AlertLine():
            known.alerted_at = max(known.alerted_at, line.at)
        case JournalEntry():
            known.entries[line.key] = line
            if line.t == "minted":
                known.plc_boot_id, known.last_trigger_seq = line.key
            elif line.key.plc_boot_id == known.plc_boot_id and not known.result_is_stated:
                known.result_seq = _later(known.result_seq, line.result_seq)
        case StepLine():
            if line.t == "writing":
                known.result_seq, known.result_is_stated = line.r, True
            if line.k in known.entries:
                known.entries[line.k] = _advance(known.entries[line.k], line)


def _later(known: int | None, found: int) -> int | None:
    if found == 0 or (known is not None and steps(known, found) <= 0):
        return known
    return found


def _advance(entry: JournalEntry, line: StepLine) -> JournalEntry:
    changes: dict[str, object] = {}
    match line.t:
        case "captured":
            moment = entry.triggered_at if entry.verdict is not None else line.at
            changes = {"captured": True, "captured_at": moment}
        case "published":
            changes = {"published": True}
        case "decided":
            changes = {"verdict": line.v, "decision": line.d}
        case "decision_sent":
            changes = {"decision": ""}
        case "writing":
            changes = {"result_seq": line.r, "verdict": line.v, "ordered_at": line.at}
        case "written":
            changes = {"written_at": line.at}
        case "outcome":
            changes = {"acknowledgement": line.a}
        case "closed":
            changes = {"acknowledgement": "", "closed": True}
    return entry.model_copy(update=changes)


def entry_of(part: Part, shots: int, now: float, wall: float, host: str) -> JournalEntry:
    """A new entry of a part, with a frame id for each shot.

    Args:
        shots: how many photographs are taken of a part.
        now: monotonic time, seconds; the same moment as
        wall: seconds since the epoch.
        host: this boot of the host; empty when it has no name.
    """
    more = 0 if part.missed else shots - 1
    frames = [part.frame_id or new_frame_id(), *(new_frame_id() for _ in range(more))]
    clock = (host, round(part.triggered_at, 4)) if host else None
    at, window_s = wall - (now - part.triggered_at), part.deadline - part.triggered_at
    return JournalEntry.minted(part.trigger, frames, at, window_s, part.missed, clock, part.recipe)


def recover(
    config: HandshakeConfig, known: Recovered, now: float, wall: float, host: str = ""
) -> State:
    """The handshake's state with which a restarted gateway begins.

    Args:
        now: monotonic time, seconds; the same moment as
        wall: seconds since the epoch.
        host: this boot of the host, as in ``JournalEntry.clock``; empty when it has no name.
    """
    parts = [
        _part(entry, now, wall, host)
        for entry in known.entries.values()
        if entry.key.plc_boot_id == known.plc_boot_id
        and not entry.closed
        and not entry.acknowledgement
    ]
    closed = {
        entry.key: entry.verdict.result_id
        for entry in known.entries.values()
        if (entry.closed or entry.acknowledgement) and entry.verdict is not None
    }
    of_run = (e for e in known.entries.values() if e.key.plc_boot_id == known.plc_boot_id)
    newest = max((_monotonic(entry, now, wall, host) for entry in of_run), default=0.0)
    return restore(
        config,
        known.plc_boot_id,
        known.last_trigger_seq,
        parts,
        closed,
        result_seq=known.result_seq,
        whole=not known.damage,
        heard_at=newest,
    )


def _part(entry: JournalEntry, now: float, wall: float, host: str) -> Part:
    """An open part. Without a picture it is held as soon as the line is back (``asked``)."""
    phase = Phase.OPEN
    if entry.result_seq:
        phase = Phase.WRITTEN if entry.written_at is not None else Phase.WRITING
    elif entry.verdict is not None:
        phase = Phase.QUEUED
    triggered_at = _monotonic(entry, now, wall, host)
    offset = triggered_at - entry.triggered_at
    return Part(
        key=entry.key,
        trigger=entry.trigger,
        frame_id=entry.frame_id,
        triggered_at=triggered_at,
        deadline=triggered_at + entry.window_s,
        missed=entry.missed,
        phase=phase,
        asked=entry.missed or not entry.captured,
        verdict=entry.verdict,
        result_seq=entry.result_seq,
        ordered_at=min(entry.ordered_at + offset, now) if entry.ordered_at is not None else None,
        written_at=min(entry.written_at + offset, now) if entry.written_at is not None else None,
        recipe=entry.recipe,
    )


def _monotonic(entry: JournalEntry, now: float, wall: float, host: str) -> float:
    """When the part was triggered, on today's monotonic clock: never later than now, so that a
    clock that was set back gives no part more than its window from here.

    Within one boot of the host the clock of then goes on, whatever the wall clock did. After
    another boot only the wall clocks can be compared.
    """
    if entry.clock is not None and host and entry.clock[0] == host:
        return min(entry.clock[1], now)
    return min(entry.triggered_at + now - wall, now)
