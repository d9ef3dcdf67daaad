"""The simulated line controller: a real OPC UA server that plays the controller's side.

It triggers, opens a result window per part, takes the first result inside it, decides ``hold``
by itself when none comes, answers acknowledgements and heartbeats, and keeps the ledger.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from asyncua import Server, ua
from asyncua.common.callback import CallbackType

from connectors.handshake.sequence import following
from connectors.handshake.signals import Owner, Signal
from lab.plc.ledger import (
    APPLIED,
    DUPLICATE,
    LATE,
    UNKNOWN,
    Ledger,
    code_name,
    source_name,
)
from lab.plc.plan import PlannedPart
from streams.codes import ReasonCode, ResultCode

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class PlcConfig:
    """One simulated controller. Times in seconds."""

    url: str = "opc.tcp://127.0.0.1:14840"
    namespace: str = "urn:andon:line"
    prefix: str = "Andon"
    takt_s: float = 1.0
    window_s: float | None = None
    """Result window T; None: the takt."""
    heartbeat_s: float = 0.5
    heartbeat_missed: int = 3
    boot_id: int | None = None
    """None: seconds since the epoch, so another one at each start."""
    first_seq: int = 0
    """TriggerSeq to start from (tests of the wrap)."""

    @property
    def result_window_s(self) -> float:
        return self.takt_s if self.window_s is None else self.window_s


@dataclass
class _OpenPart:
    part: PlannedPart
    triggered: float
    timer: asyncio.TimerHandle | None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    applied: bool = False


class SimulatedPlc:
    """The controller's program and its OPC UA server.

    Test hooks: ``heartbeat_frozen``, ``acks_withheld``, ``restart``, and ``trigger``, which never
    asks whether the gateway is Ready.
    """

    def __init__(self, config: PlcConfig, ledger: Ledger | None = None) -> None:
        self.config = config
        self.ledger = ledger or Ledger(None)
        self.heartbeat_frozen = False
        self.acks_withheld = False
        self.boot_id = config.boot_id or (int(time.time()) & 0xFFFFFFFF) or 1
        self.trigger_seq = config.first_seq
        self._server: Server | None = None
        self._ids: dict[Signal, ua.NodeId] = {}
        self._seen: dict[Signal, Any] = {}
        self._parts: dict[int, _OpenPart] = {}
        self._open: set[int] = set()
        self._beats = 0
        self._gateway_beat_at = float("-inf")
        self._moved = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- what the program can see ---------------------------------------------------------

    def gateway(self, signal: Signal) -> Any:
        """The last value that the gateway wrote."""
        return self._seen[signal]

    @property
    def gateway_alive(self) -> bool:
        """The gateway's heartbeat moved within the dead time."""
        silence = time.monotonic() - self._gateway_beat_at
        return silence < self.config.heartbeat_s * self.config.heartbeat_missed

    @property
    def ready(self) -> bool:
        """Online, Ready, alive, and the last trigger acknowledged: the next part may come."""
        return bool(
            self._seen[Signal.ONLINE]
            and self._seen[Signal.READY]
            and self.gateway_alive
            and self._seen[Signal.TRIGGER_ACK_SEQ] == self.trigger_seq
        )

    @property
    def open_parts(self) -> int:
        """Parts whose window is open and that have no result."""
        return len(self._open)

    async def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Until ``condition`` holds, checked whenever a signal moves; False after the timeout."""
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
        server = Server()
        await server.init()
        server.set_endpoint(self.config.url)
        server.set_server_name("Andon simulated line controller")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await server.register_namespace(self.config.namespace)
        folder = await server.nodes.objects.add_object(
            ua.NodeId(self.config.prefix, index), self.config.prefix
        )
        for signal in Signal:
            self._seen[signal] = signal.default
            name = signal.wire_name
            self._ids[signal] = ua.NodeId(f"{self.config.prefix}.{name}", index)
            kind = ua.VariantType[signal.data_type]
            node = await folder.add_variable(self._ids[signal], name, signal.default, kind)
            if signal.owner is Owner.GATEWAY:
                await node.set_writable()
        server.subscribe_server_callback(CallbackType.PostWrite, self._on_write)
        self._server = server
        await self._begin()
        await server.start()

    async def stop(self) -> None:
        """Parts still open are the controller's default."""
        await self._halt("stopped")
        if self._server is not None:
            await self._server.stop()
            await self._end_sessions()
            self._server = None
        await asyncio.to_thread(self.ledger.sync)

    async def restart(self, boot_id: int | None = None) -> None:
        """Power loss and cold start: every connection drops, every counter is 0."""
        assert self._server is not None, "the controller is not started"
        await self._halt("power_loss")
        await self._server.bserver.stop()
        await self._end_sessions()
        self.boot_id = boot_id if boot_id is not None else self.boot_id + 1
        self.trigger_seq = 0
        self._parts.clear()
        self._gateway_beat_at = float("-inf")
        await self.put({signal: signal.default for signal in Signal})
        await self._begin()
        await self._server.bserver.start()

    async def _begin(self) -> None:
        await self.put(
            {
                Signal.TAKT_MS: max(int(self.config.takt_s * 1000), 1),
                Signal.PLC_BOOT_ID: self.boot_id,
                Signal.TRIGGER_SEQ: self.trigger_seq,
            }
        )
        self._spawn(self._beat())
        self.ledger.add("start", plc_boot_id=self.boot_id, at=time.time())

    async def _halt(self, reason: str) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for seq in list(self._open):
            self._default(seq, reason)

    async def _end_sessions(self) -> None:
        """asyncua keeps a session with subscriptions beyond its connection, even beyond stop."""
        assert self._server is not None
        for session in list(self._server.iserver._external_sessions.values()):
            await session.close_session(True)
        await asyncio.sleep(0)

    # --- the line -------------------------------------------------------------------------

    async def trigger(self, part: PlannedPart) -> int:
        """A part is in front of the camera. Returns its TriggerSeq."""
        seq = following(self.trigger_seq)
        self.trigger_seq = seq
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self.config.result_window_s, self._default, seq, "window")
        self._parts[seq] = _OpenPart(part, time.monotonic(), timer)
        self._open.add(seq)
        self.ledger.add(
            "trigger",
            plc_boot_id=self.boot_id,
            trigger_seq=seq,
            part_id=part.part_id,
            lot_id=part.lot_id,
            product_id=part.product_id,
            gateway_ready=bool(self._seen[Signal.READY]),
            at=time.time(),
        )
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
        """Until the part has its result, the default included."""
        await self._parts[seq].settled.wait()

    async def request_recipe(self, recipe: int) -> int:
        """Ask for a recipe; returns the RecipeReqSeq to be answered."""
        seq = following(self._seen[Signal.RECIPE_REQ_SEQ])
        await self.put({Signal.RECIPE_REQ: recipe})
        await self.put({Signal.RECIPE_REQ_SEQ: seq})
        return seq

    async def reset_faults(self) -> None:
        await self.put({Signal.FAULT_RESET_SEQ: following(self._seen[Signal.FAULT_RESET_SEQ])})

    async def enable(self, enabled: bool) -> None:
        await self.put({Signal.TRIGGER_ENABLE: enabled})

    async def acknowledge(self) -> None:
        """Answer the result that stands in the registers."""
        seq = self._seen[Signal.RESULT_SEQ]
        if seq in (0, self._seen[Signal.RESULT_ACK_SEQ]):
            return
        await self.put({Signal.RESULT_ACK_SEQ: seq})
        self.ledger.add("ack", plc_boot_id=self.boot_id, result_seq=seq, at=time.time())

    # --- inside ---------------------------------------------------------------------------

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def put(self, values: dict[Signal, Any]) -> None:
        assert self._server is not None, "the controller is not started"
        for signal, value in values.items():
            self._seen[signal] = value
            variant = ua.Variant(value, ua.VariantType[signal.data_type])
            await self._server.write_attribute_value(self._ids[signal], ua.DataValue(variant))
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

    def _on_write(self, event: Any, _dispatcher: Any = None) -> None:
        """Called once per Write service call, after it took effect."""
        if not event.is_external:
            return
        by_id = {nid.Identifier: signal for signal, nid in self._ids.items()}
        written = {}
        for item in event.request_params.NodesToWrite:
            signal = by_id.get(item.NodeId.Identifier)
            if signal is not None and signal.owner is Owner.GATEWAY:
                written[signal] = item.Value.Value.Value
        before = self._seen[Signal.RESULT_SEQ]
        if (
            written.get(Signal.VISION_HEARTBEAT, self._seen[Signal.VISION_HEARTBEAT])
            != (self._seen[Signal.VISION_HEARTBEAT])
        ):
            self._gateway_beat_at = time.monotonic()
        self._seen.update(written)
        if written.get(Signal.RESULT_SEQ, before) != before:
            self._take_result()
        self._moved.set()

    def _take_result(self) -> None:
        """First inside the window is applied; later ones are noted and change nothing."""
        seq, now = self._seen[Signal.RESULT_TRIGGER_SEQ], time.monotonic()
        entry = self._parts.get(seq)
        disposition = UNKNOWN
        if entry is not None:
            disposition = DUPLICATE if entry.applied else LATE
            if seq in self._open:
                disposition, entry.applied = APPLIED, True
                self._settle(seq)
        self.ledger.add(
            "result",
            plc_boot_id=self.boot_id,
            trigger_seq=seq,
            result_seq=self._seen[Signal.RESULT_SEQ],
            part_id=self._seen[Signal.RESULT_PART_ID],
            action=code_name(ResultCode, self._seen[Signal.RESULT_CODE]),
            reason=code_name(ReasonCode, self._seen[Signal.REASON_CODE]),
            source=source_name(self._seen[Signal.DECISION_SOURCE]),
            class_id=self._seen[Signal.CLASS_ID],
            score=self._seen[Signal.SCORE],
            disposition=disposition,
            ms=round((now - entry.triggered) * 1000, 3) if entry else None,
            at=time.time(),
        )
        if not self.acks_withheld:
            self._spawn(self.acknowledge())

    def _default(self, seq: int, reason: str) -> None:
        """No result inside the window: the part goes to the hold bin."""
        if seq not in self._open:
            return
        self._settle(seq)
        self.ledger.add(
            "default", plc_boot_id=self.boot_id, trigger_seq=seq, reason=reason, at=time.time()
        )

    def _settle(self, seq: int) -> None:
        self._open.discard(seq)
        entry = self._parts[seq]
        if entry.timer is not None:
            entry.timer.cancel()
        entry.settled.set()
        self._moved.set()
