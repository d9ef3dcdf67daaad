"""Events to feed to the roles."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

from streams.changeovers import ChangeoverPhase, ChangeoverStep
from streams.codes import (
    Action,
    DecisionSource,
    Evaluation,
    ReasonCode,
    Severity,
    Stage,
)
from streams.envelope import to_message
from streams.events import Event, Frame, Inspection, PartOnLine, Region, ShotVerdict, decision_id
from streams.ids import new_frame_id
from streams.kafka.delivery import Delivery
from streams.regions import encode_mask
from streams.topics import ALL

ODD = b"odd"
"""Images that begin so are anomalous to the twin of the vision expert."""
BROKEN = b"broken"
"""Images that begin so cannot be decoded by it."""


def region() -> Region:
    """A 2x2 blob in the corner of a 4x4 mask."""
    import numpy as np

    mask = np.zeros((4, 4), dtype=bool)
    mask[:2, :2] = True
    return Region(
        image_height=8,
        image_width=8,
        mask_height=4,
        mask_width=4,
        mask_rle=encode_mask(mask),
        area_px=16,
        count=1,
    )


def inspection(anomalous: bool) -> Inspection:
    return Inspection(
        score=2.0 if anomalous else 0.5,
        threshold=1.0,
        p_value=0.001 if anomalous else 0.5,
        anomalous=anomalous,
        region=region() if anomalous else None,
        expert_version="sha256:twin",
    )


def frame(image: bytes = b"picture", window_ms: int = 1000, **changes: object) -> Frame:
    """A frame captured now."""
    now = datetime.now(UTC)
    fields: dict[str, object] = {
        "frame_id": new_frame_id(),
        "line": "line-1",
        "station": "cam-1",
        "product_id": "tile",
        "part_id": "P-1",
        "plc_boot_id": 1,
        "trigger_seq": 7,
        "captured_at": now,
        "deadline": now + timedelta(milliseconds=window_ms),
        "result_window_ms": window_ms,
        "size_bytes": len(image),
        "sha256": hashlib.sha256(image).hexdigest(),
        "content_type": "image/png",
    }
    return Frame.model_validate(fields | changes)


def roomy(part: UUID) -> dict[str, object]:
    """Fields of a part with a minute to decide it."""
    deadline = datetime.now(UTC) + timedelta(minutes=1)
    return {"part_frame_id": part, "deadline": deadline, "result_window_ms": 60_000}


def verdict(
    shot: int,
    expected: int = 3,
    source: DecisionSource = DecisionSource.EXPERT,
    action: Action = Action.PASS,
    severity: Severity = Severity.NORMAL,
    **changes: object,
) -> ShotVerdict:
    """What one shot of a part was judged, just now; ``part_frame_id`` is a new one."""
    base = frame(shot=shot, shots_expected=expected, shot_name=f"side{shot}")
    part = {name: getattr(base, name) for name in PartOnLine.model_fields}
    part["part_frame_id"] = new_frame_id()
    fields: dict[str, object] = {
        "result_id": decision_id(base.frame_id, source, of_shot=True),
        "source": source,
        "evaluation": Evaluation.OK if action is Action.PASS else Evaluation.NOT_OK,
        "class_name": "normal" if severity is Severity.NORMAL else "crack",
        "severity": severity,
        "action": action,
        "reason_code": ReasonCode.NORMAL,
        "reason": f"shot {shot}",
        "rule": "normal",
        "inspection": inspection(anomalous=severity is not Severity.NORMAL),
        "decided_at": datetime.now(UTC),
    }
    return ShotVerdict.model_validate(part | fields | changes)


def recipe_request(**changes: object) -> ChangeoverStep:
    """A gateway asks for a recipe of ``tile``."""
    now = datetime.now(UTC)
    fields: dict[str, object] = {
        "step_id": new_frame_id(),
        "changeover_id": new_frame_id(),
        "phase": ChangeoverPhase.REQUESTED,
        "stage": Stage.GATEWAY,
        "line": "line-1",
        "station": "cam-1",
        "recipe": 7,
        "recipe_name": "Tile 30",
        "product_id": "tile",
        "deadline": now + timedelta(seconds=20),
        "at": now,
    }
    return ChangeoverStep.model_validate(fields | changes)


def delivery(event: Event, image: bytes = b"", offset: int = 0) -> Delivery:
    """An event as a role receives it."""
    topic = next(t.name for t in ALL if type(event) is t.event)
    message = to_message(event, image)
    return Delivery(topic, 0, offset, message.key, message.value, message.headers)
