"""The signal table of the handshake (``SIGNALS.md``): one source for client, simulator and docs.

Pure data: neither asyncua nor a clock is imported here.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Owner(StrEnum):
    """Which side writes a signal."""

    PLC = "PLC"
    GATEWAY = "gateway"


class Signal(StrEnum):
    """Every signal by its name on the wire."""

    TRIGGER_ENABLE = "TriggerEnable"
    PART_ID = "PartId"
    LOT_ID = "LotId"
    PRODUCT_ID = "ProductId"
    ENCODER_POS = "EncoderPos"
    TAKT_MS = "TaktMs"
    TRIGGER_SEQ = "TriggerSeq"
    RESULT_ACK_SEQ = "ResultAckSeq"
    RECIPE_REQ_SEQ = "RecipeReqSeq"
    FAULT_RESET_SEQ = "FaultResetSeq"
    RECIPE_REQ = "RecipeReq"
    PLC_HEARTBEAT = "PlcHeartbeat"
    PLC_BOOT_ID = "PlcBootId"
    ONLINE = "Online"
    READY = "Ready"
    BUSY = "Busy"
    RESULT_OVERRUN = "ResultOverrun"
    STOP_REQUEST = "StopRequest"
    TRIGGER_ACK_SEQ = "TriggerAckSeq"
    EXPOSURE_DONE_SEQ = "ExposureDoneSeq"
    MISSED_COUNT = "MissedCount"
    RESULT_TRIGGER_SEQ = "ResultTriggerSeq"
    RESULT_PART_ID = "ResultPartId"
    RESULT_CODE = "ResultCode"
    REASON_CODE = "ReasonCode"
    DECISION_SOURCE = "DecisionSource"
    PENDING_RESULTS = "PendingResults"
    FAULT_CODE = "FaultCode"
    RECIPE_ACTIVE = "RecipeActive"
    CLASS_ID = "ClassId"
    SCORE = "Score"
    RESULT_TIME = "ResultTime"
    RESULT_SEQ = "ResultSeq"
    RECIPE_ACK_SEQ = "RecipeAckSeq"
    VISION_HEARTBEAT = "VisionHeartbeat"


@dataclass(frozen=True)
class SignalSpec:
    """One row of the table. ``ua_type`` is the OPC UA built-in type's name."""

    signal: Signal
    ua_type: str
    owner: Owner
    meaning: str

    @property
    def default(self) -> Any:
        """The value before anyone wrote: what a cold-started controller shows."""
        return _DEFAULTS[self.ua_type] if self.signal is not Signal.CLASS_ID else -1


_DEFAULTS: dict[str, Any] = {
    "Boolean": False,
    "String": "",
    "Int32": 0,
    "UInt32": 0,
    "UInt16": 0,
    "Float": 0.0,
    "DateTime": datetime(1601, 1, 1, tzinfo=UTC),
}

