"""Says in words what changes between two versions of a policy, and names what softens."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from policies.evaluate import ResolvedPolicy
from policies.model import AnomalyClass, Body, PolicyDocument, Rule, body_of
from policies.reasons import plain
from policies.review.softening import Softening, softenings

_MISSING = object()


@dataclass(frozen=True)
class Change:
    """One difference. ``at`` is the path; ``in_prompt`` when the classifier would read it."""

    at: str
    text: str
    in_prompt: bool = False


@dataclass(frozen=True)
class Difference:
    """Everything that differs, from ``old`` to ``new``."""

    old_hash: str
    new_hash: str
    changes: tuple[Change, ...]
    softenings: tuple[Softening, ...]

    @property
    def softens(self) -> bool:
        """Whether parts that are stopped today can pass, more of the pictures can leave, or less of
        the line is watched."""
        return bool(self.softenings)

    @property
    def changes_prompt(self) -> bool:
        """Whether recorded classes say nothing about the new version."""
        return any(change.in_prompt for change in self.changes)

    def lines(self) -> list[str]:
        """The difference in words, one line each, softenings last."""
        if not self.changes:
            return ["nothing changes"]
        mark = " (the classifier reads this)"
        found = [c.text + (mark if c.in_prompt else "") for c in self.changes]
        return found + [f"SOFTENING {s}" for s in self.softenings]


def difference(old: ResolvedPolicy, new: ResolvedPolicy) -> Difference:
    """Compare two versions of one product's policy."""
    changes = _changes(old, new)
    soft = softenings(old, new) if changes else ()
    return Difference(old.policy_hash, new.policy_hash, changes, soft)


def prompt_changes(old: ResolvedPolicy, new: ResolvedPolicy) -> tuple[str, ...]:
    """What the classifier would read differently; empty when its answers stay comparable."""
    return tuple(change.text for change in _changes(old, new) if change.in_prompt)


def _changes(old: ResolvedPolicy, new: ResolvedPolicy) -> tuple[Change, ...]:
    return (
        *_classes(old, new),
        *_rules(old.document, new.document),
        *_named("zone", old.body["zones"], new.body["zones"]),
        *_order(
            "zones", [z.name for z in old.document.zones], [z.name for z in new.document.zones]
        ),
        *_named("limit", old.body["limits"], new.body["limits"]),
        *_named("shift", old.body["shifts"], new.body["shifts"]),
        *_rules_over_shots(old.document, new.document),
        *_rest(old.document, new.document),
    )


def _classes(old: ResolvedPolicy, new: ResolvedPolicy) -> Iterator[Change]:
    before, after = old.document.classes, new.document.classes
    for name in sorted({*before, *after}):
        at = f"classes.{name}"
        was, now = before.get(name), after.get(name)
        if was is not None and now is not None:
            yield from _class(name, was, now)
            if old.class_ids[name] != new.class_ids[name]:
                ids = f"{old.class_ids[name]} -> {new.class_ids[name]}"
                yield Change(f"{at}.id", f"{name}: its number towards the PLC {ids}")
        elif now is not None:
            text = f"new class {name}: {now.severity.value}, {now.action.value}"
            yield Change(at, text, True)
        elif was is not None:
            text = f"class {name} is gone (was {was.severity.value}, {was.action.value})"
            yield Change(at, text, True)


def _class(name: str, was: AnomalyClass, now: AnomalyClass) -> Iterator[Change]:
    """What became of a class that both policies have."""
    at = f"classes.{name}"
    if was.action is not now.action:
        yield Change(at, f"{name}: {was.action.value} -> {now.action.value}")
    if was.severity is not now.severity:
        yield Change(at, f"{name}: {was.severity.value} -> {now.severity.value}")
    for key in ("display_name", "description"):
        if getattr(was, key) != getattr(now, key):
            text = _changed(f"{name} {key}", getattr(was, key), getattr(now, key))
            yield Change(f"{at}.{key}", text, True)


