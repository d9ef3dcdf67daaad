"""Joins the verdicts on the shots of one part into the part's one decision: no input, no output.

Times that end with ``_s`` are seconds of the process's monotonic clock, but for a ``Moment``'s.

``step(state, event, config) -> state, parts``: a part is complete when every expected shot has a
verdict, or when its time is over. The first verdict of a shot counts, another one never does.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID, uuid5

from streams.codes import Action, DecisionSource, ReasonCode, Severity
from streams.events import Decision, PartOnLine, ShotSummary, ShotVerdict
from streams.ports import Combination, Outcome, Policy
from streams.roles.config import JoinConfig
from streams.roles.decisions import Moment, evaluation_of

_LONGEST_WINDOW_S = 3600.0
"""No controller gives a part longer."""
_JOINED = UUID("0b7f8f5a-9d0e-5a7f-8a51-6a0c6f6f1c52")


@dataclass(frozen=True)
class OpenPart:
    """A part of which some shots are judged."""

    expected: int
    due_s: float
    """When the part is decided with the shots that there are."""
    verdicts: Mapping[int, ShotVerdict] = field(default_factory=dict)
    """By number of the shot."""

    @property
    def shots(self) -> tuple[ShotVerdict | None, ...]:
        """One for each expected shot, in order."""
        return tuple(self.verdicts.get(number) for number in range(1, self.expected + 1))


@dataclass(frozen=True)
class JoinState:
    """What is remembered of one partition of ``andon.shots``. Never changed in place."""

    open: Mapping[UUID, OpenPart] = field(default_factory=dict)
    """By the part's identity."""
    decided: Mapping[UUID, float] = field(default_factory=dict)
    """Parts that were decided, oldest first, and when each may be forgotten."""

    @property
    def next_due_s(self) -> float | None:
        """When the next tick is due; None while no part is open."""
        return min((part.due_s for part in self.open.values()), default=None)


@dataclass(frozen=True)
class Judged:
    """A verdict arrived at ``now_s``, and its part's window ends at ``end_s``."""

    verdict: ShotVerdict
    now_s: float
    end_s: float


@dataclass(frozen=True)
class Tick:
    """Time has passed."""

    now_s: float


@dataclass(frozen=True)
class CompletePart:
    """A part to be decided now. ``shots`` has one for each expected shot; None where it missed."""

    part: UUID
    shots: tuple[ShotVerdict | None, ...]


def step(
    state: JoinState, event: Judged | Tick, config: JoinConfig
) -> tuple[JoinState, tuple[CompletePart, ...]]:
    """One input, and the parts that are to be decided after it."""
    if isinstance(event, Judged):
        state = _judged(state, event, config)
    complete = tuple(
        CompletePart(identity, part.shots)
        for identity, part in state.open.items()
        if len(part.verdicts) == part.expected or part.due_s <= event.now_s
    )
    if not complete:
        return state, ()
    found = {one.part for one in complete}
    left = {identity: part for identity, part in state.open.items() if identity not in found}
    return remembering(replace(state, open=left), found, event.now_s, config), complete


def remembering(
    state: JoinState, parts: Collection[UUID], now_s: float, config: JoinConfig
) -> JoinState:
    """The state that knows of these parts that they are decided."""
    decided = {part: until for part, until in state.decided.items() if until > now_s}
    decided |= dict.fromkeys(parts, now_s + config.remember_s)
    for part in list(decided)[: max(len(decided) - config.remembered_parts, 0)]:
        del decided[part]
    return replace(state, decided=decided)


def _judged(state: JoinState, event: Judged, config: JoinConfig) -> JoinState:
    """The state with the verdict in it; unchanged for one that is late, doubled or of no place."""
    verdict = event.verdict
    identity = verdict.part_identity
    if identity in state.decided:
        return state
    part = state.open.get(identity)
    if part is None:
        part = OpenPart(verdict.shots_expected, _due_s(event, config))
    if verdict.shot in part.verdicts or verdict.shot > part.expected:
        return state
    part = replace(part, verdicts={**part.verdicts, verdict.shot: verdict})
    return replace(state, open={**state.open, identity: part})


