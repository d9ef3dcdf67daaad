"""Enumerations that cross a wire. The integer codes are the PLC's (``docs/handshake.md``)."""

from enum import IntEnum, StrEnum


class Action(StrEnum):
    """What the line does with a part."""

    PASS = "pass"  # noqa: S105 - the word, not a password
    REWORK = "rework"
    SCRAP = "scrap"
    HOLD = "hold"


class ResultCode(IntEnum):
    """``ResultCode`` on the wire to the PLC; 0 is never written for a decided part."""

    NONE = 0
    PASS = 1
    REWORK = 2
    SCRAP = 3
    HOLD = 4

    @classmethod
    def of(cls, action: Action) -> "ResultCode":
        return cls[action.name]

    @property
    def action(self) -> Action | None:
        return None if self is ResultCode.NONE else Action[self.name]


class Severity(StrEnum):
    """What an anomaly class means for the product (VELM, section 4.3)."""

    NORMAL = "normal"
    NEGLIGIBLE = "negligible"
    DEFECT = "defect"
    UNKNOWN = "unknown"


class Evaluation(StrEnum):
    """OPC 40001-101 ResultEvaluation."""

    OK = "OK"
    NOT_OK = "NotOK"
    NOT_DECIDABLE = "NotDecidable"


class DecisionSource(StrEnum):
    """Who decided. ``PLC_DEFAULT`` stands in the PLC's ledger only."""

    EXPERT = "expert"
    CLASSIFIER = "classifier"
    FALLBACK = "fallback"
    WATCHDOG = "watchdog"
    PLC_DEFAULT = "plc_default"

    @property
    def code(self) -> int:
        """The PLC's ``DecisionSource`` number, 1 to 5."""
        return list(DecisionSource).index(self) + 1


class ReasonCode(IntEnum):
    """Why a part got its action; ``ReasonCode`` on the wire to the PLC."""

    NONE = 0
    NORMAL = 1
    CLASS = 2
    RULE = 3
    UNKNOWN_CLASS = 10
    UNSURE = 11
    LATE = 12
    EXPERT_UNAVAILABLE = 13
    CLASSIFIER_UNAVAILABLE = 14
    UNDECODABLE_IMAGE = 15
    UNKNOWN_PRODUCT = 16
    MALFORMED_EVENT = 17
    NO_DECISION = 20
    MISSED_TRIGGER = 21
    CAPTURE_FAILED = 22
    NO_ARTIFACT = 23


class FaultCode(IntEnum):
    """``FaultCode`` of the gateway towards the PLC; 0 is healthy."""

    NONE = 0
    CAMERA = 1
    KAFKA = 2
    JOURNAL = 3
    SPOOL_FULL = 4
    PLC_HEARTBEAT = 5
    RESULT_OVERRUN = 6
    UNKNOWN_RECIPE = 7
    FOLLOWER = 8


class FallbackKind(StrEnum):
    """The situations for which a policy states an action of its own."""

    UNKNOWN = "unknown"
    UNSURE = "unsure"
    LATE = "late"
    EXPERT_UNAVAILABLE = "expert_unavailable"
    NO_DECISION = "no_decision"


class AckOutcome(StrEnum):
    """What became of a result written, or due to be written, to the PLC."""

    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"
    LATE = "late"
    OLD_BOOT = "old_boot"


class ClockStatus(StrEnum):
    """Whether the host's clock was synchronised when it stamped the event."""

    SYNCHRONISED = "synchronised"
    UNSYNCHRONISED = "unsynchronised"
    UNKNOWN = "unknown"


class Stage(StrEnum):
    """Where in the flow something happened: dead letters and timings name it."""

    CAPTURE = "capture"
    INSPECT = "inspect"
    CLASSIFY = "classify"
    JOIN = "join"
    RECORD = "record"
    GATEWAY = "gateway"
    LIMITS = "limits"
