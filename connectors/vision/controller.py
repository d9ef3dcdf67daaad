"""A line controller within the process: its side of the handshake, for jobs instead of parts.

It is a ``LineLink`` without a network, so the gateway's core serves it as it serves every
controller, with the same guarantees: a journal, a watchdog, one result per trigger. Like every
controller it holds a part by itself when nothing was written within the result window.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from connectors.errors import LinkError
from connectors.handshake.config import HandshakeConfig
from connectors.handshake.sequence import following
from connectors.handshake.signals import (
    WATCHED,
    Owner,
    Signal,
    SignalValue,
    SignalValues,
    number,
)
from connectors.handshake.state import BLOCKING_FAULTS, RECIPE_FAULTS
from connectors.handshake.values import Connected, Notice, TriggerAge
from connectors.line_link import Changed, LinkEvent
from connectors.vision.jobs import Job, JobResult
from streams.codes import DecisionSource, FaultCode, ReasonCode, ResultCode

_SOURCES = {source.code: source for source in DecisionSource}
_NO_CLASS = -1
_DOWN = BLOCKING_FAULTS | {FaultCode.PLC_HEARTBEAT}


class NotReadyError(LinkError):
    """The gateway would not capture a trigger now."""


@dataclass
class _Triggered:
    """One trigger that has no result yet."""

    job: Job
    started_at: datetime
    window: asyncio.TimerHandle
    settled: "asyncio.Future[JobResult]"
    exposed_at: datetime | None = None


@dataclass
class ControllerEvents:
    """Whom the controller tells; each is called in the event loop and must not block."""

    acquired: Callable[[Job], None] = lambda _: None
    """The exposure is done: the part may move."""
    decided: Callable[[JobResult], None] = lambda _: None
    """Exactly once for each trigger."""
    status: Callable[[], None] = lambda: None
    """The gateway wrote what it is ready for, or a fault."""


@dataclass(eq=False)
class JobController:
    """Gives triggers to the gateway and takes its results.

    Args:
        config: heartbeats and the result window of the gateway that serves it.
        window_ms: the result window where the gateway's settings say none, milliseconds.
        is_simulated: results are of a demo or test.
        boot_id: another number after every start; the time by default.
    """

    config: HandshakeConfig
    window_ms: int
    is_simulated: bool = False
    boot_id: int = field(default_factory=lambda: int(time.time()) & 0xFFFFFFFF)
    tell: ControllerEvents = field(default_factory=ControllerEvents)

    def __post_init__(self) -> None:
        self.values: dict[Signal, SignalValue] = {s: s.default for s in Signal}
        self.values |= {Signal.PLC_BOOT_ID: self.boot_id, Signal.TAKT_MS: self.window_ms}
        self._open: dict[int, _Triggered] = {}
        self._recipe: tuple[int, asyncio.Future[FaultCode]] | None = None
        self._on_event: Callable[[LinkEvent], None] | None = None

    # --- for the vision system ------------------------------------------------------------

    @property
    def fault(self) -> FaultCode:
        """What is wrong with the gateway."""
        return FaultCode(number(self.values, Signal.FAULT_CODE))

    @property
    def is_down(self) -> bool:
        """Whether the gateway is away, or has a fault with which it captures nothing."""
        return not self.values[Signal.ONLINE] or self.fault in _DOWN

    @property
    def small_fault(self) -> FaultCode:
        """A fault of the gateway with which it still captures; ``NONE`` without one."""
        return FaultCode.NONE if self.fault in _DOWN else self.fault

    @property
    def asks_to_stop(self) -> bool:
        """Whether a limit across parts, or a part judged wrongly, asks the line to stop."""
        return bool(self.values[Signal.STOP_REQUEST])

    @property
    def is_ready(self) -> bool:
        """Whether a trigger that is given now will be captured."""
        shown = [self.values[s] for s in (Signal.ONLINE, Signal.READY, Signal.TRIGGER_ACK_SEQ)]
        return shown == [True, True, self.values[Signal.TRIGGER_SEQ]]

    def trigger(self, job: Job) -> "asyncio.Future[JobResult]":
        """Say that the job's part is in front of the camera; the future is its one result.

        Raises:
            NotReadyError: the gateway would miss it.
        """
        if not self.is_ready:
            raise NotReadyError("the gateway is not ready for a trigger")
        loop = asyncio.get_running_loop()
        seq = following(number(self.values, Signal.TRIGGER_SEQ))
        window = loop.call_later(self.config.window_s(self.window_ms), self._default, seq)
        found = _Triggered(job, datetime.now(UTC), window, loop.create_future())
        self._open[seq] = found
        self.put(
            {
                Signal.PART_ID: job.part_id,
                Signal.LOT_ID: job.lot_id,
                Signal.PRODUCT_ID: job.product_id,
            }
        )
        self.put({Signal.TRIGGER_SEQ: seq})
        return found.settled

    def request_recipe(self, number_: int) -> "asyncio.Future[FaultCode]":
        """Ask for a recipe of ``gateway.recipes``; the future is ``NONE`` once every stage has it,
        or why it cannot be had. A request that is under way is given up for it."""
        if self._recipe is not None and not self._recipe[1].done():
            self._recipe[1].set_result(FaultCode.RECIPE_TIMEOUT)
        seq = following(self._now(Signal.RECIPE_REQ_SEQ))
        answer: asyncio.Future[FaultCode] = asyncio.get_running_loop().create_future()
        self._recipe = (seq, answer)
        self.put({Signal.RECIPE_REQ: number_})
        self.put({Signal.RECIPE_REQ_SEQ: seq})
        return answer

    def reset_faults(self) -> None:
        """Acknowledge what stands until a reset, such as a request to stop."""
        self.put({Signal.FAULT_RESET_SEQ: following(number(self.values, Signal.FAULT_RESET_SEQ))})

    # --- for the gateway: LineLink --------------------------------------------------------

    async def run(self, on_event: Callable[[LinkEvent], None]) -> None:
        """As the port says; this controller is always there."""
        on_event(Connected(dict(self.values)))
        self._on_event = on_event
        try:
            while True:
                await asyncio.sleep(self.config.heartbeat_s)
                self.put({Signal.PLC_HEARTBEAT: following(self._now(Signal.PLC_HEARTBEAT))})
        finally:
            self._on_event = None
            on_event(Notice.DISCONNECTED)

    async def read(self, signals: Iterable[Signal]) -> dict[Signal, SignalValue]:
        """As the port says."""
        self._check()
        return {signal: self.values[signal] for signal in signals}

    def trigger_age(self) -> TriggerAge:
        """As the port says; a job is told of at once."""
        return TriggerAge()

    async def write(self, values: SignalValues) -> frozenset[Signal]:
        """As the port says."""
        self._check()
        refused = frozenset(s for s in values if s.owner is not Owner.GATEWAY)
        mine = {s: v for s, v in values.items() if s not in refused}
        self.values |= mine
        if Signal.EXPOSURE_DONE_SEQ in mine:
            self._exposed(self._now(Signal.EXPOSURE_DONE_SEQ))
        if Signal.RESULT_SEQ in mine:
            self._take_result()
        if Signal.RECIPE_ACK_SEQ in mine:
            self._recipe_answered()
        self.tell.status()
        return refused

    # --- inside ---------------------------------------------------------------------------

    def _check(self) -> None:
        if self._on_event is None:
            raise LinkError("the controller of the vision server is not running")

    def _now(self, signal: Signal) -> int:
        return number(self.values, signal)

    def put(self, values: SignalValues) -> None:
        """Write signals as the controller, and tell the gateway of those that it watches."""
        self.values |= values
        watched = {s: v for s, v in values.items() if s in WATCHED}
        if self._on_event is not None and watched:
            self._on_event(Changed(watched))

    def _recipe_answered(self) -> None:
        """The acknowledgement stands beside the recipe in force, and the reason of a refusal."""
        if self._recipe is None or self._recipe[0] != self._now(Signal.RECIPE_ACK_SEQ):
            return
        answer, self._recipe = self._recipe[1], None
        is_active = self._now(Signal.RECIPE_ACTIVE) == self._now(Signal.RECIPE_REQ)
        if not answer.done():
            refusal = self.fault if self.fault in RECIPE_FAULTS else FaultCode.NONE
            if not is_active and refusal is FaultCode.NONE:
                refusal = FaultCode.RECIPE_TIMEOUT
            answer.set_result(refusal)

    def _exposed(self, seq: int) -> None:
        found = self._open.get(seq)
        if found is not None and found.exposed_at is None:
            found.exposed_at = datetime.now(UTC)
            self.tell.acquired(found.job)

    def _take_result(self) -> None:
        """The first result within the window decides the part; the gateway's answer is told."""
        values, seq = self.values, self._now(Signal.RESULT_TRIGGER_SEQ)
        decided_at = values[Signal.RESULT_TIME]
        assert isinstance(decided_at, datetime)
        score = values[Signal.SCORE]
        assert isinstance(score, float | int)
        self._settle(
            seq,
            code=ResultCode(self._now(Signal.RESULT_CODE)),
            reason=ReasonCode(self._now(Signal.REASON_CODE)),
            source=_SOURCES.get(self._now(Signal.DECISION_SOURCE)),
            class_id=self._now(Signal.CLASS_ID),
            score=float(score),
            decided_at=decided_at,
        )
        acknowledged = {Signal.RESULT_ACK_SEQ: self._now(Signal.RESULT_SEQ)}
        asyncio.get_running_loop().call_soon(self.put, acknowledged)  # after the gateway's write

    def _default(self, seq: int) -> None:
        """Without a result within the window the part is held."""
        now, none = datetime.now(UTC), ReasonCode.NO_DECISION
        self._settle(seq, ResultCode.HOLD, none, None, _NO_CLASS, 0.0, now)

    def _settle(
        self,
        seq: int,
        code: ResultCode,
        reason: ReasonCode,
        source: DecisionSource | None,
        class_id: int,
        score: float,
        decided_at: datetime,
    ) -> None:
        found = self._open.pop(seq, None)
        if found is None:
            return
        found.window.cancel()
        result = JobResult(
            job=found.job,
            result_id=f"{self.boot_id}-{seq}",
            code=code,
            reason=reason,
            source=source,
            class_id=class_id,
            score=score,
            started_at=found.started_at,
            exposed_at=found.exposed_at,
            decided_at=decided_at,
            is_simulated=self.is_simulated,
        )
        if not found.settled.done():  # whoever waited may have been cancelled
            found.settled.set_result(result)
        self.tell.decided(result)
