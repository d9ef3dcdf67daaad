"""A world for the pure handshake: a controller, a camera and Kafka with random latencies."""

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID, uuid5

from connectors.handshake import (
    HandshakeConfig,
    PartKey,
    State,
    Verdict,
    next_wakeup,
    recipe_of,
    step,
)
from connectors.handshake import values as hs
from connectors.handshake.sequence import following
from connectors.handshake.signals import Owner, Signal, SignalValues
from streams.codes import AckOutcome, DecisionSource, FaultCode, ReasonCode, ResultCode
from streams.ports import Trigger

_SPACE = UUID("6b9f1d5e-4a8e-5c0f-9a53-0d1f3f6a7c12")


@dataclass
class World:
    """Discrete events in simulated time; one random generator decides every latency."""

    seed: int = 0
    config: HandshakeConfig = field(default_factory=HandshakeConfig)
    takt_ms: int = 1000
    decide_s: tuple[float, float] = (0.01, 0.3)
    silent: float = 0.0
    """Share of parts that Kafka never answers."""
    capture_fails: float = 0.0
    prepare_s: tuple[float, float] = (0.01, 0.2)
    """How long the stages take to have a recipe."""
    refused: frozenset[int] = frozenset()
    """Recipes whose expert there is not."""
    product: str = "p"

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.now = 0.0
        self.state = State(self.config)
        self.plc: dict[Signal, Any] = {s: s.default for s in Signal}
        self.plc[Signal.PLC_BOOT_ID] = 1
        self.plc[Signal.TAKT_MS] = self.takt_ms
        self.acks_withheld = False
        self.heart_stopped = False
        self.connected = False
        self.results: dict[PartKey, list[tuple[int, str, int]]] = defaultdict(list)
        """What reached the controller: result number, part, code."""
        self.result_seqs: list[int] = []
        self.triggered: dict[PartKey, str] = {}
        self.triggered_at: dict[PartKey, float] = {}
        self.reached_at: dict[PartKey, float] = {}
        self.captured: list[PartKey] = []
        self.reports: list[hs.ResultReport] = []
        self.resynchronised = 0
        self.held: set[PartKey] = set()
        """Parts that the controller held by itself, because it took the gateway for dead."""
        self._beat_at = float("-inf")
        self.changeovers: list[hs.RecipeReport] = []
        self.preparing = 0
        """The number of the change-over that the stages work at."""
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._epoch = 0
        self._wake = float("inf")
        self.later(0.25, self._beat)

    # --- time -----------------------------------------------------------------------------

    def later(self, delay: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay, self._count, action))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = end

    def feed(self, event: hs.Input) -> None:
        ready = self.state.ready
        self.state, commands = step(self.state, self.now, event)
        assert len(self.state.queue) <= self.config.unacknowledged_limit
        self._check_recipe()
        for command in commands:
            self._execute(command, ready)
        wake = next_wakeup(self.state)
        if wake < self._wake or self._wake <= self.now:
            self._wake = wake
            self.later(max(wake - self.now, 0.0005), self._tick)

    def _check_recipe(self) -> None:
        """Under a recipe nothing is undecided that another one was for."""
        state = self.state
        if not state.config.recipes or not state.has_recipe:
            return
        for part in state.parts.values():
            if part.phase is hs.Phase.OPEN and not part.missed and part.recipe:
                assert part.recipe == state.recipe_active, f"{part.key} is of {part.recipe}"

    def _tick(self) -> None:
        self._wake = float("inf")
        self.feed(hs.Notice.TICK)

    # --- the controller -------------------------------------------------------------------

    def connect(self) -> None:
        self.connected = True
        self._epoch += 1
        self.feed(hs.Connected(dict(self.plc)))

    def cut(self) -> None:
        self.connected = False
        self._epoch += 1
        self.feed(hs.Notice.DISCONNECTED)

    def trigger(self, part: str | None = None) -> PartKey:
        seq = following(self.plc[Signal.TRIGGER_SEQ])
        key = PartKey(self.plc[Signal.PLC_BOOT_ID], seq)
        part = part if part is not None else f"part-{key.plc_boot_id}-{seq}"
        self.triggered[key] = part
        self.triggered_at[key] = self.now
        self.plc.update(
            {Signal.PART_ID: part, Signal.PRODUCT_ID: self.product, Signal.TRIGGER_SEQ: seq}
        )
        self._over_wire(self._read_trigger, 0.001, 0.012)
        return key

    def _read_trigger(self) -> None:
        """The group as it stands when the gateway comes to read it."""
        trigger = Trigger(
            self.plc[Signal.PLC_BOOT_ID],
            self.plc[Signal.TRIGGER_SEQ],
            self.plc[Signal.PART_ID],
            "lot",
            self.plc[Signal.PRODUCT_ID],
            0,
            self.takt_ms,
        )
        self.feed(hs.TriggerSeen(trigger, frame_id(trigger)))

    def ask(self, recipe: int) -> int:
        """Ask for a recipe; the RecipeReqSeq."""
        seq = following(self.plc[Signal.RECIPE_REQ_SEQ])
        self.plc.update({Signal.RECIPE_REQ: recipe, Signal.RECIPE_REQ_SEQ: seq})
        self._over_wire(self._read_recipe, 0.001, 0.012)
        return seq

    def _read_recipe(self) -> None:
        self.feed(recipe_of(self.plc))

    def restart_plc(self) -> None:
        """Cold start: a new boot id, every counter 0."""
        boot = self.plc[Signal.PLC_BOOT_ID] + 1
        self.plc = {s: s.default for s in Signal}
        self.plc.update({Signal.PLC_BOOT_ID: boot, Signal.TAKT_MS: self.takt_ms})
        self.result_seqs.append(0)

    def _beat(self) -> None:
        if not self.heart_stopped and self.connected:
            beat = self.plc[Signal.PLC_HEARTBEAT] = self.plc[Signal.PLC_HEARTBEAT] + 1
            moved = hs.CounterMoved(Signal.PLC_HEARTBEAT, beat)
            self._over_wire(lambda: self.feed(moved), 0.001, 0.01)
        self.later(0.5, self._beat)

    def _over_wire(self, action: Callable[[], None], low: float, high: float) -> None:
        """Happens only if the connection of now still stands then."""
        epoch = self._epoch
        self.later(
            self.rng.uniform(low, high),
            lambda: action() if self.connected and epoch == self._epoch else None,
        )

    def _take_status(self, values: SignalValues, ordered_at: float) -> None:
        self.plc.update(values)
        if Signal.VISION_HEARTBEAT in values:
            self._hold_open_parts()
            self._beat_at = self.now
            self.feed(hs.BeatWritten(ordered_at))

    def _hold_open_parts(self) -> None:
        """As a controller does that heard no heartbeat for the dead time."""
        if self.now - self._beat_at >= self.config.dead_after_s:
            self.held |= self.triggered.keys() - self.results.keys()

    def _take_result(self, command: hs.WriteResult) -> None:
        part = command.part
        assert part.verdict is not None
        self._hold_open_parts()
        self.plc[Signal.RESULT_TRIGGER_SEQ] = part.key.trigger_seq
        self.plc[Signal.RESULT_SEQ] = part.result_seq
        row = (part.result_seq, part.trigger.part_id, int(part.verdict.code))
        if row not in self.results[part.key]:
            self.results[part.key].append(row)
            self.reached_at.setdefault(part.key, self.now)
            self.result_seqs.append(part.result_seq)
        if not self.acks_withheld:
            self.later(self.rng.uniform(0.001, 0.02), self.acknowledge)

    def acknowledge(self) -> None:
        seq = self.plc[Signal.RESULT_SEQ]
        self.plc[Signal.RESULT_ACK_SEQ] = seq
        self._over_wire(
            lambda: self.feed(hs.CounterMoved(Signal.RESULT_ACK_SEQ, seq)), 0.001, 0.012
        )

    # --- the shell ------------------------------------------------------------------------

    def _execute(self, command: hs.Command, ready: bool) -> None:
        match command:
            case hs.WriteStatus(values):
                assert all(s.owner is Owner.GATEWAY for s in values)
                self._over_wire(partial(self._take_status, values, self.now), 0.001, 0.005)
            case hs.WriteResult(part):
                boot = part.key.plc_boot_id

                def arrive() -> None:
                    if boot == self.plc[Signal.PLC_BOOT_ID]:
                        self._take_result(command)
                        self._over_wire(lambda: self.feed(hs.ResultWritten(part.key)), 0, 0.005)

                # A write may reach the controller although its answer is lost with the link.
                if self.rng.random() < 0.5:
                    arrive()
                else:
                    self._over_wire(arrive, 0.001, 0.005)
            case hs.Capture(part):
                assert ready, "captured while not Ready"
                assert part.key.trigger_seq != 0
                self.captured.append(part.key)
                self.later(self.rng.uniform(0.001, 0.03), lambda: self._shoot(part))
            case hs.Decide(part, reason):
                frame = part.frame_id or frame_id(part.trigger)
                code = ResultCode.REWORK if reason is ReasonCode.NO_DECISION else ResultCode.HOLD
                answer = verdict(frame, DecisionSource.WATCHDOG, code, reason)
                self.feed(hs.Decided(part.key, frame, answer))
            case hs.ResultReport():
                self.reports.append(command)
            case hs.Resynchronised():
                self.resynchronised += 1
            case hs.PrepareRecipe() | hs.AbandonRecipe() | hs.RecipeReport():
                self._recipe(command)

    def _recipe(self, command: hs.PrepareRecipe | hs.AbandonRecipe | hs.RecipeReport) -> None:
        match command:
            case hs.PrepareRecipe(changeover):
                assert self.state.exposing is None, "the camera is set during an exposure"
                assert not self.state.ready
                self.preparing = changeover.number
                self.later(self.rng.uniform(*self.prepare_s), lambda: self._prepared(changeover))
            case hs.AbandonRecipe(changeover):
                self.preparing = 0
                code, why = FaultCode.RECIPE_TIMEOUT, "given up"
                back = hs.RecipeRefused(changeover.number, code, why)
                self.later(self.rng.uniform(0.001, 0.02), lambda: self.feed(back))
            case hs.RecipeReport():
                self.changeovers.append(command)

    def _prepared(self, changeover: hs.Changeover) -> None:
        if self.preparing != changeover.number:
            return  # left for another one
        if changeover.recipe in self.refused:
            code = FaultCode.RECIPE_EXPERT
            self.feed(hs.RecipeRefused(changeover.number, code, "no expert"))
        else:
            self.feed(hs.RecipePrepared(changeover.number))

    def _shoot(self, part: hs.Part) -> None:
        if self.rng.random() < self.capture_fails:
            self.feed(hs.ExposureEnded(part.key, captured=False))
            return
        self.feed(hs.ExposureEnded(part.key))
        assert part.frame_id is not None
        if self.rng.random() >= self.silent:
            answer = verdict(part.frame_id, DecisionSource.EXPERT, ResultCode.PASS)
            event = hs.Decided(part.key, part.frame_id, answer)
            self.later(self.rng.uniform(*self.decide_s), lambda: self.feed(event))
            if self.rng.random() < 0.1:  # redelivered
                self.later(self.rng.uniform(*self.decide_s), lambda: self.feed(event))

    # --- what must hold -------------------------------------------------------------------

    def check(self, repeated: bool = False) -> None:
        """The guarantees, whatever happened.

        Args:
            repeated: the same outcome may be reported again: its event has one identity.
        """
        for key, rows in self.results.items():
            assert len({row[0] for row in rows}) == 1, f"{key} got {rows}"
            assert rows[0][1] in ("", self.triggered[key]), f"{key} got another part's result"
        for before, after in itertools.pairwise(self.result_seqs):
            assert after == 0 or after == following(before), f"ResultSeq {before} then {after}"
        own = [r for r in self.reports if r.part is not None and r.part.verdict is r.verdict]
        per_part = defaultdict(list)
        for report in own:
            per_part[report.key].append(report.outcome)
        for found in per_part.values():
            assert len(set(found) if repeated else found) == 1, per_part
        for report in own:
            if report.outcome is AckOutcome.ACKNOWLEDGED and report.key in self.held:
                assert report.detail, f"{report.key} was held, and its result is said to be taken"
            self._check_late(report)
        for key in self.results:
            if key.plc_boot_id == self.plc[Signal.PLC_BOOT_ID] and key not in self.state.parts:
                assert key in per_part, f"{key} was written and never reported"

    def _check_late(self, report: hs.ResultReport) -> None:
        """What reached the controller after its window is said to be late, and what came in time
        is not, but for the ways of trigger and result, and triggers that nobody saw."""
        reached = self.reached_at.get(report.key)
        part = report.part
        triggered = self.triggered_at.get(report.key)
        if reached is None or part is None or triggered is None:
            return
        over_s = reached - triggered - self.config.window_s(self.takt_ms)
        if over_s > 0.03 and report.outcome is not AckOutcome.OLD_BOOT:
            assert report.outcome is AckOutcome.LATE or part.ordered_at == part.written_at, (
                f"{report.key} came {over_s:.3f} s after its window: {report}"
            )
        if report.outcome is AckOutcome.LATE and over_s < -0.03:
            assert part.missed, f"{report.key} came in time: {report}"

    def outcomes(self) -> dict[PartKey, AckOutcome]:
        return {r.key: r.outcome for r in self.reports if r.part is not None}


def frame_id(trigger: Trigger) -> UUID:
    return uuid5(_SPACE, f"{trigger.plc_boot_id}/{trigger.trigger_seq}/{trigger.part_id}")


def verdict(
    frame: UUID,
    source: DecisionSource,
    code: ResultCode,
    reason: ReasonCode = ReasonCode.NORMAL,
) -> Verdict:
    return Verdict(uuid5(frame, source.value), source, code, reason)
