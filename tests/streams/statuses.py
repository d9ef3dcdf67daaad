"""What gateways and workers say of themselves, for tests."""

from datetime import UTC, datetime, timedelta

from streams.codes import FaultCode
from streams.status import (
    GatewayCounts,
    GatewayState,
    LinePhase,
    ProcessStatus,
    StandingFault,
    WorkerState,
)

AT = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)


def gateway_said(number: int = 1, at: datetime = AT, **changes: object) -> ProcessStatus:
    """A gateway of line-1 that is ready; ``changes`` of its state, or of the status itself."""
    own = {k: changes.pop(k) for k in list(changes) if k in ProcessStatus.model_fields}
    signals = {"Ready": True, "TriggerSeq": 41, "PartId": "P-41", "PlcHeartbeat": number}
    state: dict[str, object] = {
        "line": "line-1",
        "station": "top",
        "phase": LinePhase.READY,
        "owner": 4711,
        "plc": "opc.tcp://plc-1:4840",
        "is_connected": True,
        "is_alive": True,
        "plc_boot_id": 7,
        "signals": signals,
        "counts": GatewayCounts(captured=40, missed=1, acknowledged=39, late=2),
        "spooled": {"words": 0, "pictures": 3},
        "product_id": "tile",
        "result_window_ms": 800,
    }
    fields: dict[str, object] = {
        "role": "gateway",
        "instance": "line-1/top/edge-1-ab12",
        "host": "edge-1",
        "version": "0.2.0",
        "started_at": AT - timedelta(hours=2),
        "at": at,
        "number": number,
        "every_s": 2.0,
        "policies": {"tile": "70170c" * 8},
        "gateway": GatewayState.model_validate(state | changes),
    }
    return ProcessStatus.model_validate(fields | own)


def worker_said(
    role: str = "inspect", number: int = 1, at: datetime = AT, **changes: object
) -> ProcessStatus:
    """A worker that has little to do; ``changes`` of its state, or of the status itself."""
    own = {k: changes.pop(k) for k in list(changes) if k in ProcessStatus.model_fields}
    state: dict[str, object] = {
        "is_ready": True,
        "lag": {"andon.frames": 2},
        "events": 40,
        "decisions": 38,
        "last_event_at": at,
        "models": {"tile": "e" * 64},
    }
    fields: dict[str, object] = {
        "role": role,
        "instance": "host-a/0",
        "host": "host-a",
        "version": "0.2.0",
        "started_at": AT - timedelta(hours=1),
        "at": at,
        "number": number,
        "every_s": 2.0,
        "policies": {"tile": "70170c" * 8},
        "worker": WorkerState.model_validate(state | changes),
    }
    return ProcessStatus.model_validate(fields | own)


def fault(code: FaultCode = FaultCode.CAMERA, since: datetime = AT) -> StandingFault:
    return StandingFault(code=code, since=since)
