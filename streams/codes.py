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
    """No result.

    Wait for ResultSeq.
    """
    PASS = 1
    """The part is good enough.

    Let it go on.
    """
    REWORK = 2
    """The part can be mended.

    Sort it out for rework.
    """
    SCRAP = 3
    """The part cannot be used.

    Sort it out as scrap.
    """
    HOLD = 4
    """Nobody can say what the part is.

    Sort it out for a person to look at.
    """

    @classmethod
    def of(cls, action: Action) -> "ResultCode":
        return cls[action.name]

    @property
    def action(self) -> Action | None:
        return None if self is ResultCode.NONE else Action[self.name]


class Severity(StrEnum):
    """What an anomaly class means for the product (VELM, section 4.3)."""

    NORMAL = "normal"
    """No anomaly."""
    NEGLIGIBLE = "negligible"
    """An anomaly that does not matter for the product."""
    DEFECT = "defect"
    """An anomaly that does."""
    UNKNOWN = "unknown"
    """Nobody can say."""


class Evaluation(StrEnum):
    """OPC 40001-101 ResultEvaluation."""

    OK = "OK"
    """Normal or negligible."""
    NOT_OK = "NotOK"
    """A defect."""
    NOT_DECIDABLE = "NotDecidable"
    """Of unknown severity."""


class DecisionSource(StrEnum):
    """Who decided. ``PLC_DEFAULT`` stands in the PLC's ledger only."""

    EXPERT = "expert"
    """The vision expert: nothing was odd."""
    CLASSIFIER = "classifier"
    """The classifier named the anomaly."""
    FALLBACK = "fallback"
    """The policy's fallback: somebody did not answer, or could not."""
    WATCHDOG = "watchdog"
    """The gateway, since no decision came or there was no picture."""
    PLC_DEFAULT = "plc_default"
    """The controller itself, when its window was over. It is never written to the controller."""

    @property
    def code(self) -> int:
        """The PLC's ``DecisionSource`` number, 1 to 5."""
        return list(DecisionSource).index(self) + 1


class ReasonCode(IntEnum):
    """Why a part got its action; ``ReasonCode`` on the wire to the PLC."""

    NONE = 0
    """There is no result yet.

    Wait.
    """
    NORMAL = 1
    """The expert found nothing odd, or nothing odder than the policy's `stop_rate` lets pass.

    Sort by ResultCode.
    """
    CLASS = 2
    """The classifier named the anomaly, and the policy says what its class means.

    Sort by ResultCode; ClassId says which class.
    """
    RULE = 3
    """A rule of the policy held, on measurements or over the shots of a part.

    Sort by ResultCode.
    """
    UNKNOWN_CLASS = 10
    """The classifier looked and cannot name what is odd.

    Send a held part to a person.
    """
    UNSURE = 11
    """The class is too uncertain, has no certificate, or cannot be measured at this station.

    Send a held part to a person.
    """
    LATE = 12
    """The expert or the classifier did not answer before the fallback was due.

    Sort by ResultCode; many in a row: slow down, and call whoever runs the models.
    """
    EXPERT_UNAVAILABLE = 13
    """The expert could not be asked, or failed.

    Sort by ResultCode; many in a row: stop, and call whoever runs the models.
    """
    CLASSIFIER_UNAVAILABLE = 14
    """The classifier could not be asked, or failed.

    Sort by ResultCode; many in a row: call whoever runs the models.
    """
    UNDECODABLE_IMAGE = 15
    """The picture cannot be decoded, or is not there any more.

    Sort by ResultCode; many in a row: look at the camera and its cable.
    """
    UNKNOWN_PRODUCT = 16
    """No policy is in force for ProductId: every such part is held.

    Check ProductId; the policy is put in force with `andon policy apply`.
    """
    MALFORMED_EVENT = 17
    """What came by Kafka is no event of a part.

    Sort by ResultCode, and call whoever runs the line's programs.
    """
    NO_DECISION = 20
    """Nobody had decided shortly before the window's end, so the gateway did.

    Sort by ResultCode; many in a row: the window is too short, or a process is down.
    """
    MISSED_TRIGGER = 21
    """The trigger was not captured: the gateway was not ready, or TriggerSeq jumped. There is no
    picture.

    Send the part past the camera again, or to a person.
    """
    CAPTURE_FAILED = 22
    """The camera gave no picture.

    Send the part past the camera again, or to a person; look at the camera.
    """
    NO_ARTIFACT = 23
    """No expert is deployed for the product.

    Sort by ResultCode, and call whoever runs the models.
    """


