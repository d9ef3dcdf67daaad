"""What becomes of a frame after the expert: pure. Values in, events out."""

from datetime import UTC, datetime
from uuid import UUID

from streams.codes import DecisionSource
from streams.events import Anomaly, Frame, Inspection, PartOnLine
from streams.ids import audit_draw
from streams.ports import Failure, Policy
from streams.roles.decisions import Moment, Reaction, decide, fallback


def anomalous(frame: Frame, inspection: Inspection, moment: Moment) -> Reaction:
    """An anomaly to classify."""
    return Reaction(anomaly=_anomaly(frame, inspection, moment, "anomalous"))


def normal(frame: Frame, inspection: Inspection, policy: Policy, moment: Moment) -> Reaction:
    """A decision, and the picture if the audit samples it."""
    audit = None
    if sampled(frame.part_identity, policy.audit_share):  # all shots of a part, or none
        audit = _anomaly(frame, inspection, moment, "audit")
    return Reaction(decide(frame, policy, DecisionSource.EXPERT, moment, inspection), audit)


def not_inspected(frame: PartOnLine, failure: Failure, policy: Policy, moment: Moment) -> Reaction:
    """A final failure: the fallback, and a dead letter that keeps the bytes."""
    return Reaction(fallback(frame, failure, policy, moment), dead=failure)


def inspected_late(frame: Frame, answer: Inspection | Failure, moment: Moment) -> Reaction:
    """After the fallback image and region are kept and change no action.

    A frame that was never inspected keeps its picture as a dead letter.
    """
    if isinstance(answer, Failure):
        return Reaction(dead=answer)
    return Reaction(anomaly=_anomaly(frame, answer, moment, "decided"))


def _anomaly(frame: Frame, inspection: Inspection, moment: Moment, reason: str) -> Anomaly:
    return Anomaly(
        frame=frame,
        inspection=inspection,
        classify=reason == "anomalous",
        reason=reason,
        timings_ms={name: round(ms, 3) for name, ms in moment.timings_ms.items()},
        inspected_at=datetime.fromtimestamp(moment.now_s, tz=UTC),
    )


def sampled(frame_id: UUID, share: float) -> bool:
    """Whether a part is in the audit sample at a share from 0 to 1, should it pass."""
    return audit_draw(frame_id) < share
