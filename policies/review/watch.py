"""Finds out whether a change weakens the watch over a line: what is audited, checked and counted.

No part passes by it that is stopped today, and defects that pass may be noticed later or never.
"""

from collections.abc import Iterator

from policies.certified import OF_AN_ANSWER
from policies.model import SEVERITIES, GoldenPart, Limit, PolicyDocument
from streams.codes import Action

_STOPS = frozenset(Action) - {Action.PASS}
Weaker = tuple[str, str, str]
"""What watches, and how it was and will be, in words."""


def weakened(old: PolicyDocument, new: PolicyDocument) -> Iterator[Weaker]:
    """Each audit, limit, golden part, class or certificate that watches less than before."""
    yield from _shares(old, new)
    for name, limit in old.limits.items():
        if not any(_watches_as_much(limit, other) for other in new.limits.values()):
            after = new.limits.get(name)
            yield f"limit {name}", _limit(limit), _limit(after) if after else "none"
    for serial, part in old.golden.items():
        after_part = new.golden.get(serial)
        if after_part is None or not _asks_as_much(part, after_part):
            yield f"golden {serial}", _golden(part), _golden(after_part) if after_part else "none"
    for name, entry in old.classes.items():
        now = new.classes.get(name)
        if now and SEVERITIES.index(now.severity) < SEVERITIES.index(entry.severity):
            yield f"{name} as found by people", entry.severity.value, now.severity.value
    yield from _certificates(old, new)


def _shares(old: PolicyDocument, new: PolicyDocument) -> Iterator[Weaker]:
    if new.audit_share < old.audit_share:
        yield "audit_share", f"{old.audit_share:g}", f"{new.audit_share:g}"
    before, after = old.second_review, new.second_review
    # Without a share of its own the console's setting counts, which may be any.
    least = 1.0 if before is None else before
    if before != after and (0.0 if after is None else after) < least:
        one, two = ("the console's" if s is None else f"{s:g}" for s in (before, after))
        yield "second_review", one, two


def _watches_as_much(limit: Limit, other: Limit) -> bool:
    """Whether each run of parts at which a limit is exceeded exceeds the other one, too."""
    counted, others = (frozenset(one.action) or _STOPS for one in (limit, other))
    classes = frozenset(other.classes)
    return (
        other.more_than <= limit.more_than
        and other.in_parts >= limit.in_parts
        and counted <= others
        and (not classes or (bool(limit.classes) and classes >= frozenset(limit.classes)))
        and (limit.each_class or not other.each_class)
        and (other.stop or not limit.stop)
    )


def _asks_as_much(part: GoldenPart, other: GoldenPart) -> bool:
    return set(other.action) <= set(part.action) and part.severity in (None, other.severity)


def _certificates(old: PolicyDocument, new: PolicyDocument) -> Iterator[Weaker]:
    """Of other versions: what is in force may pass by it that was held. Its classes and
    confidences are told by class."""
    before, after = old.certificate, new.certificate
    if not (old.asks_certificate and new.asks_certificate and before and after):
        return
    for name in ("expert_version", *OF_AN_ANSWER):
        one, two = getattr(before, name), getattr(after, name)
        if one != two:
            yield f"certificate for another {name.replace('_', ' ')}", one[:12], two[:12]


def _limit(limit: Limit) -> str:
    words = f"over {limit.more_than} in {limit.in_parts}"
    words += f" of {', '.join(limit.classes)}" if limit.classes else ""
    words += f" as {', '.join(limit.action)}" if limit.action else ""
    return words + (", each class" * limit.each_class) + (", stops the line" * limit.stop)


def _golden(part: GoldenPart) -> str:
    return f"{', '.join(part.action)}{f' as {part.severity.value}' if part.severity else ''}"
