"""The events on Kafka: frozen, versioned, timezone-aware. Unknown future fields are kept."""

from typing import Annotated, ClassVar
from uuid import UUID, uuid5

from pydantic import Field

from streams.codes import (
    AckOutcome,
    Action,
    ClockStatus,
    DecisionSource,
    Evaluation,
    ReasonCode,
    Severity,
    Stage,
)
from streams.inspections import Blob as Blob
from streams.inspections import Box as Box
from streams.inspections import Event as Event
from streams.inspections import Inspection as Inspection
from streams.inspections import Int32 as Int32
from streams.inspections import Int64 as Int64
from streams.inspections import Moment as Moment
from streams.inspections import Real as Real
from streams.inspections import Region as Region
from streams.inspections import Text as Text
from streams.inspections import Timings as Timings
from streams.inspections import UInt32 as UInt32
from streams.inspections import Unit as Unit
from streams.reviews import Review as Review

ShotNumber = Annotated[int, Field(ge=1, le=256)]
_DECISIONS = UUID("6b9f1d5e-4a8e-5c0f-9a53-0d1f3f6a7c11")


class PartOnLine(Event):
    """Which part, where and when: the fields that every event of a part repeats."""

    frame_id: UUID
    enterprise: Text = ""
    site: Text = ""
    area: Text = ""
    line: Text
    station: Text
    product_id: Text
    part_id: Text
    lot_id: Text = ""
    plc_boot_id: UInt32
    trigger_seq: Annotated[int, Field(ge=1, le=0xFFFFFFFF)]
    encoder_pos: Int32 = 0
    captured_at: Moment
    deadline: Moment
    """End of the result window T: what is not written to the PLC by then is the PLC's default."""
    result_window_ms: Annotated[int, Field(gt=0, le=0xFFFFFFFF)]
    shot: ShotNumber = 1
    """Number of this photograph among those of the part, from 1."""
    shots_expected: ShotNumber = 1
    """How many photographs the part's one trigger asked for; with 1 nothing is joined."""
    shot_name: Text = ""
    """What the station calls this shot: a side, a light, a camera."""
    part_frame_id: UUID | None = None
    """The part's identity, the frame id of its trigger; None: this event's own ``frame_id``."""
    clock_status: ClockStatus = ClockStatus.UNKNOWN
    is_simulated: bool = False
    recipe: Annotated[int, Field(ge=0, le=0xFFFF)] = 0
    """The recipe in force at the trigger; 0: none, or the station has no recipes."""

    @property
    def key(self) -> str:
        """The Kafka key: keeps a station's parts in order."""
        return f"{self.line}/{self.station}"

    @property
    def part_identity(self) -> UUID:
        """The frame id that every shot of the part has in common."""
        return self.part_frame_id or self.frame_id


class Frame(PartOnLine):
    """One photograph of one part. The Kafka value is the image's bytes as captured."""

    event_type: ClassVar[str] = "andon.frame.v1"
    is_binary: ClassVar[bool] = True
    content_type: Text = "application/octet-stream"
    size_bytes: Annotated[int, Field(ge=0, le=(1 << 63) - 1)]
    sha256: Text
    dataref: Annotated[str, Field(max_length=1024)] | None = None
    """Object key of the image when it exceeds the inline limit; the value is then empty."""
    image_name: Text = ""
    light: Text = ""


class Anomaly(Event):
    """Value: the image's bytes, or empty with ``frame.dataref``. Sampled normals travel here."""

    event_type: ClassVar[str] = "andon.anomaly.v1"
    is_binary: ClassVar[bool] = True
    frame: Frame
    inspection: Inspection
    classify: bool = True
    """False: recorded only (a fallback has decided already, or a normal kept for audit)."""
    reason: Text = "anomalous"
    """``anomalous``, ``decided`` (a fallback was first) or ``audit``."""
    timings_ms: Timings = {}
    """Milliseconds by stage so far: ``queue_inspect``, ``expert``, ``inspect``."""
    inspected_at: Moment | None = None
    """When it was sent, by the clock of the part's gateway as far as that is known."""


