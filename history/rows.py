"""Events to rows: pure. Every text is cleaned, ``event`` carries the whole event as JSON."""

from typing import Any

from history.text import clean, event_json
from streams.events import (
    Acknowledgement,
    Alert,
    Anomaly,
    DeadLetter,
    Decision,
    Event,
    PartOnLine,
    Review,
)
from streams.keys import image_key, mask_key

Row = dict[str, Any]


def anomaly_row(event: Anomaly) -> Row:
    """The picture is under ``image_key`` however it travelled: record copies a ``dataref``."""
    frame, inspection = event.frame, event.inspection
    return {
        **_part(frame),
        "event": event_json(event),
        "reason": clean(event.reason),
        "classify": event.classify,
        "anomalous": inspection.anomalous,
        "score": inspection.score,
        "threshold": inspection.threshold,
        "p_value": inspection.p_value,
        "expert_version": clean(inspection.expert_version),
        "image_key": image_key(frame.frame_id),
        "mask_key": mask_key(frame.frame_id) if inspection.region is not None else None,
        "sha256": clean(frame.sha256),
        "content_type": clean(frame.content_type),
    }


def decision_row(event: Decision) -> Row:
    """What is asked for of a decision; the rest is in ``event``."""
    inspection, classification = event.inspection, event.classification
    return {
        **_part(event),
        "event": event_json(event),
        "result_id": event.result_id,
        "source": event.source.value,
        "evaluation": event.evaluation.value,
        "class_name": clean(event.class_name),
        "severity": event.severity.value,
        "action": event.action.value,
        "reason_code": int(event.reason_code),
        "reason": clean(event.reason),
        "rule": clean(event.rule),
        "is_late": event.is_late,
        "policy_hash": clean(event.policy_hash),
        "score": inspection.score if inspection else None,
        "p_value": inspection.p_value if inspection else None,
        "expert_version": clean(inspection.expert_version) if inspection else "",
        "classifier": clean(classification.classifier) if classification else "",
        "confidence": classification.confidence if classification else None,
        "decided_at": event.decided_at,
    }


def acknowledgement_row(event: Acknowledgement) -> Row:
    """What became of one result."""
    return {
        **_part(event),
        "event": event_json(event),
        "result_id": event.result_id,
        "outcome": event.outcome.value,
        "source": event.source.value,
        "action": event.action.value,
        "result_seq": event.result_seq,
        "decided_at": event.decided_at,
        "written_at": event.written_at,
        "acknowledged_at": event.acknowledged_at,
        "trigger_to_write_ms": event.trigger_to_write_ms,
    }


def review_row(event: Review) -> Row:
    """What a person decided."""
    return {
        "review_id": event.review_id,
        "frame_id": event.frame_id,
        "reviewer": clean(event.reviewer),
        "class_name": clean(event.class_name),
        "severity": event.severity.value,
        "action": event.action.value if event.action else None,
        "comment": clean(event.comment),
        "reviewed_at": event.reviewed_at,
        "event": event_json(event),
    }


def dead_letter_row(letter: tuple[DeadLetter, str]) -> Row:
    """A letter and the object key of its original bytes."""
    event, object_key = letter
    return {
        "letter_id": event.letter_id,
        "frame_id": event.frame_id,
        "stage": event.stage.value,
        "error_type": clean(event.error_type),
        "error": clean(event.error),
        "topic": clean(event.topic),
        "partition": event.partition,
        "offset": event.offset,
        "object_key": clean(object_key),
        "failed_at": event.failed_at,
        "event": event_json(event),
    }


def alert_row(event: Alert) -> Row:
    """A limit that was exceeded."""
    return {
        "alert_id": event.alert_id,
        **_texts(event, "line", "product_id", "reason"),
        "limit_name": clean(event.limit),
        "request_stop": event.request_stop,
        "raised_at": event.raised_at,
        "event": event_json(event),
    }


def _part(part: PartOnLine) -> Row:
    return {
        "frame_id": part.frame_id,
        **_texts(part, "line", "station", "product_id", "part_id", "lot_id"),
        "plc_boot_id": part.plc_boot_id,
        "trigger_seq": part.trigger_seq,
        "captured_at": part.captured_at,
        "is_simulated": part.is_simulated,
    }


def _texts(event: Event, *names: str) -> Row:
    return {name: clean(getattr(event, name)) for name in names}
