"""The simulated line controller: the controller's side of the handshake, over real OPC UA.

It triggers, opens a result window per part, takes the first result inside it, decides ``hold``
by itself when none comes, answers acknowledgements and heartbeats, and keeps the ledger.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from connectors.handshake.sequence import following
from connectors.handshake.signals import Signal, SignalValue, SignalValues, number
from connectors.opcua.server_security import ServerSecurity
from lab.plc.ledger import Disposition, Ledger, LedgerRow, code_name
from lab.plc.opcua_server import NodeLayout, SignalServer, cold_start
from lab.plc.plan import PlannedPart
from streams.codes import DecisionSource, ReasonCode, ResultCode


@dataclass(frozen=True)
class PlcConfig:
    """One simulated controller, times in seconds; the result window T is the takt if None."""

    url: str = "opc.tcp://127.0.0.1:14840"
    takt_s: float = 1.0
    window_s: float | None = None
    heartbeat_s: float = 0.5
    heartbeat_missed: int = 3

    @property
    def result_window_s(self) -> float:
        return self.takt_s if self.window_s is None else self.window_s


@dataclass
class _Arrived:
    """One part in front of the camera, at ``triggered`` seconds (monotonic).

    ``settled`` is set with the part's result, the controller's default included.
    """

    triggered: float
    window: asyncio.TimerHandle
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    applied: bool = False


class SimulatedPlc:
    """The controller's program and its OPC UA server.

    Test hooks: ``heartbeat_frozen``, ``acks_withheld``, ``restart``, and ``trigger``, which never
    asks whether the gateway is Ready.
    """

    def __init__(
        self,
        config: PlcConfig,
        ledger: Ledger | None = None,
        security: ServerSecurity | None = None,
        layout: NodeLayout | None = None,
    ) -> None:
        self.config = config
        self.ledger = ledger or Ledger(None)
        self.heartbeat_frozen = False
        self.acks_withheld = False
        self.boot_id = int(time.time()) & 0xFFFFFFFF
        self.trigger_seq = 0
        self._server = SignalServer(
            config.url, self._on_change, security=security, layout=layout or NodeLayout()
        )
        self._parts: dict[int, _Arrived] = {}
        self._open: set[int] = set()
        self._beats = 0
        self._gateway_beat_at = float("-inf")
        self._moved = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- what the program can see ---------------------------------------------------------

    def gateway(self, signal: Signal) -> SignalValue:
        """The last value that the gateway wrote."""
        return self._server.values[signal]

    @property
    def gateway_alive(self) -> bool:
        """The gateway's heartbeat moved within the dead time."""
        silence = time.monotonic() - self._gateway_beat_at
        return silence < self.config.heartbeat_s * self.config.heartbeat_missed

    @property
    def ready(self) -> bool:
        """Online, Ready, alive, and the last trigger acknowledged: the next part may come."""
        shown = [self.gateway(s) for s in (Signal.ONLINE, Signal.READY, Signal.TRIGGER_ACK_SEQ)]
        return self.gateway_alive and shown == [True, True, self.trigger_seq]

    @property
    def open_parts(self) -> int:
        """Parts whose window is open and that have no result."""
        return len(self._open)

    async def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until ``condition`` holds, which is asked whenever a signal moves; else False."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._moved.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._moved.wait(), 0.05)
                return True
        return condition()

    # --- life -----------------------------------------------------------------------------

    async def start(self) -> None:
        """The server listens and the heartbeat moves when this returns."""
        await self._server.open()
        await self._begin({})

    async def stop(self) -> None:
        """Stop; the controller decides by itself the parts that are still open."""
        await self._halt("stopped")
        await self._server.close()
        await asyncio.to_thread(self.ledger.sync)

    async def restart(self) -> None:
        """Lose power and start cold: every connection drops, every counter is 0."""
        await self._halt("power_loss")
        await self._server.hang_up()
        self.boot_id += 1
        self.trigger_seq = 0
        self._parts.clear()
        self._gateway_beat_at = float("-inf")
        await self._begin(cold_start())

    async def _begin(self, values: SignalValues) -> None:
        takt_ms = max(int(self.config.takt_s * 1000), 1)
        counters = {Signal.PLC_BOOT_ID: self.boot_id, Signal.TRIGGER_SEQ: self.trigger_seq}
        await self.put({**values, Signal.TAKT_MS: takt_ms, **counters})
        self._spawn(self._beat())
        self._note("start")
        await self._server.listen()

    async def _halt(self, reason: str) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for seq in list(self._open):
            self._default(seq, reason)

    # --- the line -------------------------------------------------------------------------

    async def trigger(self, part: PlannedPart) -> int:
        """Say that a part is in front of the camera. Returns its TriggerSeq."""
        seq = following(self.trigger_seq, self._server.last(Signal.TRIGGER_SEQ))
        self.trigger_seq = seq
        loop = asyncio.get_running_loop()
        window = loop.call_later(self.config.result_window_s, self._default, seq, "window")
        self._parts[seq] = _Arrived(time.monotonic(), window)
        self._open.add(seq)
        ready = self.gateway(Signal.READY)
        self._note("trigger", trigger_seq=seq, gateway_ready=ready, **part.model_dump())
        await self.put(
            {
                Signal.PART_ID: part.part_id,
                Signal.LOT_ID: part.lot_id,
                Signal.PRODUCT_ID: part.product_id,
                Signal.ENCODER_POS: (seq * 1000) & 0x7FFFFFFF,
            }
        )
        await self.put({Signal.TRIGGER_SEQ: seq})
        if not self.gateway_alive:
            self._default(seq, "gateway_dead")
        return seq

    async def settled(self, seq: int) -> None:
        """Wait until the part has its result, the controller's default included."""
        await self._parts[seq].settled.wait()

    async def ask_recipe(self, recipe: int | str) -> int:
        """Ask for a recipe by its number, or by its name where RecipeReq is a text. Returns the
        RecipeReqSeq."""
        seq = following(number(self._server.values, Signal.RECIPE_REQ_SEQ))
        self._note("recipe_asked", recipe_seq=seq, recipe=recipe)
        await self.put({Signal.RECIPE_REQ: recipe})
        await self.put({Signal.RECIPE_REQ_SEQ: seq})
        return seq

    async def change_recipe(self, recipe: int | str, timeout_s: float) -> bool:
        """Ask for a recipe; whether an answer came, and by it the recipe of that number is in
        force."""
        seq = await self.ask_recipe(recipe)
        answered = await self.wait_for(
            lambda: self.gateway(Signal.RECIPE_ACK_SEQ) == seq, timeout_s
        )
        return answered and recipe in (self.gateway(Signal.RECIPE_ACTIVE), str(recipe))

    async def acknowledge(self) -> None:
        """Answer the result that stands in the registers."""
        seq = self.gateway(Signal.RESULT_SEQ)
        if seq not in (0, self.gateway(Signal.RESULT_ACK_SEQ)):
            await self.put({Signal.RESULT_ACK_SEQ: seq})
            self._note("ack", result_seq=seq)

    # --- inside ---------------------------------------------------------------------------

    def _note(self, event: str, **fields: object) -> None:
        row = {"event": event, "plc_boot_id": self.boot_id, **fields, "at": time.time()}
        self.ledger.add(LedgerRow.model_validate(row))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def put(self, values: SignalValues) -> None:
        """Write signals in the order given."""
        await self._server.put(values)
        self._moved.set()

    async def _beat(self) -> None:
        while True:
            if not self.heartbeat_frozen:
                self._beats = (self._beats + 1) & 0xFFFFFFFF
                await self.put({Signal.PLC_HEARTBEAT: self._beats})
            if not self.gateway_alive:
                for seq in list(self._open):
                    self._default(seq, "gateway_dead")
            await asyncio.to_thread(self.ledger.sync)
            await asyncio.sleep(self.config.heartbeat_s)

    def _on_change(self, changed: SignalValues) -> None:
        """Act on what the gateway wrote."""
        if Signal.VISION_HEARTBEAT in changed:
            self._gateway_beat_at = time.monotonic()
        if Signal.RESULT_SEQ in changed:
            self._take_result()
        if Signal.RECIPE_ACK_SEQ in changed:
            words = (Signal.RECIPE_ACK_SEQ, Signal.RECIPE_ACTIVE, Signal.FAULT_CODE)
            seq, recipe, fault = (self.gateway(signal) for signal in words)
            self._note("recipe_answered", recipe_seq=seq, recipe=recipe, fault=fault)
        self._moved.set()

    def _take_result(self) -> None:
        """Apply the first result inside the window; note later ones, which change nothing."""
        seq, now = number(self._server.values, Signal.RESULT_TRIGGER_SEQ), time.monotonic()
        entry = self._parts.get(seq)
        disposition = Disposition.UNKNOWN
        if entry is not None:
            disposition = Disposition.DUPLICATE if entry.applied else Disposition.LATE
            if seq in self._open:
                disposition, entry.applied = Disposition.APPLIED, True
                self._settle(seq)
        self._note(
            "result",
            trigger_seq=seq,
            result_seq=self.gateway(Signal.RESULT_SEQ),
            part_id=self.gateway(Signal.RESULT_PART_ID),
            action=code_name(ResultCode, self.gateway(Signal.RESULT_CODE)),
            reason=code_name(ReasonCode, self.gateway(Signal.REASON_CODE)),
            source=code_name(DecisionSource, self.gateway(Signal.DECISION_SOURCE)),
            class_id=self.gateway(Signal.CLASS_ID),
            score=self.gateway(Signal.SCORE),
            disposition=disposition,
            ms=round((now - entry.triggered) * 1000, 3) if entry else None,
        )
        if not self.acks_withheld:
            self._spawn(self.acknowledge())

    def _default(self, seq: int, reason: str) -> None:
        """Without a result inside the window the part goes to the hold bin."""
        if seq not in self._open:
            return
        self._settle(seq)
        self._note("default", trigger_seq=seq, reason=reason)

    def _settle(self, seq: int) -> None:
        self._open.discard(seq)
        entry = self._parts[seq]
        entry.window.cancel()
        entry.settled.set()
        self._moved.set()