class Classification(Event):
    """What a classifier answered. ``class_name`` is of the policy, ``normal`` or ``unknown``."""

    event_type: ClassVar[str] = "andon.classification.v1"
    class_name: Text
    confidence: Unit
    classifier: Text
    """Which classifier answered: ``prototypes``, ``velm``, ``cascade`` ..."""
    model: Text = ""
    prompt_hash: Text = ""
    exemplars_version: Text = ""
    unknown_reason: Text = ""
    tokens_in: Int64 = 0
    tokens_out: Int64 = 0
    cost: Real = 0.0
    """The cost in the currency of the endpoint's price list."""
    unanswered_calls: Int64 = 0
    """Calls to language models for this part that brought no answer, and that a provider may bill
    beside the above: retried, cut at the deadline, or of a stage that failed."""
    unanswered_tokens: Int64 = 0
    """Theirs: an estimate, but for calls of which the endpoint said what they took."""
    unanswered_cost: Real = 0.0
    latency_ms: Real = 0.0
    candidates: Annotated[dict[Text, Real], Field(max_length=4096)] = {}
    """Class -> confidence, the runners-up included."""
    stages: tuple[Text, ...] = ()
    """For a cascade: which stages were asked, in order."""
    normal_p_value: Unit | None = None
    """Share of normal parts that look as odd to expert and classifier together, by parts that
    neither had seen; None where the two were not calibrated together."""


class ShotSummary(Event):
    """What one shot contributed to the decision of its part."""

    shot: ShotNumber
    name: Text = ""
    frame_id: UUID | None = None
    """The shot's own frame; None when nothing was heard of the shot before the part was decided."""
    source: DecisionSource
    severity: Severity
    action: Action
    class_name: Text = ""
    reason_code: ReasonCode
    rule: Text = ""
    score: Real | None = None


class GoldenCheck(Event):
    """What a part that the policy knows should be judged, and whether it was."""

    actions: tuple[Action, ...]
    """What the line may do with it."""
    severity: Severity | None = None
    """What its decision must say; None: anything."""
    is_right: bool


class Decision(PartOnLine):
    """What the line controller reads; names after OPC 40100-1 and OPC 40001-101.

    The decision of a part with several shots has ``frame_id`` equal to ``part_frame_id``, says in
    ``shots`` what each contributed, and carries inspection and classification of the shot that
    decided.
    """

    event_type: ClassVar[str] = "andon.decision.v1"
    result_id: UUID
    """UUIDv5 of frame id and source."""
    source: DecisionSource
    evaluation: Evaluation
    class_name: Text = ""
    class_id: Int32 = -1
    severity: Severity
    action: Action
    reason_code: ReasonCode
    reason: Annotated[str, Field(max_length=2048)] = ""
    rule: Text = ""
    """The rule of the policy that fired: ``normal``, ``class:crack``, ``fallback:late`` ..."""
    is_late: bool = False
    """Decided after another decision stood or the window closed: recorded, never acted on."""
    policy_hash: Text = ""
    inspection: Inspection | None = None
    classification: Classification | None = None
    decided_at: Moment
    """By the clock of the part's gateway, as far as who decided knows it."""
    clock_ahead_s: Real = 0.0
    """By how much the clock of the host that decided was found to be ahead of the gateway's, or
    behind where negative, seconds; 0 where nothing spoke against it."""
    is_historical: bool = False
    timings_ms: Timings = {}
    """Milliseconds by stage: ``queue_inspect``, ``expert``, ``queue_classify``, ``classifier``."""
    shots: Annotated[tuple[ShotSummary, ...], Field(max_length=256)] = ()
    """One for each expected shot of a part with several, in order; empty for a single shot."""
    golden: GoldenCheck | None = None
    """Of a known part alone: it counts in no statistics, no limit, no drift and no lesson."""


class ShotVerdict(Decision):
    """What one of several shots of a part was judged. The role ``join`` decides the part of them.

    It never goes to ``andon.decisions``: no line controller may act on one shot.
    """

    event_type: ClassVar[str] = "andon.shot.v1"