def _rules(old: PolicyDocument, new: PolicyDocument) -> Iterator[Change]:
    before = {rule.name: rule for rule in old.rules}
    after = {rule.name: rule for rule in new.rules}
    for name, rule in after.items():
        if name not in before:
            yield Change(f"rules.{name}", f"new rule {name}: {_in_words(rule)}")
    for name, rule in before.items():
        if name not in after:
            yield Change(f"rules.{name}", f"rule {name} is gone (was: {_in_words(rule)})")
        elif _in_words(rule) != _in_words(after[name]):
            text = f"rule {name}: {_in_words(rule)} -> {_in_words(after[name])}"
            yield Change(f"rules.{name}", text)
        elif rule.because != after[name].because:
            text = _changed(f"rule {name} because", rule.because, after[name].because)
            yield Change(f"rules.{name}", text)
    yield from _order("rules", list(before), list(after))


def _in_words(rule: Rule) -> str:
    severity = f" as {rule.severity.value}" if rule.severity else ""
    return f"{rule.action.value}{severity} when {rule.when}"


def _order(kind: str, before: list[str], after: list[str]) -> Iterator[Change]:
    stayed, stays = [n for n in before if n in after], [n for n in after if n in before]
    if stayed != stays:
        yield Change(kind, f"the order of the {kind} is now {', '.join(after)}")


def _named(kind: str, old: object, new: object) -> Iterator[Change]:
    before, after = _by_name(old), _by_name(new)
    for name in sorted({*before, *after}):
        at = f"{kind}s.{name}"
        if name not in before:
            yield Change(at, f"new {kind} {name}: {_flat(after[name])}")
        elif name not in after:
            yield Change(at, f"{kind} {name} is gone")
        else:
            for key, one, two in _leaves(before[name], after[name], ""):
                yield Change(at, _changed(f"{kind} {name} {key}", one, two))


def _by_name(section: object) -> dict[str, object]:
    """A section of the body by name: limits and shifts are mappings, zones a list."""
    if isinstance(section, Mapping):
        return dict(section)
    return {zone["name"]: zone for zone in section} if isinstance(section, list | tuple) else {}


def _rules_over_shots(old: PolicyDocument, new: PolicyDocument) -> Iterator[Change]:
    before, after = old.shots.rules, new.shots.rules
    yield from _named(
        "rule over shot", [r.model_dump() for r in before], [r.model_dump() for r in after]
    )
    yield from _order("rules over shots", [r.name for r in before], [r.name for r in after])


def _rest(before: PolicyDocument, after: PolicyDocument) -> Iterator[Change]:
    """Of the documents and not of the bodies: a section that an older version of the language did
    not have is its default."""
    told = {"classes", "rules", "zones", "limits", "shifts"}
    one, two = (_without_rules_over_shots(body_of(d), told) for d in (before, after))
    for at, old, new in _leaves(one, two, ""):
        read = at in ("strategy", "normal.description", "egress")
        yield Change(at, _changed(at.replace("fallbacks.", "fallback "), old, new), read)


def _without_rules_over_shots(body: Body, told: set[str]) -> dict[str, object]:
    left = {name: value for name, value in body.items() if name not in told}
    shots = left.get("shots")
    if isinstance(shots, Mapping):
        left["shots"] = {name: value for name, value in shots.items() if name != "rules"}
    return left


def _leaves(one: object, two: object, at: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        for key in sorted({*one, *two}):
            inner = f"{at}.{key}" if at else str(key)
            yield from _leaves(one.get(key, _MISSING), two.get(key, _MISSING), inner)
    elif one != two:
        yield at, one, two


def _changed(what: str, one: object, two: object) -> str:
    return f"{what}: {_flat(one)} -> {_flat(two)}"


def _flat(value: object) -> str:
    if value is _MISSING or value is None or value == "":
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_flat(v)}" for k, v in value.items() if v not in ("", [], None))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain(str(value), 120)
