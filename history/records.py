"""The frozen values with which the history answers, ready for JSON and for tables."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from streams.codes import Action, DecisionSource, ReasonCode, Severity
from streams.events import Classification, Inspection


class Record(BaseModel):
    """Base of the history's answers."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class OtherDecision(Record):
    """A decision of the same frame that was not the effective one."""

    source: str
    action: str
    class_name: str
    is_late: bool
    decided_at: datetime
    outcome: str | None = None


class ReviewSummary(Record):
    """The latest review of a frame by a person."""

    review_id: UUID
    reviewer: str
    class_name: str
    severity: str
    action: str | None = None
    comment: str = ""
    reviewed_at: datetime


class FrameRecord(Record):
    """One frame with its effective decision: the one that the PLC acknowledged.

    Where none was, the one that was written to it; else the first of expert, classifier,
    fallback and watchdog that was in time.
    """

    frame_id: UUID
    captured_at: datetime
    line: str
    station: str
    product_id: str
    part_id: str
    lot_id: str
    plc_boot_id: int
    trigger_seq: int
    is_simulated: bool
    result_id: UUID
    source: str
    evaluation: str
    class_name: str
    severity: str
    action: str
    reason_code: int
    reason: str
    rule: str
    is_late: bool
    policy_hash: str
    score: float | None
    p_value: float | None
    expert_version: str
    classifier: str
    confidence: float | None
    decided_at: datetime
    outcome: str | None
    """What became of the decision at the PLC; None when nothing was heard of it."""
    written_at: datetime | None
    acknowledged_at: datetime | None
    trigger_to_write_ms: float | None
    image_key: str | None
    mask_key: str | None
    review: ReviewSummary | None
    other_decisions: tuple[OtherDecision, ...] = ()


class Page(Record):
    """Frames, newest first; ``next_cursor`` asks for the next page and is None at the end."""

    frames: tuple[FrameRecord, ...]
    next_cursor: str | None = None


class ShotStory(Record):
    """One shot of a part with several: what it was judged, and what is kept of its picture."""

    shot: int
    name: str
    frame_id: UUID | None
    """None when nothing was ever heard of the shot."""
    source: str
    """Who judged it; ``missing`` when it was too late for the decision of its part, or lost."""
    action: str
    severity: str
    class_name: str
    score: float | None
    image_key: str | None
    mask_key: str | None


class Story(Record):
    """All that is known of one part: every event whole, in the order of its time."""

    frame_id: UUID
    """The part's identity; where it has a single shot, the shot's frame."""
    effective: FrameRecord | None
    """None while no decision is recorded."""
    decisions: tuple[dict[str, object], ...] = ()
    acknowledgements: tuple[dict[str, object], ...] = ()
    anomalies: tuple[dict[str, object], ...] = ()
    reviews: tuple[dict[str, object], ...] = ()
    dead_letters: tuple[dict[str, object], ...] = ()
    verdicts: tuple[dict[str, object], ...] = ()
    """What the shots of a part with several were judged, late answers included."""
    shots: tuple[ShotStory, ...] = ()
    """The shots of a part with several, in order; empty for a single one."""
    shown: UUID | None = None
    """The frame whose picture is meant by the keys: the one asked for, or the first kept."""
    image_key: str | None = None
    mask_key: str | None = None


class Count(Record):
    """How many frames fell under one name."""

    name: str
    count: int


class Day(Record):
    """One day's frames by action; of UTC unless another zone was asked for."""

    day: str
    frames: int
    by_action: dict[str, int]


class ParetoRow(Record):
    """One name of a Pareto: its parts, their share, and the share of all names so far."""

    name: str
    parts: int
    share: float
    cumulative_share: float


class Pareto(Record):
    """The names under which the most parts of a filter fall, the most frequent first."""

    by: str
    parts: int
    """The parts under all names."""
    names: int
    rows: tuple[ParetoRow, ...]


