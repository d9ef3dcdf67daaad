"""Parts and states of the handshake for tests of one rule: no world around them."""

from dataclasses import replace
from uuid import UUID

from connectors.handshake import HandshakeConfig, Part, PartKey, Phase, State
from connectors.handshake.signals import Signal, SignalValue, SignalValues
from connectors.handshake.values import Verdict
from streams.codes import DecisionSource, ResultCode
from streams.ports import Trigger
from tests.connectors.world import frame_id, verdict

CONFIG = HandshakeConfig(
    result_window_ms=1000, watchdog_margin_ms=100, ack_timeout_ms=2000, heartbeat_ms=500
)
KEY = PartKey(1, 5)


def trigger(seq: int = 5, boot: int = 1, part_id: str = "") -> Trigger:
    return Trigger(boot, seq, part_id or f"part-{seq}", "lot", "demo", 7, 800)


def told(seq: int = 5, boot: int = 1, code: ResultCode = ResultCode.PASS) -> Verdict:
    return verdict(frame_id(trigger(seq, boot)), DecisionSource.EXPERT, code)


def part(seq: int = 5, phase: Phase = Phase.OPEN, **changes: object) -> Part:
    """Triggered at 10 s, its window over at 11 s; with a verdict unless it is open."""
    frame: UUID = frame_id(trigger(seq))
    made = Part(PartKey(1, seq), trigger(seq), frame, 10.0, 11.0, phase=phase)
    if phase is not Phase.OPEN:
        made = replace(made, verdict=told(seq))
    return replace(made, **changes)  # type: ignore[arg-type]


def state(*parts: Part, **changes: object) -> State:
    """Connected and alive, with these parts; what is not open and not missed is queued."""
    fields: dict[str, object] = {
        "plc_boot_id": 1,
        "online": True,
        "alive": True,
        "heartbeat_at": 10.0,
        "beat_at": 10.0,
        "spoke_at": 10.0,
        "last_trigger_seq": 5,
        "parts": {p.key: p for p in parts},
        "queue": tuple(p.key for p in parts if p.phase is not Phase.OPEN and not p.missed),
        "backlog": tuple(p.key for p in parts if p.phase is Phase.QUEUED and p.missed),
        "result_seq_known": True,
        "pending_told": sum(p.phase is not Phase.OPEN for p in parts),
    }
    return State(CONFIG, **{**fields, **changes})  # type: ignore[arg-type]


def shown(**changes: SignalValue) -> SignalValues:
    """What a controller shows after a reconnect: boot 1, trigger 5; by the signals' names."""
    values: dict[Signal, SignalValue] = {signal: signal.default for signal in Signal}
    values |= {Signal.PLC_BOOT_ID: 1, Signal.TRIGGER_SEQ: 5, Signal.TAKT_MS: 800}
    return values | {Signal[name.upper()]: value for name, value in changes.items()}
