"""What spans say of a part, by names that every process uses. A serial is no secret to a trace."""

from streams.codes import Action, DecisionSource, Severity
from streams.events import Decision, PartOnLine
from streams.tracing.spans import Attribute


def words_of_part(part: PartOnLine) -> dict[str, Attribute]:
    """Which part it is."""
    said: dict[str, Attribute] = {
        "andon.line": part.line,
        "andon.station": part.station,
        "andon.product": part.product_id,
        "andon.part": part.part_id,
        "andon.frame": str(part.frame_id),
        "andon.trigger_seq": part.trigger_seq,
    }
    if part.lot_id:
        said["andon.lot"] = part.lot_id
    if part.shots_expected > 1:
        said["andon.shot"] = part.shot
    return said


def words_of_decision(decision: Decision) -> dict[str, Attribute]:
    """What was decided, and by whom."""
    said: dict[str, Attribute] = {
        "andon.action": decision.action.value,
        "andon.source": decision.source.value,
        "andon.severity": decision.severity.value,
        "andon.rule": decision.rule,
    }
    if decision.class_name:
        said["andon.class"] = decision.class_name
    if decision.reason_code:
        said["andon.reason"] = decision.reason_code.name
    if decision.is_late:
        said["andon.late"] = True
    return said


def is_asked_about(decision: Decision) -> bool:
    """Whether people will ask about its part: it did not pass as a normal one, and in time."""
    is_plain = decision.source is DecisionSource.EXPERT and decision.action is Action.PASS
    return not is_plain or decision.is_late or decision.severity is Severity.UNKNOWN
