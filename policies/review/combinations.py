"""Combinations of measured values at which one of two policies can change its mind.

They are few. Every combination is tried; beyond a bound a seeded sample is, and for each rule that
differs combinations for which it holds. For conditions that compare one name with literals the
values are one from each cell of the plane the conditions cut, so that nothing is missed within the
bound. Names are taken as independent of each other (an area of 0 with 5 pieces is tried too): who
compares two policies errs on the side of naming a difference.
"""

import itertools
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod

from policies.conditions.analysis import critical_values
from policies.conditions.compiled import CompiledCondition, context_of
from policies.conditions.variables import MILLIMETRES, SHARES, VARIABLES, Value
from policies.evaluate import ResolvedPolicy

NEW = ">"
"""Marks a value that the new version sees for itself: its zones or shifts are other ones."""
RATIO = ">scale"
"""The new scale divided by the old one."""
MAX_COMBINATIONS = 4000
"""Most combinations tried per class."""
_MAX_CELLS, _MAX_HOLDING = 20_000, 100
"""Most values of a rule's own names that are tried, and of those for which it holds."""


def values_to_try(old: ResolvedPolicy, new: ResolvedPolicy) -> dict[str, list[Value]]:
    """By name: both sides of every literal that it is compared with, and each text.

    Beside the names of conditions there are the confidence, ``RATIO``, and with ``NEW`` before it
    what the new version sees otherwise.
    """
    literals = _literals(old, new)
    ratios = _ratios(old, new)
    found = {}
    for name in (old.names | new.names | {"confidence"}) - {"class"}:
        values = _on_both_sides(name, literals[name])
        if VARIABLES[name].kind is float and name not in SHARES:
            values.add(1e6)
        if name in MILLIMETRES:
            values.update(float(v) / r ** VARIABLES[name].mm for v in list(values) for r in ratios)
        found[name] = sorted(values)
    before, after = old.document, new.document
    if before.zones != after.zones and "zone" in found:
        found[NEW + "zone"] = found["zone"]
    shifts = (before.shifts, before.timezone) != (after.shifts, after.timezone)
    if shifts and "shift" in found:
        found[NEW + "shift"] = found["shift"]
    found[RATIO] = list(ratios)
    return found


def combined(points: Mapping[str, Sequence[Value]]) -> Iterator[dict[str, Value]]:
    """Every combination of the values, or a seeded sample where there are too many."""
    names = sorted(points)
    if _can_be_whole(points):
        for values in itertools.product(*(points[name] for name in names)):
            yield dict(zip(names, values, strict=True))
        return
    chance = random.Random(0)
    for _ in range(MAX_COMBINATIONS):
        yield {name: chance.choice(points[name]) for name in names}


def aimed_at(
    old: ResolvedPolicy, new: ResolvedPolicy, points: Mapping[str, Sequence[Value]]
) -> Iterator[dict[str, Value]]:
    """Combinations for which a rule holds that only one of the policies has, where a sample must
    do: of rules over many names, a sample may miss all that they say."""
    if _can_be_whole(points):
        return
    chance = random.Random(0)
    differing = _differing(old, new)
    for condition, side in differing:
        holding = _holding(condition, MAX_COMBINATIONS // len(differing), chance)
        for seen in holding:
            for _ in range(max(1, MAX_COMBINATIONS // len(differing) // len(holding))):
                values = {name: chance.choice(points[name]) for name in sorted(points)}
                yield values | dict(_as_seen(seen, side, values))


def around(value: float) -> tuple[float, float, float]:
    """A number, and one a little to each side of it."""
    step = max(abs(value) * 1e-3, 1e-6)
    return value - step, value, value + step


def _can_be_whole(points: Mapping[str, Sequence[Value]]) -> bool:
    return prod(map(len, points.values())) <= MAX_COMBINATIONS


def _literals(old: ResolvedPolicy, new: ResolvedPolicy) -> dict[str, set[Value]]:
    """What each name is compared with, in rules, by the fallback and by certificates."""
    found: dict[str, set[Value]] = defaultdict(set)
    for policy in (old, new):
        found["confidence"].add(policy.document.fallbacks.unsure.below)
        if certificate := policy.document.certificate:
            found["confidence"].update(c.from_confidence for c in certificate.classes.values())
        for _, condition in policy.rules:
            for name, values in critical_values(condition.tree).items():
                found[name] |= values
    return found


def _on_both_sides(name: str, literals: Iterable[Value]) -> set[Value]:
    """Values of a name that lie on both sides of each literal, within what it can measure."""
    found: set[Value] = {"", "another"} if VARIABLES[name].kind is str else {0.0, 1.0}
    for value in literals:
        found.update((value,) if isinstance(value, str) else around(value))
    return {v for v in found if 0.0 <= float(v) <= 1.0} if name in SHARES else found


def _ratios(old: ResolvedPolicy, new: ResolvedPolicy) -> tuple[float, ...]:
    """The new scale divided by the old, for each station that either of them names."""
    before, after = old.document.mm_per_px, new.document.mm_per_px
    found = {1.0} if before == after else set()
    for station in {*before, *after} if before != after else ():
        one = before.get(station, before.get("default"))
        two = after.get(station, after.get("default"))
        found.add(two / one if one and two else 1.0)
    return tuple(sorted(found or {1.0}))


def _differing(old: ResolvedPolicy, new: ResolvedPolicy) -> list[tuple[CompiledCondition, str]]:
    """Conditions of the rules that only one policy has, each with the prefix of its side's names;
    of all rules where those that both have stand in another order."""
    before, after = ([(rule.when, rule.action) for rule, _ in p.rules] for p in (old, new))
    is_ordered = [one for one in before if one in after] == [one for one in after if one in before]
    return [
        (condition, side)
        for policy, other, side in ((old, after, ""), (new, before, NEW))
        for rule, condition in policy.rules
        if not is_ordered or (rule.when, rule.action) not in other
    ]


def _holding(
    condition: CompiledCondition, most: int, chance: random.Random
) -> list[dict[str, Value]]:
    """Values of a condition's own names for which it holds, whatever the class."""
    literals = critical_values(condition.tree)
    cells = {name: sorted(_on_both_sides(name, values)) for name, values in literals.items()}
    tries: Iterable[tuple[Value, ...]]
    if prod(map(len, cells.values())) <= _MAX_CELLS:
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


def _as_seen(
    seen: Mapping[str, Value], side: str, values: Mapping[str, Value]
) -> Iterator[tuple[str, Value]]:
    """What one policy sees as values of the combination: lengths are in the old one's scale."""
    ratio = float(values[RATIO]) if side else 1.0
    for name, value in seen.items():
        scale = ratio ** VARIABLES[name].mm if name in MILLIMETRES else 1.0
        yield name, value if isinstance(value, str) else float(value) / scale
        if side + name in values:
            yield side + name, value
