"""The gateway's core joins controller, camera, journal, spool and Kafka to the handshake.

The state machine (``connectors.handshake``) takes every decision, and its commands are carried out
here: captures run beside each other, writes to the controller one after another.
"""

import asyncio
import time
from collections.abc import Coroutine
from functools import partial

import structlog

from connectors.errors import ConnectorError, JournalError, LinkError
from connectors.gateway import part_events
from connectors.gateway.adapters import GatewayPorts
from connectors.gateway.background import BackgroundTasks
from connectors.gateway.controller_writer import NEEDED, ControllerWriter
from connectors.gateway.exposures import Exposures, GatewayInputs
from connectors.gateway.handshake_log import changes
from connectors.gateway.host_clock import clock_status, host_boot
from connectors.gateway.journal_entries import JournalEntry, RunLine, StepLine, entry_of, recover
from connectors.gateway.outcome_publisher import OutcomePublisher
from connectors.gateway.recipe_requests import RecipeRequests
from connectors.gateway.recipes import RecipeChanges
from connectors.gateway.skew import SkewWatch
from connectors.gateway.stop_requests import StopRequests
from connectors.gateway.trigger_notes import TriggerNotes
from connectors.handshake import Part, PartKey, next_wakeup, step, trigger_seen_of
from connectors.handshake import values as hs
from connectors.handshake.signals import TRIGGER_GROUP, Signal, SignalValues, number
from connectors.line_link import Changed, LinkEvent
from connectors.settings import GatewaySettings
from streams.changeovers import ChangeoverStep
from streams.codes import AckOutcome, FaultCode, ReasonCode
from streams.events import Alert, Decision
from streams.followers import kept_following, told_when_behind
from streams.ids import new_frame_id

log = structlog.get_logger(__name__)
_SETTLE_S = 2.0
"""So long the end waits for acknowledgements of what was written, and for what is on its way."""
_MOVING = Signal.TRIGGER_ENABLE, Signal.PLC_HEARTBEAT, Signal.RESULT_ACK_SEQ, Signal.FAULT_RESET_SEQ


