"""Checks what a schema cannot say: names that must exist, units and geometry."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

from policies.authoring.yaml_tree import Node, Path
from policies.conditions.compiled import problems_of
from policies.conditions.expression import variables_of
from policies.conditions.parser import parse
from policies.conditions.variables import MILLIMETRES
from policies.errors import ConditionError, Problem
from policies.model import RESERVED_CLASSES, PolicyDocument, Rule, ShotRule, Zone
from policies.rules import vocabulary_of
from prompts.names import fold, look_of
from streams.codes import Action
from streams.names import fault_of, mended


def errors_of(document: PolicyDocument, tree: Node) -> list[Problem]:
    """Everything that makes a well-formed document unusable."""
    return [
        *_name_errors(document, tree),
        *_class_errors(document, tree),
        *_rule_errors(document, document.rules, ("rules",), tree),
        *_rule_errors(document, document.shots.rules, ("shots", "rules"), tree),
        *_zone_errors(document, tree),
        *_limit_errors(document, tree),
        *_shift_errors(document, tree),
        *_certificate_errors(document, tree),
    ]


def _inside(tree: Node, path: Path, error: ConditionError) -> Problem:
    """A problem inside a one-line condition, at its own column."""
    place, at = tree.locate(path)
    node = tree.at(path)
    if node is not None and node.block is not None and node.raw:
        inner = replace(place, column=node.block.column + error.column - 1)
        return inner.problem("E301", at, error.reason, error.fix)
    reason = f"{error.reason} (character {error.column} of the condition)"
    return place.problem("E301", at, reason, error.fix)


def _name_errors(document: PolicyDocument, tree: Node) -> Iterator[Problem]:
    """Names that would be taken for another, or that nobody could type."""
    names: dict[Path, str] = {("product",): document.product}
    names |= {("classes", name): name for name in document.classes}
    names |= {("golden", serial): serial for serial in document.golden}
    kinds = {"product": "product", "classes": "class", "golden": "part"}
    for path, name in names.items():
        if fault := fault_of(name):
            what = f"{kinds[str(path[0])]} {name!r}"
            fix = f"write {meant!r}" if (meant := mended(name)) else "give it a name"
            of_key = path != ("product",)
            yield tree.problem("E313", path, f"{what} {fault}", fix, of_key=of_key)


def _class_errors(document: PolicyDocument, tree: Node) -> Iterator[Problem]:
    for name in document.classes:
        if not fold(name) and not fault_of(name):
            reason = f"class {name!r} is punctuation alone, which an empty answer would name"
            yield tree.problem("E313", ("classes", name), reason, "use a word", of_key=True)
        if (answer := fold(name)) in RESERVED_CLASSES:
            fix = "describe good parts under `normal`" if answer == "normal" else "see `fallbacks`"
            reason = f"{name!r} is an answer of its own and cannot be a class"
            yield tree.problem("E308", ("classes", name), reason, fix, of_key=True)
    seen: dict[int, str] = {}
    for name, entry in document.classes.items():
        if entry.id is None:
            continue
        if entry.id in seen:
            reason = f"class {name!r} has the number {entry.id} of {seen[entry.id]!r}"
            yield tree.problem(
                "E307", ("classes", name, "id"), reason, "give each class its own number"
            )
        seen[entry.id] = name
    by_look = {look_of(name): name for name in RESERVED_CLASSES}
    for name in document.classes:
        other = by_look.setdefault(look_of(name), name)
        if other != name and fold(other) == fold(name) and other not in RESERVED_CLASSES:
            reason = f"{name!r} and {other!r} differ only in case or blanks"
            yield tree.problem("E307", ("classes", name), reason, "rename one of them", of_key=True)
        elif fold(other) != fold(name):
            odd = next(c for c in name + other if not c.isascii())
            reason = f"{name!r} and {other!r} look alike, and are written in other letters"
            fix = f"one has U+{ord(odd):04X} {unicodedata.name(odd, '')}"
            yield tree.problem("E307", ("classes", name), reason, fix, of_key=True)


def _rule_errors(
    document: PolicyDocument, rules: Sequence[Rule | ShotRule], at: Path, tree: Node
) -> Iterator[Problem]:
    vocabulary = vocabulary_of(document, of_shots=at[0] == "shots")
    yield from _duplicates(at, [rule.name for rule in rules], tree)
    for index, rule in enumerate(rules):
        path = (*at, index, "when")
        found = problems_of(rule.when, vocabulary)
        yield from (_inside(tree, path, error) for error in found)
        if not found:
            yield from _scale_errors(document, rule, path, tree)


def _scale_errors(
    document: PolicyDocument, rule: Rule | ShotRule, path: Path, tree: Node
) -> Iterator[Problem]:
    used = [name for name in variables_of(parse(rule.when)) if name in MILLIMETRES]
    if used and not document.mm_per_px:
        reason = f"{used[0]} needs a scale, and the product has none"
        fix = "add `mm_per_px: {default: ...}`, or use area_px and longest_px"
        yield tree.problem("E305", path, reason, fix)


def _zone_errors(document: PolicyDocument, tree: Node) -> Iterator[Problem]:
    yield from _duplicates(("zones",), [zone.name for zone in document.zones], tree)
    for index, zone in enumerate(document.zones):
        path: Path = ("zones", index, "polygon")
        if zone.unit == "mm" and not document.mm_per_px:
            reason = f"zone {zone.name!r} is in millimetres, and the product has no scale"
            fix = "add `mm_per_px: {default: ...}`, or use fractions"
            yield tree.problem("E305", ("zones", index, "unit"), reason, fix)
        if zone.unit == "fraction" and any(not 0 <= c <= 1 for p in zone.polygon for c in p):
            reason = f"zone {zone.name!r} has corners outside the image"
            fix = "fractions lie between 0 and 1; for pixels say `unit: px`"
            yield tree.problem("E309", path, reason, fix)
        elif any(not 0 <= c <= 1e6 for p in zone.polygon for c in p):
            yield tree.problem("E309", path, f"zone {zone.name!r} has corners outside the image")
        elif _area_of(zone) < 1e-9:
            reason = f"zone {zone.name!r} has no area"
            yield tree.problem("E309", path, reason, "name the corners in order around the zone")


def _area_of(zone: Zone) -> float:
    corners = zone.polygon
    pairs = zip(corners, corners[1:] + corners[:1], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2


def _limit_errors(document: PolicyDocument, tree: Node) -> Iterator[Problem]:
    for name, limit in document.limits.items():
        if limit.more_than >= limit.in_parts:
            reason = f"more than {limit.more_than} of {limit.in_parts} parts can never be"
            yield tree.problem("E311", ("limits", name, "more_than"), reason, "ask for fewer parts")
        for index, wanted in enumerate(limit.classes):
            if wanted not in document.classes and wanted not in RESERVED_CLASSES:
                known = ", ".join(sorted(document.classes))
                path = ("limits", name, "classes", index)
                yield tree.problem(
                    "E303", path, f"class {wanted!r} is not among {known}", "name a class"
                )


def _shift_errors(document: PolicyDocument, tree: Node) -> Iterator[Problem]:
    try:
        ZoneInfo(document.timezone)
    except (ValueError, OSError, KeyError):
        reason = f"timezone {document.timezone!r} is not known"
        yield tree.problem("E310", ("timezone",), reason, "write a name such as Europe/Berlin")
    for name, shift in document.shifts.items():
        if shift.start == shift.end:
            reason = f"shift {name!r} has no length"
            yield tree.problem(
                "E310", ("shifts", name), reason, "give start and end different times"
            )


def _certificate_errors(document: PolicyDocument, tree: Node) -> Iterator[Problem]:
    for name in document.certificate.classes if document.certificate else ():
        if name not in document.classes and name != "normal":
            known = ", ".join(sorted(document.classes))
            reason = f"class {name!r} is not among {known}"
            path: Path = ("certificate", "classes", name)
            yield tree.problem("E303", path, reason, "certify again", of_key=True)
    if not document.asks_certificate:
        return
    if document.fallbacks.unsure.action is Action.PASS:
        reason = "a class without a certificate takes the fallback `unsure`, which lets parts pass"
        yield tree.problem("E312", ("fallbacks", "unsure", "action"), reason, "hold them")
    for index, rule in enumerate(document.shots.rules):
        if rule.action is Action.PASS:
            reason = f"rule {rule.name!r} lets a part pass that its shots may have stopped"
            path = ("shots", "rules", index, "action")
            yield tree.problem("E312", path, reason, "let the shots decide, or hold the part")


def _duplicates(at: Path, names: list[str], tree: Node) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            reason = f"the name {name!r} is already used in {'.'.join(map(str, at))}"
            yield tree.problem("E306", (*at, index, "name"), reason, "give it a name of its own")
        seen.add(name)
