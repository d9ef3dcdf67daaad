"""Join plan, ledger, decisions and anomalies into one story per part. Pure."""

from collections.abc import Mapping, Sequence

from lab.datasets.folders import GOOD
from lab.demo.summary import PartStory
from lab.harness.plan import LinePlan
from lab.harness.reckoning import OnKafka, Reckoning
from lab.plc.ledger import Key, LedgerEntry
from streams.codes import AckOutcome, Action, DecisionSource, Severity
from streams.events import Decision


def tell(
    plan: LinePlan,
    severities: Mapping[str, Severity],
    ledger: Sequence[LedgerEntry],
    kafka: OnKafka,
    reckoning: Reckoning,
) -> list[PartStory]:
    """One story per part of the plan that reached the PLC, in order of arrival.

    A class that ``severities`` does not name counts as a defect.
    """
    photographs = {p.part_id: p.photograph for p in plan.parts}
    scored = _scored(kafka.decisions)
    latency = {
        (a.plc_boot_id, a.trigger_seq): a.trigger_to_write_ms
        for a in kafka.acknowledgements
        if a.outcome is AckOutcome.ACKNOWLEDGED
    }
    stories = []
    for part in ledger:
        photograph = photographs[part.part_id]
        label = photograph.label
        decision = reckoning.effective.get(part.key)
        inspected = decision if decision is not None and decision.inspection else None
        inspected = inspected or scored.get(part.key)
        severity = severities.get(label, Severity.DEFECT)
        stories.append(
            PartStory(
                part_id=part.part_id,
                true_label=label,
                true_severity=Severity.NORMAL if label == GOOD else severity,
                picture=photograph.path,
                action=Action(part.action) if part.action else None,
                source=DecisionSource(part.source) if part.source else None,
                decision=decision,
                inspection=inspected.inspection if inspected is not None else None,
                frame_id=kafka.frames.get(part.key),
                trigger_to_write_ms=latency.get(part.key),
            )
        )
    return stories


def _scored(decisions: Sequence[Decision]) -> dict[Key, Decision]:
    """A part's decision with an inspection, for parts whose effective one has none."""
    return {(d.plc_boot_id, d.trigger_seq): d for d in decisions if d.inspection is not None}