_P, _G, _S = Owner.PLC, Owner.GATEWAY, Signal
_ROWS: tuple[tuple[Signal, str, Owner, str], ...] = (
    (_S.TRIGGER_ENABLE, "Boolean", _P, "the line may trigger"),
    (_S.PART_ID, "String", _P, "serial of the part in front of the camera"),
    (_S.LOT_ID, "String", _P, "lot of that part"),
    (_S.PRODUCT_ID, "String", _P, "product of that part: selects policy and expert"),
    (_S.ENCODER_POS, "Int32", _P, "conveyor position at the trigger, counts"),
    (_S.TAKT_MS, "UInt32", _P, "time between parts, ms; the result window unless overridden"),
    (_S.TRIGGER_SEQ, "UInt32", _P, "trigger counter, written last; 0 = cold start"),
    (_S.RESULT_ACK_SEQ, "UInt32", _P, "the ResultSeq that the controller has taken"),
    (_S.RECIPE_REQ_SEQ, "UInt32", _P, "counts recipe requests"),
    (_S.FAULT_RESET_SEQ, "UInt32", _P, "counts fault resets"),
    (_S.RECIPE_REQ, "UInt16", _P, "recipe asked for"),
    (_S.PLC_HEARTBEAT, "UInt32", _P, "counts up while the controller's program runs"),
    (_S.PLC_BOOT_ID, "UInt32", _P, "another number after every cold start"),
    (_S.ONLINE, "Boolean", _G, "the gateway is connected and running"),
    (_S.READY, "Boolean", _G, "a trigger will be captured"),
    (_S.BUSY, "Boolean", _G, "an exposure is under way: the part must not move"),
    (_S.RESULT_OVERRUN, "Boolean", _G, "a result was lost because none were acknowledged"),
    (_S.STOP_REQUEST, "Boolean", _G, "a limit across parts asks the line to stop"),
    (_S.TRIGGER_ACK_SEQ, "UInt32", _G, "last trigger seen; the trigger group may change"),
    (_S.EXPOSURE_DONE_SEQ, "UInt32", _G, "last trigger exposed; the part may move"),
    (_S.MISSED_COUNT, "UInt32", _G, "triggers that were not captured"),
    (_S.RESULT_TRIGGER_SEQ, "UInt32", _G, "the trigger that the result belongs to"),
    (_S.RESULT_PART_ID, "String", _G, "the part that the result belongs to; empty if never read"),
    (_S.RESULT_CODE, "UInt16", _G, "0 none, 1 pass, 2 rework, 3 scrap, 4 hold"),
    (_S.REASON_CODE, "UInt16", _G, "streams.codes.ReasonCode"),
    (_S.DECISION_SOURCE, "UInt16", _G, "1 expert, 2 classifier, 3 fallback, 4 watchdog"),
    (_S.PENDING_RESULTS, "UInt16", _G, "results not yet acknowledged, this one included"),
    (_S.FAULT_CODE, "UInt16", _G, "streams.codes.FaultCode; 0 healthy"),
    (_S.RECIPE_ACTIVE, "UInt16", _G, "recipe in force"),
    (_S.CLASS_ID, "Int32", _G, "class of the anomaly in the policy; -1 none"),
    (_S.SCORE, "Float", _G, "anomaly score"),
    (_S.RESULT_TIME, "DateTime", _G, "when it was decided, UTC"),
    (_S.RESULT_SEQ, "UInt32", _G, "result counter, written last, in a Write of its own"),
    (_S.RECIPE_ACK_SEQ, "UInt32", _G, "the RecipeReqSeq that was answered"),
    (_S.VISION_HEARTBEAT, "UInt32", _G, "counts up while the gateway runs"),
)
SIGNALS: dict[Signal, SignalSpec] = {row[0]: SignalSpec(*row) for row in _ROWS}
"""The whole table in the order of ``SIGNALS.md``."""

TRIGGER_GROUP: tuple[Signal, ...] = (
    Signal.PLC_BOOT_ID,
    Signal.TRIGGER_SEQ,
    Signal.PART_ID,
    Signal.LOT_ID,
    Signal.PRODUCT_ID,
    Signal.ENCODER_POS,
    Signal.TAKT_MS,
)
"""Read in one service call when ``TriggerSeq`` moves; stable until ``TriggerAckSeq`` follows."""

WATCHED: tuple[Signal, ...] = (
    Signal.PLC_BOOT_ID,
    Signal.TRIGGER_SEQ,
    Signal.RESULT_ACK_SEQ,
    Signal.RECIPE_REQ_SEQ,
    Signal.FAULT_RESET_SEQ,
    Signal.PLC_HEARTBEAT,
)
"""What the gateway subscribes to."""


def node_id(prefix: str, signal: Signal) -> str:
    """The string identifier of a signal's node."""
    return f"{prefix}.{signal.value}"


def markdown_table() -> str:
    """The table of ``docs/handshake.md``; a test keeps the two equal."""
    rows = ["| written by | signal | type | meaning |", "|---|---|---|---|"]
    rows += [
        f"| {s.owner.value} | {s.signal.value} | {s.ua_type} | {s.meaning} |"
        for s in SIGNALS.values()
    ]
    return "\n".join(rows) + "\n"
