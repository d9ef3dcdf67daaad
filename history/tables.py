"""The tables: one insert-only table per topic, no foreign key across topics.

Typed columns hold what is asked for; ``event`` holds the whole event as it was on Kafka. Every
primary key is the event's own identity, so that a redelivered event is the row that is there.
Times are UTC (``timestamptz``).
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Index, MetaData, Text, func, text
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

_NAMES = {
    "pk": "%(table_name)s_pkey",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
}
_REGISTRY = registry(metadata=MetaData(naming_convention=_NAMES))


class Table(SQLModel, registry=_REGISTRY):
    """Base of all tables of the history."""


METADATA = Table.metadata
TOPIC_TABLES = (
    "anomaly",
    "decision",
    "shot_verdict",
    "acknowledgement",
    "review",
    "dead_letter",
    "alert",
    "changeover",
)
"""One for each topic that is recorded: what the line did."""
Json = dict[str, object]
_ZONED = DateTime(timezone=True)


def _time() -> datetime:
    """A column for a moment in UTC."""
    column: datetime = Field(sa_type=_ZONED)
    return column


def _maybe_time() -> datetime | None:
    column: datetime | None = Field(default=None, sa_type=_ZONED)
    return column


def _now() -> datetime | None:
    """A column that the database fills with the time of the insert."""
    clock = {"server_default": func.now()}
    column: datetime | None = Field(
        default=None, nullable=False, sa_type=_ZONED, sa_column_kwargs=clock
    )
    return column


def _text(primary_key: bool = False, index: bool = False) -> str:
    column: str = Field(default="", sa_type=Text, primary_key=primary_key, index=index)
    return column


def _maybe_text() -> str | None:
    column: str | None = Field(default=None, sa_type=Text, nullable=True)
    return column


def _number() -> int:
    """A column for an integer of 64 bits."""
    column: int = Field(sa_type=BigInteger)
    return column


class OfEvent(Table):
    """The columns of every event: when it was recorded, and all of it."""

    recorded_at: datetime | None = _now()
    event: Json = Field(sa_type=JSONB, nullable=False)


class OfPart(OfEvent):
    """The columns that every event of a part repeats."""

    frame_id: UUID
    line: str = _text()
    station: str = _text()
    product_id: str = _text()
    part_id: str = _text()
    lot_id: str = _text()
    plc_boot_id: int = _number()
    trigger_seq: int = _number()
    captured_at: datetime = _time()
    is_simulated: bool = False


class AnomalyRow(OfPart, table=True):
    """``andon.anomalies``: an inspection whose picture is kept."""

    __tablename__ = "anomaly"
    __table_args__ = (Index(None, "captured_at", "frame_id"),)

    frame_id: UUID = Field(primary_key=True)
    reason: str = _text(primary_key=True)
    """``anomalous``, ``decided`` or ``audit``."""
    classify: bool
    anomalous: bool
    score: float
    threshold: float
    p_value: float
    expert_version: str = _text()
    image_key: str | None = _maybe_text()
    mask_key: str | None = _maybe_text()
    sha256: str = _text()
    content_type: str = _text()


class DecisionRow(OfPart, table=True):
    """``andon.decisions``: one row per frame and source."""

    __tablename__ = "decision"
    __table_args__ = (
        Index(None, "captured_at", "frame_id"),
        Index("decision_golden_idx", "frame_id", postgresql_where=text("is_golden")),
    )

    frame_id: UUID = Field(primary_key=True)
    result_id: UUID = Field(primary_key=True)
    source: str = _text()
    evaluation: str = _text()
    class_name: str = _text()
    severity: str = _text()
    action: str = _text()
    reason_code: int
    reason: str = _text()
    rule: str = _text()
    is_late: bool = False
    policy_hash: str = _text()
    score: float | None = None
    p_value: float | None = None
    expert_version: str = _text()
    classifier: str = _text()
    confidence: float | None = None
    decided_at: datetime = _time()
    is_golden: bool = False


class ShotVerdictRow(OfPart, table=True):
    """``andon.shots``: what one shot of a part with several was judged."""

    __tablename__ = "shot_verdict"
    __table_args__ = (Index(None, "part_frame_id"),)

    frame_id: UUID = Field(primary_key=True)
    result_id: UUID = Field(primary_key=True)
    part_frame_id: UUID
    shot: int
    shot_name: str = _text()
    source: str = _text()
    class_name: str = _text()
    severity: str = _text()
    action: str = _text()
    reason_code: int
    is_late: bool = False
    decided_at: datetime = _time()


class AcknowledgementRow(OfPart, table=True):
    """``andon.acks``: what became of a result at the PLC."""

    __tablename__ = "acknowledgement"
    __table_args__ = (Index(None, "captured_at", "frame_id"),)

    frame_id: UUID = Field(primary_key=True)
    result_id: UUID = Field(primary_key=True)
    outcome: str = _text(primary_key=True)
    source: str = _text()
    action: str = _text()
    result_seq: int = _number()
    decided_at: datetime | None = _maybe_time()
    written_at: datetime | None = _maybe_time()
    acknowledged_at: datetime | None = _maybe_time()
    trigger_to_write_ms: float | None = None


class ReviewRow(OfEvent, table=True):
    """``andon.reviews``: what a person decided afterwards."""

    __tablename__ = "review"
    __table_args__ = (
        Index(None, "frame_id", "reviewed_at"),
        Index("review_withdraws_idx", "withdraws", postgresql_where=text("withdraws IS NOT NULL")),
    )

    review_id: UUID = Field(primary_key=True)
    frame_id: UUID
    reviewer: str = _text()
    class_name: str = _text()
    severity: str = _text()
    action: str | None = _maybe_text()
    comment: str = _text()
    is_blind: bool = False
    is_settlement: bool = False
    withdraws: UUID | None = None
    reviewed_at: datetime = _time()


class DeadLetterRow(OfEvent, table=True):
    """``andon.dead``: what could not be processed, and where its bytes are kept."""

    __tablename__ = "dead_letter"
    __table_args__ = (Index(None, "failed_at"), Index(None, "frame_id"))

    letter_id: UUID = Field(primary_key=True)
    frame_id: UUID | None = None
    stage: str = _text()
    error_type: str = _text()
    error: str = _text()
    topic: str = _text()
    partition: int
    offset: int = _number()
    object_key: str = _text()
    failed_at: datetime = _time()


class AlertRow(OfEvent, table=True):
    """``andon.alerts``: a limit across parts that was exceeded."""

    __tablename__ = "alert"
    __table_args__ = (Index(None, "line", "product_id", "raised_at"),)

    alert_id: UUID = Field(primary_key=True)
    line: str = _text()
    product_id: str = _text()
    limit_name: str = _text()
    reason: str = _text()
    request_stop: bool = False
    raised_at: datetime = _time()


class ChangeoverRow(OfEvent, table=True):
    """``andon.changeovers``: one step of a change of a station's recipe."""

    __tablename__ = "changeover"
    __table_args__ = (Index(None, "line", "station", "at"), Index(None, "changeover_id"))

    step_id: UUID = Field(primary_key=True)
    changeover_id: UUID
    phase: str = _text()
    """``requested``, ``prepared``, ``refused`` or ``acknowledged``."""
    stage: str = _text()
    line: str = _text()
    station: str = _text()
    recipe: int
    recipe_name: str = _text()
    recipe_before: int
    product_id: str = _text()
    policy_hash: str = _text()
    expert_version: str = _text()
    fault_code: int
    reason: str = _text()
    at: datetime = _time()
    took_ms: float
    is_simulated: bool = False


