"""Writes ``docs/codes.md``: every number and word that means something on a wire."""

from enum import Enum, IntEnum

from andon.reference.text import GENERATED, docstrings_below, table
from streams.codes import (
    AckOutcome,
    ClockStatus,
    DecisionSource,
    Evaluation,
    FallbackKind,
    FaultCode,
    ReasonCode,
    ResultCode,
    Severity,
)

_HEAD = f"""# Codes

{GENERATED}

The numbers stand in the controller's registers ([signals.md](signals.md)) and, where an event has a
number, on Kafka; the words stand in events, in the history and in policies. A controller sorts by
ResultCode alone. The other registers tell people why, and a program what to count: a reason from 12
on that comes many times in a row means that something is down, whatever became of the parts.
"""
_CLASS_ID = """
## ClassId

The number of the class that the part got its action for, as the product's policy numbers it: the
`id` that the policy states for the class, else the smallest free number from 0, in the order of the
classes' names. State the ids where a controller counts by them, since a new class may else move
those after it; `andon policy diff` names the numbers that a new version moves. -1: no class of the
policy, so normal, unknown, or decided without a class.
"""
_TAIL = """
## Elsewhere

Codes of mistakes in policies (`E101` ...) and of their lints are in
[policies/reference.md](policies/reference.md). Every command ends with 0, with 1 when it failed
(the last line says why), or with 2 when it was called wrongly.
"""


def reference() -> str:
    """The whole document."""
    lines = [_HEAD]
    lines += _numbers("ResultCode", ResultCode, "What becomes of the part; `action` in events.")
    lines += _numbers("ReasonCode", ReasonCode, "Why; `reason_code` in events.")
    lines += _numbers(
        "FaultCode",
        FaultCode,
        "The gateway's own state. One fault is shown at a time, those that drop Ready first. "
        "6 and 7 stand until FaultResetSeq moves, the others end with their cause.",
    )
    lines += _sources()
    lines.append(_CLASS_ID)
    for kind, title, about in (
        (Severity, "severity", "What the anomaly means for the product."),
        (Evaluation, "evaluation", "OPC 40001-101's word for it."),
        (FallbackKind, "Fallbacks", "The situations for which a policy states an action."),
        (AckOutcome, "outcome", "Of an acknowledgement: what became of a result."),
        (ClockStatus, "clock_status", "Of the host that stamped the event."),
    ):
        lines += _words(title, kind, about)
    return "\n".join(lines).rstrip() + "\n" + _TAIL


def undescribed() -> list[str]:
    """Members of the codes that no docstring explains."""
    kinds = (ResultCode, ReasonCode, FaultCode, DecisionSource, Severity, Evaluation)
    return [
        f"{kind.__name__}.{member.name}"
        for kind in (*kinds, FallbackKind, AckOutcome, ClockStatus)
        for member in kind
        if member.name not in docstrings_below(kind)
    ]


def _numbers(title: str, kind: type[IntEnum], about: str) -> list[str]:
    described = docstrings_below(kind)
    rows = []
    for member in kind:
        meaning, _, advice = described.get(member.name, "").partition("\n\n")
        rows.append([str(int(member)), f"`{member.name}`", meaning, advice])
    heads = ["number", "name", "meaning", "what a controller, or its people, should do"]
    return ["", f"## {title}", "", about, "", *table(heads, rows)]


def _sources() -> list[str]:
    described = docstrings_below(DecisionSource)
    rows = [
        [str(one.code), f"`{one.value}`", described.get(one.name, "")] for one in DecisionSource
    ]
    about = "Who decided; `source` in events."
    return ["", "## DecisionSource", "", about, "", *table(["number", "word", "meaning"], rows)]


def _words(title: str, kind: type[Enum], about: str) -> list[str]:
    described = docstrings_below(kind)
    rows = [[f"`{member.value}`", described.get(member.name, "")] for member in kind]
    return ["", f"## {title}", "", about, "", *table(["word", "meaning"], rows)]