class Acknowledgement(PartOnLine):
    """What became of one result at the PLC. The acknowledged decision is the effective one.

    A ``late`` one with a ``written_at`` was written after the part's window.
    """

    event_type: ClassVar[str] = "andon.ack.v1"
    result_id: UUID
    source: DecisionSource
    action: Action
    outcome: AckOutcome
    result_seq: UInt32 = 0
    decided_at: Moment | None = None
    written_at: Moment | None = None
    acknowledged_at: Moment | None = None
    trigger_to_write_ms: Real | None = None
    detail: Text = ""

    @property
    def reached_controller(self) -> bool:
        """Whether the controller took the result from its registers, in time or late."""
        is_late = self.outcome is AckOutcome.LATE
        return self.outcome is AckOutcome.ACKNOWLEDGED or (
            is_late and self.acknowledged_at is not None
        )


class DeadLetter(Event):
    """What could not be processed. The Kafka value is the original bytes."""

    event_type: ClassVar[str] = "andon.dead.v1"
    is_binary: ClassVar[bool] = True
    letter_id: UUID
    """UUIDv5 of topic, partition, offset, the record's time and stage: redelivery repeats it."""
    stage: Stage
    error_type: Text
    error: Annotated[str, Field(max_length=4096)]
    topic: Text
    partition: Int32
    offset: Int64
    original_key: str = ""
    original_headers: dict[str, str] = {}
    is_cut: bool = False
    """Whether the value or a header is less than the original's."""
    frame_id: UUID | None = None
    failed_at: Moment


class PolicyInForce(Event):
    """A resolved policy as published on the compacted topic."""

    event_type: ClassVar[str] = "andon.policy.v1"
    product_id: Text
    policy_hash: Annotated[str, Field(min_length=1, max_length=512)]
    body: dict[str, object]
    applied_by: Text = ""
    reason: Text = ""
    applied_at: Moment


class CountedPart(Event):
    """One part in the window of its product on its line: what the limits count.

    The changelog of the limits role: the last one per slot stands, the highest ``number`` is the
    newest part.
    """

    event_type: ClassVar[str] = "andon.counted.v1"
    line: Text
    product_id: Text
    number: Annotated[int, Field(ge=1, le=(1 << 63) - 1)]
    """Counts the parts of the product on the line, from 1."""
    frame_id: UUID
    source: DecisionSource
    action: Action
    class_name: Text = ""
    exceeded: tuple[Text, ...] = ()
    """The limits that were exceeded after this part: none of them is alerted again."""
    station: Text = ""
    expert_version: Text = ""
    watched: Annotated[dict[Text, Real], Field(max_length=256)] = {}
    """What the part adds to the watch for drift, by quantity."""
    drift: dict[str, object] | None = None
    """The watch over the part's station after it, now and then: those between are redone."""
    decided_at: Moment


class Alert(Event):
    """Something across parts that a person should know.

    Of ``kind`` ``limit``: a limit that was exceeded; the gateway turns it into ``StopRequest``. Of
    ``kind`` ``drift``: frames of a station that no longer look as they did; it never asks to stop.
    Of ``kind`` ``golden``: a known part that was judged wrongly; it asks to stop.
    """

    event_type: ClassVar[str] = "andon.alert.v1"
    alert_id: UUID
    line: Text
    product_id: Text
    kind: Text = "limit"
    limit: Text
    """The limit's name, ``drift/`` and the quantity, or ``golden/`` and the part."""
    reason: Annotated[str, Field(max_length=2048)]
    request_stop: bool = False
    count: Int64 = 0
    window_parts: Int64 = 0
    policy_hash: Text = ""
    station: Text = ""
    """Whose frames drift; a limit counts all stations."""
    began_at: Moment | None = None
    """When the part was decided that the drift most likely began with."""
    moved: tuple[Text, ...] = ()
    """``light`` and ``focus`` where the pictures' statistics say so, else ``look``."""
    raised_at: Moment


def decision_id(frame_id: UUID, source: DecisionSource, of_shot: bool = False) -> UUID:
    """UUIDv5 of frame and source: redelivery repeats it, a late answer has one of its own.

    ``of_shot``: for the verdict on one of several shots, which is no decision.
    """
    return uuid5(_DECISIONS, f"{frame_id}/{source.value}{'/shot' if of_shot else ''}")
