"""Events for the history's tests: plain, with what a test wants changed."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import numpy as np

from streams.codes import AckOutcome, Action, DecisionSource, Evaluation, ReasonCode, Severity
from streams.events import (
    Acknowledgement,
    Anomaly,
    Blob,
    Box,
    Classification,
    DeadLetter,
    Decision,
    Frame,
    Inspection,
    Region,
    Review,
    ShotVerdict,
    decision_id,
)
from streams.regions import encode_mask

START = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
SPACE = UUID("0d9df4f5-5c3c-4d61-9d4c-0c8f7c2f0a11")
EXPERT, CLASSIFIER, FALLBACK, WATCHDOG = list(DecisionSource)[:4]
UNWRITTEN = "late, and not written"
EFFECTIVE: list[tuple[list[tuple[DecisionSource, bool, str | None]], DecisionSource]] = [
    ([(EXPERT, False, None)], EXPERT),
    ([(CLASSIFIER, False, None), (WATCHDOG, False, "acknowledged")], WATCHDOG),
    ([(CLASSIFIER, True, None), (FALLBACK, False, None)], FALLBACK),
    ([(CLASSIFIER, True, "late"), (FALLBACK, False, "acknowledged")], FALLBACK),
    ([(CLASSIFIER, True, "acknowledged"), (FALLBACK, False, "unacknowledged")], CLASSIFIER),
    ([(CLASSIFIER, False, None), (WATCHDOG, False, "unacknowledged")], WATCHDOG),
    ([(CLASSIFIER, False, None), (WATCHDOG, False, "late")], WATCHDOG),
    ([(CLASSIFIER, False, "acknowledged"), (WATCHDOG, False, "late")], CLASSIFIER),
    ([(WATCHDOG, False, None), (FALLBACK, False, None)], FALLBACK),
    ([(FALLBACK, False, "old_boot"), (WATCHDOG, False, None)], WATCHDOG),
    ([(FALLBACK, True, None), (WATCHDOG, True, None)], FALLBACK),
    ([(FALLBACK, False, UNWRITTEN), (WATCHDOG, False, UNWRITTEN)], FALLBACK),
    ([(WATCHDOG, False, UNWRITTEN), (CLASSIFIER, True, None)], WATCHDOG),
    ([(FALLBACK, False, UNWRITTEN), (WATCHDOG, False, None), (CLASSIFIER, True, None)], WATCHDOG),
    ([(WATCHDOG, False, UNWRITTEN), (CLASSIFIER, True, "late")], CLASSIFIER),
]
"""Decisions of a part by source, lateness and outcome, and which of them is the effective one."""


def frame_id(number: int) -> UUID:
    """A UUIDv7 of the moment at which part ``number`` was captured."""
    millis = int(captured(number).timestamp() * 1000)
    tail = uuid5(SPACE, str(number)).int & ((1 << 62) - 1)
    return UUID(int=(millis << 80) | (7 << 76) | ((number & 0xFFF) << 64) | (2 << 62) | tail)


def decided(number: int, source: DecisionSource, late: bool = False) -> Decision:
    """A decision to hold part ``number`` for a crack, by ``source``."""
    return decision(number, source, Action.HOLD, "crack", is_late=late)


def captured(number: int) -> datetime:
    """One part a second."""
    return START + timedelta(seconds=number)


def part(number: int, **change: Any) -> dict[str, Any]:
    """The fields that every event of a part repeats."""
    return {
        "frame_id": frame_id(number),
        "line": "line-1",
        "station": "top",
        "product_id": "tile",
        "part_id": f"P{number:07}",
        "lot_id": f"L{number // 100}",
        "plc_boot_id": 7,
        "trigger_seq": number + 1,
        "captured_at": captured(number),
        "deadline": captured(number) + timedelta(seconds=1),
        "result_window_ms": 1000,
        **change,
    }


def region() -> Region:
    """One square blob on a 16x16 mask of a 64x64 picture."""
    mask = np.zeros((16, 16), dtype=np.bool_)
    mask[4:8, 4:8] = True
    blob = Blob(
        box=Box(x=16, y=16, width=16, height=16),
        area_px=256.0,
        longest_side_px=16.0,
        centroid_x=24.0,
        centroid_y=24.0,
        peak=9.0,
    )
    return Region(
        image_height=64,
        image_width=64,
        mask_height=16,
        mask_width=16,
        mask_rle=encode_mask(mask),
        blobs=(blob,),
        area_px=256.0,
        longest_side_px=16.0,
        count=1,
        contrast=3.0,
    )


def inspection(anomalous: bool = True, **change: Any) -> Inspection:
    fields: dict[str, Any] = {
        "score": 9.0 if anomalous else 1.0,
        "threshold": 5.0,
        "p_value": 0.001 if anomalous else 0.5,
        "anomalous": anomalous,
        "region": region() if anomalous else None,
        "expert_version": "e" * 64,
    }
    return Inspection(**{**fields, **change})


def classification(class_name: str = "crack", **change: Any) -> Classification:
    fields: dict[str, Any] = {
        "class_name": class_name,
        "confidence": 0.9,
        "classifier": "prototypes",
    }
    return Classification(**{**fields, **change})


def decision(
    number: int,
    source: DecisionSource = DecisionSource.EXPERT,
    action: Action = Action.PASS,
    class_name: str = "",
    **change: Any,
) -> Decision:
    good = action is Action.PASS
    fields = {
        **part(number),
        "result_id": decision_id(change.get("frame_id", frame_id(number)), source),
        "source": source,
        "evaluation": Evaluation.OK if good else Evaluation.NOT_OK,
        "class_name": class_name,
        "severity": Severity.NORMAL if good else Severity.DEFECT,
        "action": action,
        "reason_code": ReasonCode.NORMAL if good else ReasonCode.CLASS,
        "rule": "normal" if good else f"class:{class_name}",
        "policy_hash": "p" * 64,
        "inspection": inspection(not good),
        "classification": classification(class_name) if class_name else None,
        "decided_at": captured(number) + timedelta(milliseconds=200),
        "timings_ms": {"expert": 40.0},
        **change,
    }
    return Decision(**fields)


def verdict(number: int, shot: int = 1, expected: int = 3, **change: Any) -> ShotVerdict:
    """What one shot of part ``number`` was judged; the first shot's frame is the part's."""
    frame = frame_id(number) if shot == 1 else frame_id(100_000 * shot + number)
    judged = decision(number, class_name="normal", frame_id=frame).model_dump()
    of_part = {"part_frame_id": frame_id(number), "shot": shot, "shots_expected": expected}
    result = {"result_id": decision_id(frame, judged["source"], of_shot=True)}
    named = {"shot_name": f"side{shot}"}
    return ShotVerdict.model_validate({**judged, **of_part, **result, **named, **change})


def acknowledgement(
    of: Decision, outcome: AckOutcome = AckOutcome.ACKNOWLEDGED, **change: Any
) -> Acknowledgement:
    fields: dict[str, Any] = {
        name: getattr(of, name)
        for name in (*part(0), "result_id", "source", "action", "decided_at")
    }
    fields |= {
        "outcome": outcome,
        "result_seq": of.trigger_seq,
        "written_at": of.decided_at + timedelta(milliseconds=5),
        "acknowledged_at": of.decided_at + timedelta(milliseconds=15),
        "trigger_to_write_ms": 205.0,
        **change,
    }
    return Acknowledgement(**fields)


def answered(of: Decision, outcome: str) -> Acknowledgement:
    """What became of a decision, by one of the words of ``EFFECTIVE``."""
    if outcome == UNWRITTEN:
        return acknowledgement(of, AckOutcome.LATE, written_at=None, acknowledged_at=None)
    return acknowledgement(of, AckOutcome(outcome))


def anomaly(number: int, reason: str = "anomalous", **change: Any) -> Anomaly:
    frame = Frame(
        **part(number, **change),
        content_type="image/png",
        size_bytes=10,
        sha256="f" * 64,
    )
    return Anomaly(frame=frame, inspection=inspection(), reason=reason)


def review(number: int, nth: int = 0, **change: Any) -> Review:
    fields: dict[str, Any] = {
        "review_id": uuid5(SPACE, f"review {number} {nth}"),
        "frame_id": frame_id(number),
        "reviewer": "Ada",
        "class_name": "blowhole",
        "severity": Severity.DEFECT,
        "reviewed_at": captured(number) + timedelta(hours=1 + nth),
    }
    return Review(**{**fields, **change})


def dead_letter(number: int, **change: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "letter_id": uuid5(SPACE, f"letter {number}"),
        "stage": "inspect",
        "error_type": "MalformedEventError",
        "error": "no",
        "topic": "andon.frames",
        "partition": 0,
        "offset": number,
        "frame_id": frame_id(number),
        "failed_at": captured(number),
    }
    return DeadLetter(**{**fields, **change})
