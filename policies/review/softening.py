"""Finds out, from two policies alone, whether a change lets parts pass that are stopped today, lets
more of their pictures out of the plant, or weakens the watch over the line.

The measured values at which any condition of either policy can change its mind are few. Every
combination of them is tried with every class; beyond a bound a seeded sample is, and for each rule
that differs combinations for which it holds. For conditions
that compare one name with literals the values are one from each cell of the plane the conditions
cut, so that nothing is missed within the bound. Names are taken as independent of each other
(an area of 0 with 5 pieces is tried too): the answer errs on the side of naming a softening.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from policies.conditions.analysis import classes_named, critical_values
from policies.conditions.compiled import CompiledCondition, context_of
from policies.conditions.variables import MILLIMETRES, SHARES, VARIABLES, Value
from policies.egress import EGRESS
from policies.evaluate import ResolvedPolicy
from policies.model import Judged
from policies.reasons import describe
from policies.review.watch import weakened
from streams.codes import Action, FallbackKind, Severity
from streams.events import Classification
from streams.ports import Outcome, Situation

_NEW = ">"
"""Marks a value that the new version sees for itself: its zones or shifts are other ones."""
_RATIO = ">scale"
_ORDER = (Action.PASS, Action.HOLD, Action.REWORK, Action.SCRAP)
MAX_COMBINATIONS = 4000
"""Most combinations tried per class."""
_MAX_CELLS, _MAX_HOLDING = 20_000, 100
"""Most values of a rule's own names that are tried, and of those for which it holds."""


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
    shares = {share for rate in rates if rate is not None for share in _around(rate)}
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
    points = _points(old, new)
    aimed = list(_aimed(old, new, points))
    for names in _alike(old, new):
        name, worst, always = names[0], None, True
        for values in itertools.chain(_combinations(points), aimed):
            before = _decide(old, name, values, "")
            after = _decide(new, name, values, _NEW)
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
    seen = {n: values.get(side + n, v) for n, v in values.items() if not n.startswith(_NEW)}
    if side:
        ratio = float(values[_RATIO])
        for measure in MILLIMETRES & seen.keys():
            seen[measure] = float(seen[measure]) * ratio ** VARIABLES[measure].mm
    seen["class"] = name
    confidence = float(seen["confidence"])
    answer = Classification(class_name=name, confidence=confidence, classifier="analysis")
    return policy.decide_measured(answer, seen)


def _grave(outcome: Outcome) -> tuple[bool, int]:
    return outcome.severity is Severity.DEFECT, _ORDER.index(outcome.action)


def _example(values: dict[str, Value]) -> str:
    shown = {n: v for n, v in values.items() if not n.startswith(_NEW) and v not in ("", 0.0)}
    return ", ".join(describe(n, v) for n, v in sorted(shown.items())) or "nothing measured"


def _points(old: ResolvedPolicy, new: ResolvedPolicy) -> dict[str, list[Value]]:
    """Values to try by name: both sides of every literal, and each text."""
    found: dict[str, set[Value]] = {
        name: {"", "another"} if VARIABLES[name].kind is str else {0.0, 1.0}
        for name in (old.names | new.names | {"confidence"}) - {"class"}
    }
    for policy in (old, new):
        found["confidence"].update(_around(policy.document.fallbacks.unsure.below))
        certificate = policy.document.certificate
        for entry in certificate.classes.values() if certificate else ():
            found["confidence"].update(_around(entry.from_confidence))
        for _, condition in policy.rules:
            for name, values in critical_values(condition.tree).items():
                for value in values if name in found else ():
                    found[name].update((value,) if isinstance(value, str) else _around(value))
    ratios = _ratios(old, new)
    for name, values in found.items():
        if name in SHARES:
            found[name] = {v for v in values if 0.0 <= float(v) <= 1.0}
        elif VARIABLES[name].kind is float:
            values.add(1e6)
        if name in MILLIMETRES:
            values.update(float(v) / r ** VARIABLES[name].mm for v in list(values) for r in ratios)
    before, after = old.document, new.document
    if before.zones != after.zones and "zone" in found:
        found[_NEW + "zone"] = found["zone"]
    shifts = (before.shifts, before.timezone) != (after.shifts, after.timezone)
    if shifts and "shift" in found:
        found[_NEW + "shift"] = found["shift"]
    found[_RATIO] = set(ratios)
    return {name: sorted(values) for name, values in found.items()}