class FaultCode(IntEnum):
    """``FaultCode`` of the gateway towards the PLC; 0 is healthy."""

    NONE = 0
    """The gateway is healthy.

    Go on.
    """
    CAMERA = 1
    """Three exposures in a row failed. Ready is down; the gateway opens the camera again and again,
    and the fault ends with the first picture.

    Keep parts back until Ready; look at the camera.
    """
    KAFKA = 2
    """The broker does not answer. Ready stays, events wait on disk, and the gateway decides by the
    product's no-decision action.

    Go on if that action is safe for you, else stop; it ends by itself.
    """
    JOURNAL = 3
    """The journal cannot be written (a full or broken disk). Ready is down; results still go out.

    Keep parts back until Ready; look at the gateway's disk.
    """
    SPOOL_FULL = 4
    """Events wait for the broker and their folder is full. Ready is down.

    Keep parts back until Ready; look at the broker and at the disk.
    """
    PLC_HEARTBEAT = 5
    """PlcHeartbeat stood still for too long. Ready is down.

    Count PlcHeartbeat on; the fault ends with the next count.
    """
    RESULT_OVERRUN = 6
    """Too many results were not acknowledged, and one was lost to the controller (ResultOverrun).

    Answer each ResultSeq in ResultAckSeq, hold the part without a result, then move FaultResetSeq.
    """
    UNKNOWN_RECIPE = 7
    """RecipeReq is not in `gateway.recipes`; RecipeActive stays as it was.

    Ask for a recipe that is listed, or move FaultResetSeq.
    """
    FOLLOWER = 8
    """The reader of decisions or policies died, and is begun again; or has been behind for 10 s; or
    a policy was refused that no trusted key signed, and the one before stays in force. Ready stays.

    Go on; the first ends by itself. If it stays, call whoever runs the line's programs: `andon
    doctor` names the product.
    """
    SIGNAL_REFUSED = 9
    """The controller does not let the gateway write one of its signals, which the log names. Ready
    stays, and every other signal is written.

    Go on if nothing needs that signal; give the gateway the right to write it, and let it connect
    anew.
    """
    RESULT_REFUSED = 10
    """The controller does not let the gateway write ResultTriggerSeq, ResultCode or ResultSeq: no
    result can be told. Ready is down.

    Hold every part; give the gateway the right to write them, and let it connect anew.
    """
    CLOCK_SKEW = 11
    """The clock of a worker's host differs from the gateway's by more than a quarter of the result
    window. It counts windows from the parts' arrival meanwhile. Ready stays.

    Go on; synchronise the clocks of the hosts. It ends with the next decision.
    """
    NO_WINDOW = 12
    """TaktMs was 0, over an hour or shorter than the gateway's margin with the last trigger, so
    nobody can say by when its result is due: the part is held. Ready stays.

    Write TaktMs before TriggerSeq, or set `gateway.result_window_ms`; it ends with the next
    trigger.
    """
    RECIPE_EXPERT = 13
    """The recipe's product has no expert in Serve, or not the version that the recipe asks for;
    RecipeActive stays as it was.

    Feed no part of that product. Train the expert or put the version in force (`andon models use`),
    then ask again; the log says what is missing.
    """
    RECIPE_POLICY = 14
    """No policy is in force for the recipe's product, or not the version that the recipe asks for;
    RecipeActive stays as it was.

    Feed no part of that product. Put the policy in force (`andon policy apply`), then ask again.
    """
    RECIPE_CAMERA = 15
    """The camera refuses a feature of the recipe; RecipeActive stays as it was.

    Feed no part of that product. The log names the feature: correct it in `gateway.recipes`.
    """
    RECIPE_TIMEOUT = 16
    """A stage did not answer within `recipe_timeout_s`; RecipeActive stays as it was.

    Ask again. If it stays, call whoever runs the line's programs: the log names the stage.
    """
    RECIPE_UNREADABLE = 17
    """RecipeReq had bad or uncertain quality for a second after RecipeReqSeq moved; RecipeActive
    stays as it was.

    Give RecipeReq a good value, then ask again.
    """


class FallbackKind(StrEnum):
    """The situations for which a policy states an action of its own."""

    UNKNOWN = "unknown"
    """The classifier cannot name the anomaly."""
    UNSURE = "unsure"
    """The class is too uncertain."""
    LATE = "late"
    """There was no answer in time."""
    EXPERT_UNAVAILABLE = "expert_unavailable"
    """The expert cannot answer, the picture cannot be decoded, or the product has no expert."""
    NO_DECISION = "no_decision"
    """Nobody decided: the watchdog does."""


class AckOutcome(StrEnum):
    """What became of a result written, or due to be written, to the PLC."""

    ACKNOWLEDGED = "acknowledged"
    """Written within the window, and the controller answered with ResultAckSeq."""
    UNACKNOWLEDGED = "unacknowledged"
    """Written in time and not answered in `ack_timeout_ms`, refused, or lost to an overrun."""
    LATE = "late"
    """Its window was over, or another decision stood. One with a `written_at` was written after its
    window, and the controller's own default stands; the others were not written."""
    OLD_BOOT = "old_boot"
    """The controller had restarted: the part is not its any more."""


class ClockStatus(StrEnum):
    """Whether the host's clock was synchronised when it stamped the event."""

    SYNCHRONISED = "synchronised"
    """The host's clock follows a time server."""
    UNSYNCHRONISED = "unsynchronised"
    """It does not: times of several hosts cannot be compared."""
    UNKNOWN = "unknown"
    """The host does not say."""


LOST_TO_RETENTION = "LostToRetention"
"""The error type of a dead letter for messages that were deleted before a role had read them."""


class Stage(StrEnum):
    """Where in the flow something happened: dead letters and timings name it."""

    CAPTURE = "capture"
    INSPECT = "inspect"
    CLASSIFY = "classify"
    JOIN = "join"
    RECORD = "record"
    GATEWAY = "gateway"
    LIMITS = "limits"
    MQTT = "mqtt"