class Stats(Record):
    """Counts over the effective decisions of a filter."""

    frames: int
    parts: int
    first_pass_yield: float | None
    """Share of parts that passed when they were first seen; None without parts."""
    by_action: dict[str, int]
    by_severity: dict[str, int]
    by_source: dict[str, int]
    by_class: dict[str, int]
    by_outcome: dict[str, int]
    by_day: tuple[Day, ...]
    top_reasons: tuple[Count, ...]
    """How often each rule of the policy decided, without passes, the most frequent first."""
    with_late_answer: int
    """Frames of which some decision came too late to be acted on."""
    reviewed: int
    review_agrees: int
    """Reviews whose severity is the decision's."""


class AuditCount(Record):
    """Parts of one product, class, expert and policy that passed, and what audits say of them."""

    product_id: str
    class_name: str
    """The class under which they passed; empty where they passed as normal or by a fallback."""
    expert_version: str
    policy_hash: str
    share: float | None
    """At which they were drawn; None where the policy is not in the history."""
    passed: int
    drawn: int = 0
    without_picture: int = 0
    """Drawn, not reviewed, and nothing is kept that could be: their frames were never inspected."""
    reviewed: int = 0
    """Drawn and blindly reviewed as normal, negligible or a defect."""
    escapes: int = 0
    """Of the reviewed: defects."""
    undecided: int = 0
    """Drawn and blindly reviewed as ``unknown``: in no rate."""


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """One effective decision with what the policy saw, for back-tests."""

    frame_id: UUID
    captured_at: datetime
    line: str
    station: str
    product_id: str
    part_id: str
    lot_id: str
    source: DecisionSource
    action: Action
    severity: Severity
    class_name: str
    rule: str
    reason_code: ReasonCode
    reason: str
    policy_hash: str
    inspection: Inspection | None
    classification: Classification | None
    image_key: str | None
    review: ReviewSummary | None
    class_id: int | None = None
    """The scan of the history leaves it out: a replay does not compare it."""
    is_late: bool = False
    """An effective decision is never a late one."""


class TriggerNumbers(Record):
    """Numbers in a row that a controller gave its parts in one run of its program."""

    line: str
    station: str
    plc_boot_id: int
    """Which run: the controller's PlcBootId."""
    first: int
    """TriggerSeq of the first."""
    last: int
    """TriggerSeq of the last, inclusive."""

    @property
    def count(self) -> int:
        """How many numbers."""
        return self.last - self.first + 1


class LostMessages(Record):
    """A span of a topic's partition that a role never read, as it said when it came back."""

    stage: str
    topic: str
    partition: int
    first: int
    """Offset of the first."""
    error: str
    """How many, and which."""
    noticed_at: datetime


class Gaps(Record):
    """What is missing from the history, or is there twice."""

    undecided: tuple[UUID, ...]
    """Frames with an anomaly or an acknowledgement and no decision."""
    unanswered: tuple[UUID, ...]
    """Decided frames for which neither PLC nor gateway reported an outcome."""
    decided_twice: tuple[UUID, ...]
    """Frames of which the controller has two decisions."""
    false_facts: tuple[UUID, ...] = ()
    """Parts of which the kept fact says something else than the recorded events."""
    false_counts: tuple[datetime, ...] = ()
    """Quarters of an hour whose counts are not those of the facts."""
    contradicted: tuple[UUID, ...] = ()
    """Frames whose acknowledgement states another action than the decision that it answers."""
    holes: tuple["TriggerNumbers", ...] = ()
    """Trigger numbers of which nothing is on record, between two that are."""
    twice_numbered: tuple["TriggerNumbers", ...] = ()
    """Trigger numbers under which the controller has results of two parts."""
    lost: tuple["LostMessages", ...] = ()
    """Messages that retention deleted before a role had read them."""
    late: int = 0
    """Parts with the outcome ``late``, as ``Stats.by_outcome`` counts them; nothing is missing of
    them."""
    written_late: int = 0
    """Those of them whose result reached the controller after its window; of the others none did.
    """

    @property
    def complete(self) -> bool:
        """Whether there are none."""
        gaps = type(self).model_fields.keys() - {"late", "written_late"}
        return not any(getattr(self, name) for name in gaps)
