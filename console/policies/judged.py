"""Real parts under two policies: which rule decides each, before and after a change. Pure."""

from collections.abc import Sequence

from console.outlines import outline_path
from console.policies.answers import (
    JudgedParts,
    OneChange,
    PolicyDifference,
    RuleVerdict,
    TriedPart,
)
from history.records import RecordedDecision
from policies.evaluate import ResolvedPolicy
from policies.review.diff import difference
from policies.review.replay import situation_of
from streams.ports import Situation


def judged_parts(
    before: ResolvedPolicy | None, after: ResolvedPolicy, decisions: Sequence[RecordedDecision]
) -> JudgedParts:
    """Each part under both; decisions that no single situation led to are left out."""
    parts = tuple(
        _judged(before, after, decision, situation)
        for decision in decisions
        if (situation := situation_of(decision)) is not None
    )
    return JudgedParts(parts=parts, changed=sum(part.changes for part in parts))


def _judged(
    before: ResolvedPolicy | None,
    after: ResolvedPolicy,
    decision: RecordedDecision,
    situation: Situation,
) -> TriedPart:
    region = situation.inspection.region if situation.inspection else None
    answer = situation.classification
    old = _judgement(before, situation) if before is not None else None
    new = _judgement(after, situation)
    return TriedPart(
        frame_id=decision.frame_id,
        part_id=decision.part_id,
        station=decision.station,
        captured_at=decision.captured_at,
        class_name=answer.class_name if answer else decision.class_name,
        confidence=answer.confidence if answer else None,
        recorded=decision.action,
        before=old,
        after=new,
        changes=old is not None and (old.action, old.rule) != (new.action, new.rule),
        outline=outline_path(region),
        width=region.image_width if region else 0,
        height=region.image_height if region else 0,
    )


def _judgement(policy: ResolvedPolicy, situation: Situation) -> RuleVerdict:
    outcome, steps = policy.explain(situation)
    return RuleVerdict(
        action=outcome.action,
        severity=outcome.severity,
        rule=outcome.rule,
        reason=outcome.reason,
        steps=steps,
    )


def difference_of(before: ResolvedPolicy | None, after: ResolvedPolicy) -> PolicyDifference:
    """What changes, in words; may take seconds, for softenings are tried case by case."""
    if before is None:
        return PolicyDifference(
            from_hash=None,
            to_hash=after.policy_hash,
            changes=(),
            softenings=(),
            changes_prompt=False,
        )
    found = difference(before, after)
    return PolicyDifference(
        from_hash=found.old_hash,
        to_hash=found.new_hash,
        changes=tuple(OneChange(**vars(change)) for change in found.changes),
        softenings=tuple(str(one) for one in found.softenings),
        changes_prompt=found.changes_prompt,
    )


def difference_of_bodies(
    before: dict[str, object] | None, after: dict[str, object]
) -> PolicyDifference:
    """The same of stored bodies, which travel to another process."""
    old = ResolvedPolicy.from_body(before) if before is not None else None
    return difference_of(old, ResolvedPolicy.from_body(after))
