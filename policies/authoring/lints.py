"""Lints: what is allowed and probably not meant. Each has a code that a file may silence."""

from collections.abc import Iterator, Sequence

from policies.authoring.yaml_tree import Node, Path
from policies.conditions.analysis import Box, Space
from policies.conditions.expression import Text, walk
from policies.conditions.variables import MILLIMETRES
from policies.errors import Problem
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument, Rule
from policies.rules import vocabulary_of
from streams.codes import Action, FallbackKind, Severity

LINTS: dict[str, str] = {
    "W101": "a defect is allowed to pass",
    "W102": "a fallback lets parts pass",
    "W103": "every answer is accepted, however unsure",
    "W104": "a class would pass by itself, and has no certificate in force",
    "W105": "a certificate that the policy does not ask for",
    "W201": "a class's own action can never be reached, a rule always decides first",
    "W202": "a rule's condition can never be true",
    "W203": "a rule can never fire, earlier rules always decide first",
    "W204": "two rules overlap and disagree; the order alone decides",
    "W205": "a zone or shift that no rule asks for",
    "W301": "millimetres are used and some stations have no scale",
    "W302": "a text of the prompt is missing",
    "W303": "a text ends where a # begins a comment, as in `RAL #7035`",
    "W901": "a silence that silences nothing",
}


