"""Lints: what is allowed and probably not meant. Each has a code that a file may silence."""

from collections.abc import Iterator

from policies.authoring.boxes import Box, Space
from policies.authoring.meaning import Path, Reporter
from policies.authoring.yaml_tree import Node
from policies.condition_parser import parse
from policies.errors import Problem
from policies.evaluate import vocabulary_of
from policies.expression import Expression, Name, Text, walk
from policies.measures import MILLIMETRES
from policies.model import PolicyDocument, Rule
from streams.codes import Action, FallbackKind, Severity

LINTS: dict[str, str] = {
    "W101": "a defect is allowed to pass",
    "W102": "a fallback lets parts pass",
    "W103": "every answer is accepted, however unsure",
    "W201": "a class's own action can never be reached, a rule always decides first",
    "W202": "a rule's condition can never be true",
    "W203": "a rule can never fire, earlier rules always decide first",
    "W204": "two rules overlap and disagree; the order alone decides",
    "W205": "a zone or shift that no rule asks for",
    "W301": "millimetres are used and some stations have no scale",
    "W302": "a text of the prompt is missing",
    "W901": "a silence that silences nothing",
}


def lints_of(document: PolicyDocument, tree: Node) -> tuple[list[Problem], list[Problem]]:
    """The lints of a valid document: those to show, and those the file silences."""
    report = Reporter(tree)
    found = [
        *_soft(document, report),
        *_rules(document, report),
        *_unused(document, report),
        *_prompt(document, report),
    ]
    shown: list[Problem] = []
    silenced: list[Problem] = []
    used: set[int] = set()
    for problem in found:
        by = _silencer(document, problem)
        used.update(by)
        (silenced if by else shown).append(problem)
    for index, silence in enumerate(document.silence):
        if index not in used:
            reason = f"nothing here is {silence.code}{f' at {silence.at}' if silence.at else ''}"
            shown.append(report("W901", ("silence", index), reason, "take the silence away"))
    return shown, silenced


def _silencer(document: PolicyDocument, problem: Problem) -> list[int]:
    return [
        index
        for index, silence in enumerate(document.silence)
        if silence.code == problem.code
        and (not silence.at or problem.at == silence.at or problem.at.startswith(f"{silence.at}."))
    ]


def _soft(document: PolicyDocument, report: Reporter) -> Iterator[Problem]:
    for name, entry in document.classes.items():
        if entry.severity is Severity.DEFECT and entry.action is Action.PASS:
            reason = f"{name!r} is a defect and passes"
            fix = "rework, scrap or hold it, or call it negligible"
            yield report("W101", ("classes", name, "action"), reason, fix)
    for index, rule in enumerate(document.rules):
        severities = {rule.severity} if rule.severity else _severities(document, rule)
        if rule.action is Action.PASS and Severity.DEFECT in severities:
            reason = f"rule {rule.name!r} lets a defect pass"
            fix = "give the rule `severity: negligible` if that is what it means"
            yield report("W101", ("rules", index, "action"), reason, fix)
    fallbacks = document.fallbacks
    for kind in FallbackKind:
        setting = getattr(fallbacks, kind.value)
        unsure = kind is FallbackKind.UNSURE
        if (setting.action if unsure else setting) is Action.PASS:
            path: Path = (
                ("fallbacks", kind.value, "action") if unsure else ("fallbacks", kind.value)
            )
            reason = f"parts pass when the answer is {kind.value.replace('_', ' ')}"
            yield report("W102", path, reason, "hold them")
    if fallbacks.unsure.below == 0.0 and document.classes:
        reason = "no confidence is asked of the classifier"
        fix = "say `unsure: {below: 0.6, action: hold}`"
        yield report("W103", ("fallbacks", "unsure"), reason, fix)


def _severities(document: PolicyDocument, rule: Rule) -> set[Severity]:
    """Severities of the classes that a rule without one of its own can fire for."""
    boxes = _space(document).boxes(parse(rule.when))
    reached = {
        name for name in document.classes for box in boxes or [] if name in box.texts["class"].names
    }
    return {Severity(document.classes[name].severity) for name in reached}