class Gateway:
    """Serves one station of one line.

    Args:
        settings: the place in the plant, the handshake's times and limits, deadlines.
        ports: the adapters; the caller starts the policy source and closes what it opened.
    """

    def __init__(self, settings: GatewaySettings, ports: GatewayPorts) -> None:
        self._settings = settings
        self._ports = ports
        self._host = host_boot()
        known = ports.journal.open()
        self._state = recover(settings, known, time.monotonic(), time.time(), self._host)
        self._clock = clock_status()
        self._exposures = Exposures(
            settings,
            ports.cameras,
            ports.journal,
            ports.publisher,
            self._clock,
            GatewayInputs(self._apply, self._fault),
        )
        self._outcomes = OutcomePublisher(settings, ports.journal, ports.publisher, self._clock)
        written, refused = self._written, self._refused
        self._writer = ControllerWriter(ports.link, ports.journal, written, self._apply, refused)
        self._background = BackgroundTasks()
        own = settings, self._exposures, ports.policies, ports.publisher
        self._recipes = RecipeChanges(*own, self._apply, self._background.start)
        self._notes = TriggerNotes()
        self._skew = SkewWatch(lambda off: self._fault(FaultCode.CLOCK_SKEW, off))
        ask = partial(self._apply, hs.Notice.STOP_REQUESTED)
        self._stops = StopRequests(ports.journal, known.alerted_at, ask, self._is_online)
        self._timer: asyncio.TimerHandle | None = None
        self._trigger_moved = asyncio.Event()
        self._recipe_requests = RecipeRequests()
        self._answering: Decision | None = None
        self._down: set[str] = set()
        ports.publisher.on_down = lambda down: self._fault(FaultCode.KAFKA, down)
        ports.publisher.on_full = self._spool_full
        ports.journal.on_fault = self._journal_fault
        ports.policies.tell(partial(self._follower_down, "policies"))

    async def run(self) -> None:
        """Serve the line until cancelled; then tell the controller, close camera and journal."""
        decisions_down = partial(self._follower_down, "decisions")
        behind = partial(self._follower_down, "decisions behind")
        work: list[Coroutine[None, None, None]] = [
            self._ports.link.run(self._on_link),
            self._ports.publisher.run(),
            self._writer.run(),
            self._read_triggers(),
            kept_following("decisions", self._follow_decisions, decisions_down),
            told_when_behind("decisions", self._ports.caught_up, behind),
            self._exposures.run(),
        ]
        tasks = [asyncio.create_task(w, name=getattr(w, "__qualname__", "gateway")) for w in work]
        self._send_left_over()
        # until the camera has opened; no fault to tell anybody of
        self._state, _ = step(
            self._state, time.monotonic(), hs.FaultChanged(FaultCode.CAMERA, True)
        )
        self._apply(hs.Notice.TICK)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled():
                    task.result()
                raise ConnectorError(f"{task.get_name()} ended by itself: {task!r}")
        finally:
            await self._shut_down(tasks)

    # --- inputs ---------------------------------------------------------------------------

    def _on_link(self, event: LinkEvent) -> None:
        match event:
            case hs.Connected():
                self._apply(event)
                self._recipe_requests.connected(event.values)
                self._trigger_moved.set()
                self._remember_run()
                if self._ports.journal.damaged:
                    self._ports.journal.compact()
            case hs.Notice.DISCONNECTED:
                self._writer.clear()
                self._apply(event)
            case Changed(values):
                self._on_change(values)

    def _on_change(self, values: SignalValues) -> None:
        for counter in _MOVING:
            if counter in values:
                self._apply(hs.CounterMoved(counter, number(values, counter)))
        if Signal.RECIPE_REQ_SEQ in values:
            self._recipe_requests.moved()
        if values.keys() & {Signal.TRIGGER_SEQ, Signal.PLC_BOOT_ID, Signal.RECIPE_REQ_SEQ}:
            self._trigger_moved.set()

    async def _read_triggers(self) -> None:
        """Read the trigger group anew: a subscription's samples may be older than the trigger."""
        while True:
            await self._trigger_moved.wait()
            self._trigger_moved.clear()
            requests = self._recipe_requests
            try:
                values = await self._ports.link.read((*TRIGGER_GROUP, *requests.begin()))
            except LinkError:
                continue  # the new connection reads everything back
            seen = trigger_seen_of(values, new_frame_id(), self._ports.link.trigger_age())
            if seen is not None:
                self._apply(seen)
            if (recipe := requests.read(values, time.monotonic())) is not None:
                self._apply(recipe)
            if seen is None or requests.stands:  # of bad quality: asked again
                asyncio.get_running_loop().call_later(0.1, self._trigger_moved.set)

    async def _follow_decisions(self) -> None:
        async for event in self._ports.feed:
            try:
                self._hear(event)
            except Exception:  # one event's failure must not stop those behind it
                log.exception("feed.refused", kind=type(event).__name__, line=event.line)

    def _hear(self, event: Decision | Alert | ChangeoverStep) -> None:
        if isinstance(event, ChangeoverStep):
            self._recipes.hear(event)
        elif isinstance(event, Alert):
            self._stops.hear(event)
        elif event.station == self._settings.station:
            key = part_events.key_of(event)
            self._skew.saw(event, self._wall_of(key))
            if not part_events.may_stand(event):
                return
            if key not in self._state.parts and not self._ports.in_charge():
                return  # a part of the gateway in charge
            if why := self._recipes.contradiction(event):
                log.error("decision.of_another_recipe", recipe=event.recipe, why=why)
                return
            self._answering = event
            verdict = part_events.verdict_of(event)
            try:
                self._apply(hs.Decided(key, event.frame_id, verdict))
            finally:
                self._answering = None

    def _wall_of(self, key: PartKey) -> float:
        """Now by the wall clock as it was when the part was triggered, whatever set it since."""
        part, entry = self._state.parts.get(key), self._ports.journal.entries.get(key)
        if part is None or entry is None:
            return time.time()
        return entry.triggered_at + time.monotonic() - part.triggered_at

    def _is_online(self) -> bool:
        return self._state.online

    def _follower_down(self, name: str, down: bool) -> None:
        (self._down.add if down else self._down.discard)(name)
        self._fault(FaultCode.FOLLOWER, bool(self._down))

    def _fault(self, code: FaultCode, active: bool) -> None:
        if (code in self._state.faults) != active:
            self._apply(hs.FaultChanged(code, active))

    def _written(self, key: PartKey) -> None:
        self._ports.journal.append(StepLine(t="written", k=key, at=time.time()))
        self._apply(hs.ResultWritten(key))

    def _refused(self, signals: frozenset[Signal], part: PartKey | None) -> None:
        self._fault(FaultCode.SIGNAL_REFUSED, bool(signals))
        self._fault(FaultCode.RESULT_REFUSED, bool(signals & NEEDED))
        if part is not None:
            names = ", ".join(sorted(s.wire_name for s in signals & NEEDED))
            self._apply(hs.ResultRefused(part, f"the controller refuses {names}"))

    def _journal_fault(self, error: JournalError | None) -> None:
        if error is not None:
            log.error("journal.failed", why=str(error))
        self._fault(FaultCode.JOURNAL, error is not None)

    def _apply(self, event: hs.Input) -> None:
        before = self._state
        self._state, commands = step(before, time.monotonic(), event)
        for line in changes(before, self._state, event):
            (log.error if line.is_problem else log.info)(line.event, **line.fields)
        self._ports.on_step(before, self._state, commands)
        for command in commands:
            self._execute(command)
        if self._timer is not None:
            self._timer.cancel()
        delay = max(next_wakeup(self._state) - time.monotonic(), 0.001)
        self._timer = asyncio.get_running_loop().call_later(delay, self._apply, hs.Notice.TICK)

    # --- commands -------------------------------------------------------------------------

    def _execute(self, command: hs.Command) -> None:
        match command:
            case hs.WriteStatus(values):
                self._writer.status(values)
            case hs.WriteResult():
                self._writer.result(command)
            case hs.Capture(part):
                entry = self._mint(part)
                self._background.start(self._exposures.expose(part, entry))
            case hs.Decide(part, reason, why):
                self._decide(part, reason, why)
            case hs.ResultReport():
                self._report(command)
            case hs.PrepareRecipe() | hs.AbandonRecipe() | hs.RecipeReport():
                self._recipes.execute(command)
            case hs.Resynchronised(boot_id, dropped):
                log.warning("plc.resynchronised", plc_boot_id=boot_id, dropped=len(dropped))
                for part in dropped:
                    if part.verdict is None:
                        self._ports.journal.append(StepLine(t="closed", k=part.key))
                self._remember_run(new=True)
            case hs.MemoryBehind(why, dropped):
                log.error("journal.behind_the_controller", why=why, dropped=len(dropped))
                for part in dropped:
                    self._ports.journal.append(StepLine(t="closed", k=part.key))

    def _remember_run(self, new: bool = False) -> None:
        state = self._state
        boot_id, last, result = state.plc_boot_id, state.last_trigger_seq, state.result_seq
        self._ports.journal.append(RunLine(t="run", b=boot_id, s=last, new=new, r=result))

    def _mint(self, part: Part) -> JournalEntry:
        known = self._ports.journal.entries.get(part.key)
        if known is not None and part.frame_id in (None, known.frame_id):
            return known
        self._notes.read(part.trigger)
        entry = entry_of(part, self._exposures.count, time.monotonic(), time.time(), self._host)
        self._ports.journal.append(entry)
        return entry

    def _decide(self, part: Part, reason: ReasonCode, why: str) -> None:
        """Give the gateway's own answer: the product's no-decision action, or a hold."""
        entry = self._mint(part)
        subject = part_events.part_on_line(self._settings, entry, self._clock)
        policy = self._ports.policies.for_product(subject.product_id)
        if reason is ReasonCode.NO_DECISION:
            station, lot = self._settings.station, subject.lot_id
            situation = part_events.undecided(station, lot, entry, self._state.faults)
            outcome = policy.decide(situation)
        else:
            outcome = part_events.held(reason, why)
        now = time.time()
        decision = part_events.gateway_decision(subject, outcome, reason, policy, now)
        verdict = part_events.verdict_of(decision)
        more = {"reason": reason.name, "action": outcome.action.value, "why": outcome.reason}
        log.warning("part.watchdog", **part_events.words_of(part), **more)
        line = StepLine(t="decided", k=part.key, v=verdict, d=decision.model_dump_json())
        self._ports.journal.append(line)
        self._background.start(self._outcomes.send_decision(part.key, decision))
        self._apply(hs.Decided(part.key, entry.frame_id, verdict))

    def _report(self, command: hs.ResultReport) -> None:
        if command.outcome is not AckOutcome.ACKNOWLEDGED:
            seq, outcome, trace = command.key.trigger_seq, command.outcome.value, command.frame_id
            words = {"trigger_seq": seq, "outcome": outcome, "trace_id": trace.hex}
            log.warning("result.not_applied", **words, why=command.detail)
        event = self._outcomes.outcome_event(command, self._answering)
        if event is not None:
            self._background.start(self._outcomes.send_outcome(command, event))

    # --- life -----------------------------------------------------------------------------

    def _spool_full(self, full: bool) -> None:
        self._fault(FaultCode.SPOOL_FULL, full)
        if not full:
            self._send_left_over()

    def _send_left_over(self) -> None:
        for work in self._outcomes.left_over():
            self._background.start(work)

    async def _shut_down(self, tasks: list[asyncio.Task[None]]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # in a task of its own: in this one, which is asked to end, a failed write ends everything
        last = self._ports.link.write({Signal.READY: False, Signal.ONLINE: False})
        await asyncio.gather(asyncio.create_task(last), return_exceptions=True)
        # with a journal that fails nobody knows after a restart what is not told now
        await self._background.settle(_SETTLE_S, lambda: self._state.has_result_under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._background.cancel()
        if self._timer is not None:
            self._timer.cancel()
        await self._recipes.close()
        await self._exposures.close()
        await self._ports.journal.close()