def _due_s(event: Judged, config: JoinConfig) -> float:
    """Before the window ends; once it has, the other shots of a backlog get time to arrive.

    No more than its window is left of a part that was triggered, whatever deadline is stated.
    """
    if event.now_s >= event.end_s:
        return event.now_s + config.backlog_wait_s
    window_s = min(event.verdict.result_window_ms / 1000, _LONGEST_WINDOW_S)
    end_s = min(event.end_s, event.now_s + window_s)
    return max(end_s - config.margin_s, event.now_s + config.least_wait_s)


def joined_id(part: UUID) -> UUID:
    """UUIDv5 of the part's identity alone: it has one joined decision, however often it is made."""
    return uuid5(_JOINED, str(part))


def joined(shots: Sequence[ShotVerdict | None], policy: Policy, moment: Moment) -> Decision:
    """The part's decision, by the policy in force.

    Args:
        shots: one for each expected shot, in order; at least one is there.
        policy: the product's.
        moment: now.
    """
    judged = [verdict for verdict in shots if verdict is not None]
    found = _combined(policy, shots)
    deciding, outcome = shots[found.deciding], found.outcome
    first = judged[0]
    decided_at = datetime.fromtimestamp(moment.now_s, tz=UTC)
    timings = {} if deciding is None else deciding.timings_ms
    waited_s = moment.now_s - min(verdict.decided_at.timestamp() for verdict in judged)
    fields = {name: getattr(first, name) for name in PartOnLine.model_fields}
    fields |= {
        "frame_id": first.part_identity,
        "part_frame_id": first.part_identity,
        "shot": 1,
        "shot_name": "",
        "captured_at": min(verdict.captured_at for verdict in judged),
    }
    return Decision(
        **fields,
        result_id=joined_id(first.part_identity),
        source=_source(deciding),
        evaluation=evaluation_of(outcome.severity),
        class_name=outcome.class_name,
        class_id=outcome.class_id,
        severity=outcome.severity,
        action=outcome.action,
        reason_code=outcome.reason_code,
        reason=outcome.reason[:2048],
        rule=outcome.rule,
        is_late=moment.is_past(first.deadline),
        policy_hash=policy.policy_hash,
        inspection=None if deciding is None else deciding.inspection,
        classification=None if deciding is None else deciding.classification,
        decided_at=decided_at,
        clock_ahead_s=round(moment.ahead_s, 3),
        timings_ms={**timings, "join": round(max(waited_s, 0.0) * 1000, 3)},
        shots=tuple(
            _summary(number, verdict, each)
            for number, (verdict, each) in enumerate(zip(shots, found.each, strict=True), 1)
        ),
        golden=policy.golden(first.part_id, outcome.action, outcome.severity),
    )


def _source(verdict: ShotVerdict | None) -> DecisionSource:
    """Who decided: a shot that the gateway could not take is a fallback like one that was lost."""
    if verdict is None or verdict.source is DecisionSource.WATCHDOG:
        return DecisionSource.FALLBACK
    return verdict.source


def _summary(number: int, verdict: ShotVerdict | None, outcome: Outcome) -> ShotSummary:
    inspection = verdict.inspection if verdict is not None else None
    return ShotSummary(
        shot=number,
        name=verdict.shot_name if verdict is not None else "",
        frame_id=verdict.frame_id if verdict is not None else None,
        source=_source(verdict),
        severity=outcome.severity,
        action=outcome.action,
        class_name=outcome.class_name,
        reason_code=outcome.reason_code,
        rule=outcome.rule,
        score=inspection.score if inspection is not None else None,
    )


def _combined(policy: Policy, shots: Sequence[ShotVerdict | None]) -> Combination:
    """The policy's word; a policy that raises is a defect, and the part is held."""
    try:
        return policy.combine(shots)
    except Exception as error:  # noqa: BLE001 - no part without a decision
        held = Outcome(
            action=Action.HOLD,
            severity=Severity.UNKNOWN,
            reason_code=ReasonCode.NO_DECISION,
            reason=f"the policy could not combine the shots: {type(error).__name__}: {error}",
            rule="fallback:policy_error",
        )
        return Combination(held, 0, (held,) * len(shots))