def lints_of(policy: ResolvedPolicy, tree: Node) -> tuple[list[Problem], list[Problem]]:
    """The lints of a valid policy: those to show, and those the file silences."""
    document = policy.document
    space = Space(vocabulary_of(document), document.fallbacks.unsure.below)
    regions = [space.boxes(condition.tree) for _, condition in policy.rules]
    found = [
        *_soft(document, regions, tree),
        *_certificate(policy, tree),
        *_rules(policy, space, regions, tree),
        *_unused(policy, tree),
        *_prompt(document, tree),
        *_comments(tree),
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
            shown.append(tree.problem("W901", ("silence", index), reason, "take the silence away"))
    return shown, silenced


def _comments(tree: Node) -> Iterator[Problem]:
    """Texts that were probably meant to go on: a comment has a blank behind its ``#``."""
    for path, node in tree.scalars():
        if node.cut:
            reason = f"{node.raw[:80]!r} is all that is read: {node.cut!r} is a comment"
            fix = "put the whole text in quotes, or a blank behind the #"
            yield tree.problem("W303", path, reason, fix)


def _silencer(document: PolicyDocument, problem: Problem) -> list[int]:
    return [
        index
        for index, silence in enumerate(document.silence)
        if silence.code == problem.code
        and (not silence.at or problem.at == silence.at or problem.at.startswith(f"{silence.at}."))
    ]


def _soft(
    document: PolicyDocument, regions: Sequence[list[Box] | None], tree: Node
) -> Iterator[Problem]:
    for name, entry in document.classes.items():
        if entry.severity is Severity.DEFECT and entry.action is Action.PASS:
            reason = f"{name!r} is a defect and passes"
            fix = "rework, scrap or hold it, or call it negligible"
            yield tree.problem("W101", ("classes", name, "action"), reason, fix)
    for index, (rule, boxes) in enumerate(zip(document.rules, regions, strict=True)):
        reached = {n for n in document.classes for b in boxes or () if b.can_be_of(n)}
        of_classes = {document.classes[name].severity for name in reached}
        severities = {rule.severity} if rule.severity else of_classes
        if rule.action is Action.PASS and Severity.DEFECT in severities:
            reason = f"rule {rule.name!r} lets a defect pass"
            fix = "give the rule `severity: negligible` if that is what it means"
            yield tree.problem("W101", ("rules", index, "action"), reason, fix)
    if document.shots.missing is Action.PASS:
        reason = "parts pass though a shot is missing"
        yield tree.problem("W102", ("shots", "missing"), reason, "hold them")
    fallbacks = document.fallbacks
    for kind in FallbackKind:
        if fallbacks.action_of(kind) is Action.PASS:
            path: Path = ("fallbacks", kind.value)
            reason = f"parts pass when the answer is {kind.value.replace('_', ' ')}"
            inner = ("action",) if kind is FallbackKind.UNSURE else ()
            yield tree.problem("W102", path + inner, reason, "hold them")
    if fallbacks.unsure.below == 0.0 and document.classes:
        reason = "no confidence is asked of the classifier"
        fix = "say `unsure: {below: 0.6, action: hold}`"
        yield tree.problem("W103", ("fallbacks", "unsure"), reason, fix)


def _certificate(policy: ResolvedPolicy, tree: Node) -> Iterator[Problem]:
    document = policy.document
    if not policy.auto_pass.is_asked:
        if document.certificate is not None:
            fix = "say `auto_pass: certified`, or take the certificate away"
            reason = "every class passes as it says, certified or not"
            yield tree.problem("W105", ("certificate",), reason, fix, of_key=True)
        return
    passing = [name for name, c in document.classes.items() if c.action is Action.PASS]
    if document.normal.false_alarm is Action.PASS:
        passing.append("normal")
    for name in passing:
        if lacking := policy.auto_pass.lacks_for(name):
            path: Path = ("classes", name) if name in document.classes else ("auto_pass",)
            reason = f"{name!r} does not pass by itself: {lacking}"
            fix = "review its parts and run `andon certify`"
            yield tree.problem("W104", path, reason, fix, of_key=True)


def _rules(
    policy: ResolvedPolicy, space: Space, regions: Sequence[list[Box] | None], tree: Node
) -> Iterator[Problem]:
    earlier: list[tuple[Rule, list[Box]]] = []
    for index, ((rule, condition), boxes) in enumerate(zip(policy.rules, regions, strict=True)):
        if boxes is None:
            continue
        path: Path = ("rules", index, "when")
        if not boxes:
            reason = f"rule {rule.name!r} can never be true"
            below = policy.document.fallbacks.unsure.below
            fix = "two of its parts exclude each other"
            if below and "confidence" in condition.variables:
                fix = f"answers below {below:g} are unsure before any rule is asked"
            yield tree.problem("W202", path, reason, fix)
            continue
        shadow = _shadow(boxes, earlier)
        if shadow:
            reason = f"rule {rule.name!r} never fires, {shadow!r} always comes first"
            yield tree.problem("W203", path, reason, "put it further up, or take it away")
        else:
            yield from _overlaps(rule, boxes, earlier, tree, path)
        earlier.append((rule, boxes))
    for name in policy.document.classes:
        shadow = _shadow([space.of_class(name)], earlier)
        if shadow:
            reason = f"the action of class {name!r} is never used, rule {shadow!r} decides always"
            fix = "narrow the rule, or move its action to the class"
            yield tree.problem("W201", ("classes", name), reason, fix, of_key=True)


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
    tree: Node,
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
        yield tree.problem(
            "W204", path, reason, "exclude the other's cases, or silence with the reason"
        )


def _unused(policy: ResolvedPolicy, tree: Node) -> Iterator[Problem]:
    document, names = policy.document, policy.names
    nodes = [node for _, condition in policy.rules for node in walk(condition.tree)]
    texts = {node.value for node in nodes if isinstance(node, Text)}
    for index, zone in enumerate(document.zones):
        if "zone" not in names or zone.name not in texts:
            yield tree.problem(
                "W205", ("zones", index), f"no rule asks for zone {zone.name!r}", "add a rule"
            )
    for name in document.shifts:
        if "shift" not in names or name not in texts:
            reason = f"no rule asks for shift {name!r}"
            yield tree.problem("W205", ("shifts", name), reason, "add a rule", of_key=True)
    uses_mm = names & MILLIMETRES or any(zone.unit == "mm" for zone in document.zones)
    if uses_mm and document.mm_per_px and "default" not in document.mm_per_px:
        stations = ", ".join(sorted(document.mm_per_px))
        reason = f"only {stations} have a scale; parts of other stations are unsure"
        yield tree.problem("W301", ("mm_per_px",), reason, "add `default`", of_key=True)


def _prompt(document: PolicyDocument, tree: Node) -> Iterator[Problem]:
    if not document.normal.description and document.classes:
        yield tree.problem(
            "W302", ("normal",), "what a normal part looks like is not described", ""
        )
    for name, entry in document.classes.items():
        if not entry.description:
            reason = f"class {name!r} has no description for the classifier"
            yield tree.problem("W302", ("classes", name), reason, "add a sentence", of_key=True)