class PolicyVersionRow(Table, table=True):
    """Every policy body that was ever applied, under the hash of its content."""

    __tablename__ = "policy_version"

    policy_hash: str = _text(primary_key=True)
    product_id: str = _text(index=True)
    body: Json = Field(sa_type=JSON, nullable=False)
    """The policy as it was hashed: ``json`` keeps the order of the keys, ``jsonb`` does not."""
    created_at: datetime | None = _now()
    source: str | None = _maybe_text()
    """The text that it was read from, comments and all; None where none was kept."""


class PolicyAuditRow(Table, table=True):
    """Who put which policy in force, when and why; rows are only ever added."""

    __tablename__ = "policy_audit"
    __table_args__ = (Index(None, "product_id", "applied_at"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True)
    )
    product_id: str = _text()
    from_hash: str | None = _maybe_text()
    to_hash: str | None = Field(
        default=None, sa_type=Text, nullable=True, foreign_key="policy_version.policy_hash"
    )
    """None: the policy was withdrawn, and parts of the product are held."""
    applied_by: str = _text()
    reason: str = _text()
    softening: bool = False
    login: str = _text()
    """How who applied it was known; empty in rows of an earlier schema."""
    applied_at: datetime | None = _now()


class ModelAuditRow(Table, table=True):
    """Who put which version of a product's expert in force, when and why; only ever added to."""

    __tablename__ = "model_audit"
    __table_args__ = (Index(None, "product_id", "applied_at"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True)
    )
    product_id: str = _text()
    from_expert: str | None = _maybe_text()
    to_expert: str = _text()
    from_exemplars: str | None = _maybe_text()
    to_exemplars: str | None = _maybe_text()
    applied_by: str = _text()
    reason: str = _text()
    applied_at: datetime | None = _now()
