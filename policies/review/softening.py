"""Finds out, from two policies alone, whether a change lets parts pass that are stopped today, lets
more of their pictures out of the plant, or weakens the watch over the line.

Each class is tried with the ``combinations`` of measured values at which a condition of either can
change its mind. What no class is asked for stands apart: fallbacks, stop rates, shots, egress and
what watches the line.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from policies.conditions.analysis import classes_named
from policies.conditions.variables import MILLIMETRES, VARIABLES, Value
from policies.egress import EGRESS
from policies.evaluate import ResolvedPolicy
from policies.model import Judged
from policies.reasons import describe
from policies.review.combinations import NEW, RATIO, aimed_at, around, combined, values_to_try
from policies.review.watch import weakened
from streams.codes import Action, FallbackKind, Severity
from streams.events import Classification
from streams.ports import Outcome, Situation

_ORDER = (Action.PASS, Action.HOLD, Action.REWORK, Action.SCRAP)


@dataclass(frozen=True)
class Softening:
    """A case that is stopped today and would pass, pictures that stay today and would leave, or
    what watches the line today and would not."""

    what: str
    """The class, ``fallback late``, ``stop_rate``, ``egress``, ``audit_share``, a limit."""
    before: str
    example: str = ""
    """Measured values for which it happens; empty when it always does."""
    after: str = Action.PASS.value

    def __str__(self) -> str:
        where = f", for example with {self.example}" if self.example else ""
        return f"{self.what}: {self.before} -> {self.after}{where}"


def softenings(old: ResolvedPolicy, new: ResolvedPolicy) -> tuple[Softening, ...]:
    """One for each class or fallback that can now pass where it was stopped, one where more of the
    pictures may leave the plant, and one for each audit, limit or golden part that watches less."""
    return (
        *_of_egress(old, new),
        *(
            Softening(what, was, after=will)
            for what, was, will in weakened(old.document, new.document)
        ),
        *_of_fallbacks(old, new),
        *_of_stop_rate(old, new),
        *_of_classes(old, new),
        *_of_shots(old, new),
    )


def _of_egress(old: ResolvedPolicy, new: ResolvedPolicy) -> Iterator[Softening]:
    before, after = old.document.egress, new.document.egress
    if EGRESS.index(after) > EGRESS.index(before):
        yield Softening("egress", before, after=after)


def _of_fallbacks(old: ResolvedPolicy, new: ResolvedPolicy) -> Iterator[Softening]:
    for kind in FallbackKind:
        before = old.decide(Situation(fallback=kind))
        after = new.decide(Situation(fallback=kind))
        if before.action is not Action.PASS and after.action is Action.PASS:
            yield Softening(f"fallback {kind.value}", before.action)


def _of_stop_rate(old: ResolvedPolicy, new: ResolvedPolicy) -> Iterator[Softening]:
    """Parts that are odd, but not odd enough for a stop rate of either: no class is asked there."""
    rates = [policy.document.stop_rate for policy in (old, new)]
    shares = {share for rate in rates if rate is not None for share in around(rate)}
    for share in sorted(shares):
        is_asked = [rate is None or share <= rate for rate in rates]
        if share > 1.0 or all(is_asked):
            continue  # what classes and rules say is told by class
        may = [
            _actions(policy) if asked else {policy.document.normal.false_alarm}
            for policy, asked in zip((old, new), is_asked, strict=True)
        ]
        stopped = may[0] - {Action.PASS}
        if stopped and Action.PASS in may[1]:
            worst = max(stopped, key=_ORDER.index)
            yield Softening("stop_rate", worst, f"{share:.2%} of normal parts as odd")
            return


def _actions(policy: ResolvedPolicy) -> set[Action]:
    """All that may become of a part whose class is asked for."""
    document = policy.document
    return {
        document.normal.false_alarm,
        *(one.action for one in document.classes.values()),
        *(rule.action for rule in document.rules),
        *(document.fallbacks.action_of(kind) for kind in FallbackKind),
    }


def _of_shots(old: ResolvedPolicy, new: ResolvedPolicy) -> Iterator[Softening]:
    """A missing shot, two shots that are combined otherwise, and rules over shots.

    Rules are not asked: one that newly lets parts pass, or that no longer stops them, is named.
    """
    before, after = old.combine([None]).outcome.action, new.combine([None]).outcome.action
    if before is not Action.PASS and after is Action.PASS:
        yield Softening("a missing shot", before)
    document = new.document
    judged: set[Judged] = {(c.severity, c.action) for c in document.classes.values()}
    judged |= {(r.severity, r.action) for r in document.rules if r.severity is not None}
    judged |= {(Severity.NORMAL, Action.PASS), (Severity.UNKNOWN, Action.HOLD)}
    for pair in itertools.combinations(sorted(judged), 2):
        was, will = old.document.shots.gravest(pair)[1], document.shots.gravest(pair)[1]
        if was is not Action.PASS and will is Action.PASS:
            words = " and ".join(f"{severity.value} ({action.value})" for severity, action in pair)
            yield Softening("two shots", was, words)
    known = {(r.when, r.at_least, r.action) for r in old.document.shots.rules}
    kept = {(r.when, r.at_least, r.action) for r in document.shots.rules}
    for rule in document.shots.rules:
        if rule.action is Action.PASS and (rule.when, rule.at_least, rule.action) not in known:
            yield Softening(f"rule {rule.name} over shots", Action.HOLD, rule.when)
    for rule in old.document.shots.rules:
        if rule.action is not Action.PASS and (rule.when, rule.at_least, rule.action) not in kept:
            yield Softening(f"rule {rule.name} over shots, which is gone", rule.action, rule.when)


def _of_classes(old: ResolvedPolicy, new: ResolvedPolicy) -> Iterator[Softening]:
    points = values_to_try(old, new)
    aimed = list(aimed_at(old, new, points))
    for names in _alike(old, new):
        name, worst, always = names[0], None, True
        for values in itertools.chain(combined(points), aimed):
            before = _decide(old, name, values, "")
            after = _decide(new, name, values, NEW)
            if before.action is Action.PASS:
                continue
            if after.action is not Action.PASS:
                always = False
            elif worst is None or _grave(before) > _grave(worst[0]):
                worst = before, values
        if worst is not None:
            outcome, values = worst
            example = "" if always else _example(values)
            yield from (Softening(one, outcome.action, example) for one in names)


def _alike(old: ResolvedPolicy, new: ResolvedPolicy) -> list[list[str]]:
    """The classes, those together that neither policy tells apart: one stands for all of them."""
    told: set[str] = {"normal", "unknown"}
    names = sorted({*old.document.classes, *new.document.classes, *told})
    for _, condition in (*old.rules, *new.rules):
        named = classes_named(condition.tree)
        told.update(names if named is None else named)
    found: dict[object, list[str]] = {}
    for name in names:
        key = name if name in told else tuple(_entry(policy, name) for policy in (old, new))
        found.setdefault(key, []).append(name)
    return list(found.values())


def _entry(policy: ResolvedPolicy, name: str) -> tuple[object, ...]:
    """All that a policy says of a class by itself."""
    entry, certificate = policy.document.classes.get(name), policy.document.certificate
    certified = certificate.classes.get(name) if certificate else None
    least = certified.from_confidence if certified else None
    return (entry.severity, entry.action, least) if entry else (None, None, least)


def _decide(policy: ResolvedPolicy, name: str, values: dict[str, Value], side: str) -> Outcome:
    seen = {n: values.get(side + n, v) for n, v in values.items() if not n.startswith(NEW)}
    if side:
        ratio = float(values[RATIO])
        for measure in MILLIMETRES & seen.keys():
            seen[measure] = float(seen[measure]) * ratio ** VARIABLES[measure].mm
    seen["class"] = name
    confidence = float(seen["confidence"])
    answer = Classification(class_name=name, confidence=confidence, classifier="analysis")
    return policy.decide_measured(answer, seen)


def _grave(outcome: Outcome) -> tuple[bool, int]:
    return outcome.severity is Severity.DEFECT, _ORDER.index(outcome.action)


def _example(values: dict[str, Value]) -> str:
    shown = {n: v for n, v in values.items() if not n.startswith(NEW) and v not in ("", 0.0)}
    return ", ".join(describe(n, v) for n, v in sorted(shown.items())) or "nothing measured"