def _space(document: PolicyDocument) -> Space:
    return Space(vocabulary_of(document), document.fallbacks.unsure.below)


def _rules(document: PolicyDocument, report: Reporter) -> Iterator[Problem]:
    space = _space(document)
    earlier: list[tuple[Rule, list[Box]]] = []
    for index, rule in enumerate(document.rules):
        boxes = space.boxes(parse(rule.when))
        if boxes is None:
            continue
        path: Path = ("rules", index, "when")
        if not boxes:
            reason = f"rule {rule.name!r} can never be true"
            yield report("W202", path, reason, _never(document, rule))
            continue
        shadow = _shadow(boxes, earlier)
        if shadow:
            reason = f"rule {rule.name!r} never fires, {shadow!r} always comes first"
            yield report("W203", path, reason, "put it further up, or take it away")
        else:
            yield from _overlaps(rule, boxes, earlier, report, path)
        earlier.append((rule, boxes))
    for name in document.classes:
        shadow = _shadow([space.of_class(name)], earlier)
        if shadow:
            reason = f"the action of class {name!r} is never used, rule {shadow!r} decides always"
            fix = "narrow the rule, or move its action to the class"
            yield report("W201", ("classes", name), reason, fix, of_key=True)


def _never(document: PolicyDocument, rule: Rule) -> str:
    below = document.fallbacks.unsure.below
    if below and "confidence" in _names(parse(rule.when)):
        return f"answers below {below:g} are unsure before any rule is asked"
    return "two of its parts exclude each other"


def _shadow(boxes: list[Box], earlier: list[tuple[Rule, list[Box]]]) -> str:
    covering = {}
    for box in boxes:
        cover = next((r.name for r, bs in earlier if any(box.within(b) for b in bs)), "")
        if not cover:
            return ""
        covering[cover] = True
    return ", ".join(covering)


def _overlaps(
    rule: Rule,
    boxes: list[Box],
    earlier: list[tuple[Rule, list[Box]]],
    report: Reporter,
    path: Path,
) -> Iterator[Problem]:
    for other, others in earlier:
        if (other.action, other.severity) == (rule.action, rule.severity):
            continue
        special_first = all(any(o.within(b) for b in boxes) for o in others)
        if special_first or all(o.meet(b).empty for o in others for b in boxes):
            continue
        reason = (
            f"rule {rule.name!r} ({rule.action.value}) overlaps {other.name!r} "
            f"({other.action.value}), which comes first"
        )
        yield report("W204", path, reason, "exclude the other's cases, or silence with the reason")


def _unused(document: PolicyDocument, report: Reporter) -> Iterator[Problem]:
    trees = [parse(rule.when) for rule in document.rules]
    names = {name for tree in trees for name in _names(tree)}
    texts = {node.value for tree in trees for node in walk(tree) if isinstance(node, Text)}
    for index, zone in enumerate(document.zones):
        if "zone" not in names or zone.name not in texts:
            yield report(
                "W205", ("zones", index), f"no rule asks for zone {zone.name!r}", "add a rule"
            )
    for name in document.shifts:
        if "shift" not in names or name not in texts:
            reason = f"no rule asks for shift {name!r}"
            yield report("W205", ("shifts", name), reason, "add a rule", of_key=True)
    uses_mm = names & MILLIMETRES or any(zone.unit == "mm" for zone in document.zones)
    if uses_mm and document.mm_per_px and "default" not in document.mm_per_px:
        stations = ", ".join(sorted(document.mm_per_px))
        reason = f"only {stations} have a scale; parts of other stations are unsure"
        yield report("W301", ("mm_per_px",), reason, "add `default`", of_key=True)


def _names(tree: Expression) -> set[str]:
    return {node.name for node in walk(tree) if isinstance(node, Name)}


def _prompt(document: PolicyDocument, report: Reporter) -> Iterator[Problem]:
    if not document.normal.description and document.classes:
        yield report("W302", ("normal",), "what a normal part looks like is not described", "")
    for name, entry in document.classes.items():
        if not entry.description:
            reason = f"class {name!r} has no description for the classifier"
            yield report("W302", ("classes", name), reason, "add a sentence", of_key=True)
