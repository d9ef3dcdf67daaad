"""The tables: one insert-only table per topic, no foreign key across topics.

Typed columns hold what is asked for; ``event`` holds the whole event as it was on Kafka. Every
primary key is the event's own identity, so that a redelivered event is the row that is there.
Times are UTC (``timestamptz``).
"""

from datetime import datetime
from typing import Any, ClassVar
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


def _time(default: bool = False, nullable: bool = False) -> Any:
    """A UTC time column; ``default``: the database's clock."""
    return Field(
        sa_type=DateTime(timezone=True),
        nullable=nullable,
        default=None,
        sa_column_kwargs={"server_default": func.now()} if default else {},
    )


def _text(default: str | None = "", **more: Any) -> Any:
    return Field(default=default, sa_type=Text, **more)


def _event() -> Any:
    return Field(sa_type=JSONB, nullable=False)


def _number(**more: Any) -> Any:
    return Field(sa_type=BigInteger, **more)


class OfPart(Table):
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
    recorded_at: datetime | None = _time(default=True)
    event: dict[str, Any] = _event()


class AnomalyRow(OfPart, table=True):
    """``andon.anomalies``: an inspection whose picture is kept."""

    __tablename__: ClassVar[Any] = "anomaly"
    __table_args__: ClassVar[Any] = (Index(None, "captured_at", "frame_id"),)

    frame_id: UUID = Field(primary_key=True)
    reason: str = _text(primary_key=True)
    """``anomalous``, ``decided`` or ``audit``."""
    classify: bool
    anomalous: bool
    score: float
    threshold: float
    p_value: float
    expert_version: str = _text()
    image_key: str = _text()
    mask_key: str | None = _text(None, nullable=True)
    sha256: str = _text()
    content_type: str = _text()


class DecisionRow(OfPart, table=True):
    """``andon.decisions``: one row per frame and source."""

    __tablename__: ClassVar[Any] = "decision"
    __table_args__: ClassVar[Any] = (
        Index(None, "captured_at", "frame_id"),
        Index(None, "frame_id"),
        Index(None, "part_id"),
        Index(None, "lot_id", "captured_at"),
        Index(None, "class_name", "captured_at"),
        Index(
            "decision_not_passed_idx",
            "captured_at",
            "frame_id",
            postgresql_where=text("action <> 'pass'"),
        ),
        Index(
            "decision_not_answered_idx",
            "captured_at",
            "frame_id",
            postgresql_where=text("source IN ('fallback', 'watchdog')"),
        ),
    )

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


class AcknowledgementRow(OfPart, table=True):
    """``andon.acks``: what became of a result at the PLC."""

    __tablename__: ClassVar[Any] = "acknowledgement"
    __table_args__: ClassVar[Any] = (
        Index(None, "frame_id"),
        Index(None, "captured_at", "frame_id"),
    )

    result_id: UUID = Field(primary_key=True)
    outcome: str = _text(primary_key=True)
    source: str = _text()
    action: str = _text()
    result_seq: int = _number()
    decided_at: datetime | None = _time(nullable=True)
    written_at: datetime | None = _time(nullable=True)
    acknowledged_at: datetime | None = _time(nullable=True)
    trigger_to_write_ms: float | None = None


class ReviewRow(Table, table=True):
    """``andon.reviews``: what a person decided afterwards."""

    __tablename__: ClassVar[Any] = "review"
    __table_args__: ClassVar[Any] = (Index(None, "frame_id", "reviewed_at"),)

    review_id: UUID = Field(primary_key=True)
    frame_id: UUID
    reviewer: str = _text()
    class_name: str = _text()
    severity: str = _text()
    action: str | None = _text(None, nullable=True)
    comment: str = _text()
    reviewed_at: datetime = _time()
    recorded_at: datetime | None = _time(default=True)
    event: dict[str, Any] = _event()


class DeadLetterRow(Table, table=True):
    """``andon.dead``: what could not be processed, and where its bytes are kept."""

    __tablename__: ClassVar[Any] = "dead_letter"
    __table_args__: ClassVar[Any] = (Index(None, "failed_at"), Index(None, "frame_id"))

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
    recorded_at: datetime | None = _time(default=True)
    event: dict[str, Any] = _event()


class AlertRow(Table, table=True):
    """``andon.alerts``: a limit across parts that was exceeded."""

    __tablename__: ClassVar[Any] = "alert"
    __table_args__: ClassVar[Any] = (Index(None, "line", "product_id", "raised_at"),)

    alert_id: UUID = Field(primary_key=True)
    line: str = _text()
    product_id: str = _text()
    limit_name: str = _text()
    reason: str = _text()
    request_stop: bool = False
    raised_at: datetime = _time()
    recorded_at: datetime | None = _time(default=True)
    event: dict[str, Any] = _event()


class PolicyVersionRow(Table, table=True):
    """Every policy body that was ever applied, under the hash of its content."""

    __tablename__: ClassVar[Any] = "policy_version"

    policy_hash: str = _text(primary_key=True)
    product_id: str = _text(index=True)
    body: dict[str, Any] = Field(sa_type=JSON, nullable=False)
    """As it was hashed: ``json`` keeps the order of the keys, ``jsonb`` does not."""
    created_at: datetime | None = _time(default=True)


class PolicyAuditRow(Table, table=True):
    """Who put which policy in force, when and why. Append-only."""

    __tablename__: ClassVar[Any] = "policy_audit"
    __table_args__: ClassVar[Any] = (Index(None, "product_id", "applied_at"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True)
    )
    product_id: str = _text()
    from_hash: str | None = _text(None, nullable=True)
    to_hash: str = _text(foreign_key="policy_version.policy_hash")
    applied_by: str = _text()
    reason: str = _text()
    softening: bool = False
    applied_at: datetime | None = _time(default=True)