def _ratios(old: ResolvedPolicy, new: ResolvedPolicy) -> tuple[float, ...]:
    """The new scale divided by the old, for each station that either of them names."""
    before, after = old.document.mm_per_px, new.document.mm_per_px
    found = {1.0} if before == after else set()
    for station in {*before, *after} if before != after else ():
        one = before.get(station, before.get("default"))
        two = after.get(station, after.get("default"))
        found.add(two / one if one and two else 1.0)
    return tuple(sorted(found or {1.0}))


def _around(value: float) -> tuple[float, float, float]:
    step = max(abs(value) * 1e-3, 1e-6)
    return value - step, value, value + step


def _combinations(points: dict[str, list[Value]]) -> Iterator[dict[str, Value]]:
    names = sorted(points)
    if prod(len(points[name]) for name in names) <= MAX_COMBINATIONS:
        for values in itertools.product(*(points[name] for name in names)):
            yield dict(zip(names, values, strict=True))
        return
    chance = random.Random(0)
    for _ in range(MAX_COMBINATIONS):
        yield {name: chance.choice(points[name]) for name in names}


def _aimed(
    old: ResolvedPolicy, new: ResolvedPolicy, points: dict[str, list[Value]]
) -> Iterator[dict[str, Value]]:
    """Combinations for which a rule holds that only one of the policies has, where a sample must
    do: of rules over many names, a sample may miss all that they say."""
    names = sorted(points)
    if prod(len(points[name]) for name in names) <= MAX_COMBINATIONS:
        return
    chance = random.Random(0)
    differing = _differing(old, new)
    for condition, side in differing:
        holding = _holding(condition, MAX_COMBINATIONS // len(differing), chance)
        for seen in holding:
            for _ in range(max(1, MAX_COMBINATIONS // len(differing) // len(holding))):
                values = {name: chance.choice(points[name]) for name in names}
                ratio = float(values[_RATIO]) if side else 1.0
                for name, value in seen.items():
                    scale = ratio ** VARIABLES[name].mm if name in MILLIMETRES else 1.0
                    values[name] = value if isinstance(value, str) else float(value) / scale
                    if side + name in values:
                        values[side + name] = value
                yield values


def _differing(old: ResolvedPolicy, new: ResolvedPolicy) -> list[tuple[CompiledCondition, str]]:
    """Conditions of the rules that only one policy has, each with the prefix of its side's names;
    of all rules where those that both have stand in another order."""
    before, after = ([(rule.when, rule.action) for rule, _ in p.rules] for p in (old, new))
    is_ordered = [one for one in before if one in after] == [one for one in after if one in before]
    return [
        (condition, side)
        for policy, other, side in ((old, after, ""), (new, before, _NEW))
        for rule, condition in policy.rules
        if not is_ordered or (rule.when, rule.action) not in other
    ]


def _holding(
    condition: CompiledCondition, most: int, chance: random.Random
) -> list[dict[str, Value]]:
    """Values of a condition's own names for which it holds, whatever the class."""
    cells: dict[str, list[Value]] = {}
    for name, values in critical_values(condition.tree).items():
        found: set[Value] = {"", "another"} if VARIABLES[name].kind is str else {0.0, 1.0}
        for value in values:
            found.update((value,) if isinstance(value, str) else _around(value))
        within = name not in SHARES
        cells[name] = sorted(v for v in found if within or 0.0 <= float(v) <= 1.0)
    tries: Iterator[tuple[Value, ...]]
    if prod(len(one) for one in cells.values()) <= _MAX_CELLS:
        tries = itertools.product(*cells.values())
    else:
        tries = (tuple(map(chance.choice, cells.values())) for _ in range(_MAX_CELLS))
    asked = [dict(zip(cells, values, strict=True)) for values in tries]
    chance.shuffle(asked)
    holding = (values for values in asked if _holds(condition, values))
    return [
        {name: value for name, value in values.items() if name != "class"}
        for values in itertools.islice(holding, min(most, _MAX_HOLDING))
    ]


def _holds(condition: CompiledCondition, values: dict[str, Value]) -> bool:
    try:
        return condition.holds(context_of(values))
    except Exception:  # noqa: BLE001 - whatever CEL raises: the part is held, and none passes
        return False
