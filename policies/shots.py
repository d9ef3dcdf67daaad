"""Combines what the shots of one part were judged into what is done with the part: pure, total."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from policies.conditions.compiled import CompiledCondition, context_of
from policies.conditions.variables import MISSING, Value
from policies.model import PolicyDocument, ShotRule
from policies.reasons import because_of_shot_rule, of_shot
from streams.codes import Action, DecisionSource, ReasonCode, Severity
from streams.events import ShotVerdict
from streams.ports import Combination, Outcome, Situation

_NOWHERE = frozenset({"shot", "station", "lot", "shift"})
"""Names that need no look at the picture."""
Measure = Callable[[Situation], Mapping[str, Value]]


@dataclass(frozen=True)
class ShotCombiner:
    """One policy's way to combine shots.

    Args:
        document: the policy.
        rules: its rules over shots in order, each with its condition.
        measure: the values of the names that the conditions use.
    """

    document: PolicyDocument
    rules: Sequence[tuple[ShotRule, CompiledCondition]]
    measure: Measure

    def combine(self, verdicts: Sequence[ShotVerdict | None]) -> Combination:
        """The first rule that holds decides, else the gravest shot; the first of equals."""
        each = tuple(self._outcome(verdict) for verdict in verdicts)
        by_rule = self._by_rules(verdicts, each)
        if by_rule is not None:
            return by_rule
        judged = [(outcome.severity, outcome.action) for outcome in each]
        index = judged.index(self.document.shots.gravest(judged))
        return Combination(_told(each[index], index, verdicts), index, each)

    def _outcome(self, verdict: ShotVerdict | None) -> Outcome:
        if verdict is None or verdict.source is DecisionSource.WATCHDOG:
            reason = verdict.reason if verdict else "no worker said anything of it in time"
            code = verdict.reason_code if verdict else ReasonCode.NO_DECISION
            action = self.document.shots.missing or self.document.fallbacks.no_decision
            unknown = Severity.UNKNOWN
            return Outcome(action, unknown, "unknown", -1, code, reason, f"shots:{MISSING}")
        return Outcome(
            verdict.action,
            verdict.severity,
            verdict.class_name,
            verdict.class_id,
            verdict.reason_code,
            verdict.reason,
            verdict.rule,
        )

    def _by_rules(
        self, verdicts: Sequence[ShotVerdict | None], each: Sequence[Outcome]
    ) -> Combination | None:
        if not self.rules:
            return None
        values = [self._values(v, o) for v, o in zip(verdicts, each, strict=True)]
        # where certificates are asked, no rule lets a part pass that one of its shots may not
        stays = self.document.asks_certificate and any(o.action is not Action.PASS for o in each)
        for rule, condition in self.rules:
            if stays and rule.action is Action.PASS:
                continue
            held = [n for n, known in enumerate(values) if _holds(condition, known)]
            if len(held) >= rule.at_least:
                first = each[held[0]]
                outcome = Outcome(
                    rule.action,
                    rule.severity or first.severity,
                    first.class_name,
                    first.class_id,
                    ReasonCode.RULE,
                    because_of_shot_rule(rule, [_name(verdicts, n) for n in held], len(each)),
                    f"shots:{rule.name}",
                )
                return Combination(outcome, held[0], tuple(each))
        return None

    def _values(self, verdict: ShotVerdict | None, outcome: Outcome) -> dict[str, Value]:
        """What is known of a shot: a value that nobody measured is left out."""
        found: dict[str, Value] = {
            "severity": outcome.severity.value,
            "action": outcome.action.value,
            "source": MISSING if verdict is None else _source(verdict),
        }
        if verdict is None:
            return found
        measured = self.measure(
            Situation(
                station=verdict.station,
                lot_id=verdict.lot_id,
                inspection=verdict.inspection,
                classification=verdict.classification,
                captured_at=verdict.captured_at,
                shot=verdict.shot_name,
            )
        )
        named = verdict.source in (DecisionSource.EXPERT, DecisionSource.CLASSIFIER)
        for name, value in measured.items():
            if name == "class":
                known, value = named, verdict.class_name
            elif name == "confidence":
                known = verdict.classification is not None
            else:
                known = name in _NOWHERE or verdict.inspection is not None
            if known:
                found[name] = value
        return found


def _holds(condition: CompiledCondition, known: Mapping[str, Value]) -> bool:
    """Whether it is true of a shot; never of one whose values it needs are not known."""
    if not set(condition.variables) <= known.keys():
        return False
    try:
        return condition.holds(context_of(known))
    except Exception:  # noqa: BLE001 - total: whatever CEL raises, the rule does not hold
        return False


def _source(verdict: ShotVerdict) -> str:
    return MISSING if verdict.source is DecisionSource.WATCHDOG else verdict.source.value


def _name(verdicts: Sequence[ShotVerdict | None], index: int) -> str:
    verdict = verdicts[index]
    name = verdict.shot_name if verdict is not None else ""
    return f"{index + 1} ({name})" if name else f"{index + 1}"


def _told(outcome: Outcome, index: int, verdicts: Sequence[ShotVerdict | None]) -> Outcome:
    reason = of_shot(_name(verdicts, index), len(verdicts), outcome.reason)
    return replace(outcome, reason=reason)
