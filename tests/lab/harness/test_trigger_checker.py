"""The checker finds each kind of breach where it was made, and none in a run that keeps it all."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.harness.trigger_checker import Breach, Found, RecordedAck, counted, judged
from lab.plc.ledger import LedgerEntry, LedgerRow
from streams.codes import AckOutcome

ACTIONS = ("pass", "rework", "scrap", "hold")
BOOT = 7


def row(event: str, seq: int, **fields: object) -> LedgerRow:
    base = {"event": event, "plc_boot_id": BOOT, "at": 1.0, "trigger_seq": seq}
    return LedgerRow.model_validate(base | fields)


def result(seq: int, action: str, disposition: str = "applied", number: int = 0) -> LedgerRow:
    numbered = {"result_seq": number or seq, "disposition": disposition}
    return row("result", seq, action=action, part_id=f"P-{seq}", **numbered)


def entry(seq: int, *results: LedgerRow, default: str | None = None, ack: bool = True):
    acknowledged = 2.0 if ack and results else None
    return LedgerEntry(
        row("trigger", seq, part_id=f"P-{seq}"), list(results), default, acknowledged
    )


def told(
    seq: int, action: str, outcome: AckOutcome = AckOutcome.ACKNOWLEDGED, n: int = 0
) -> RecordedAck:
    return RecordedAck((BOOT, seq), f"P-{seq}", UUID(int=1000 * n + seq), outcome, action, seq)


def breaches(ledger: list[LedgerEntry], said: list[RecordedAck], planned: int | None = None):
    return [one.breach for one in judged(ledger, said, planned)]


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[LedgerEntry], list[RecordedAck]]:
    """A run that keeps its word: applied and told, held by the controller, or unacknowledged."""
    ledger, said = [], []
    for seq in range(1, draw(st.integers(1, 12)) + 1):
        action = draw(st.sampled_from(ACTIONS))
        kind = draw(
            st.sampled_from(["taken", "default", "agrees", "late", "unheard", "after", "doubt"])
        )
        late = result(seq, action, "late")
        match kind:
            case "taken":
                ledger.append(entry(seq, result(seq, action)))
                said += [told(seq, action), told(seq, "scrap", AckOutcome.LATE, n=1)]
                said[-1] = replace(said[-1], result_seq=0)
            case "default":
                ledger.append(entry(seq, default="gateway_dead"))
                said.append(told(seq, action, AckOutcome.UNACKNOWLEDGED))
            case "agrees":
                ledger.append(entry(seq, default="gateway_dead"))
                said.append(told(seq, "hold"))
            case "late":
                ledger.append(entry(seq, late, default="window", ack=False))
                said.append(told(seq, action, AckOutcome.LATE))
            case "unheard":
                ledger.append(entry(seq, result(seq, action), ack=False))
                said.append(told(seq, action, AckOutcome.UNACKNOWLEDGED))
            case "after":
                ledger.append(entry(seq, late, default="window"))
                said.append(replace(told(seq, action), is_sure=False))
            case "doubt":
                ledger.append(entry(seq, result(seq, action)))
                said.append(replace(told(seq, action, AckOutcome.LATE), is_sure=False))
    return ledger, said


@given(runs())
def test_a_run_that_keeps_its_word_has_no_breach(
    run: tuple[list[LedgerEntry], list[RecordedAck]],
) -> None:
    ledger, said = run
    assert judged(ledger, said, len(ledger)) == []
    assert judged(ledger, [*said, *said]) == [], "the same told again is no contradiction"


def made(
    run: tuple[list[LedgerEntry], list[RecordedAck]],
) -> tuple[list[LedgerEntry], list[RecordedAck], int]:
    """The run with one more trigger, in which a test breaks something."""
    ledger, said = run
    return ledger, said, len(ledger) + 1


BROKEN = {
    Breach.NO_OUTCOME: lambda n: (entry(n), []),
    Breach.ACTED_TWICE: lambda n: (
        entry(n, result(n, "pass"), result(n, "pass", "duplicate", n + 500)),
        [told(n, "pass")],
    ),
    Breach.TWO_ACKNOWLEDGED: lambda n: (
        entry(n, result(n, "pass")),
        [told(n, "pass"), told(n, "pass", n=1)],
    ),
    Breach.NOT_APPLIED: lambda n: (entry(n, default="window"), [told(n, "pass")]),
    Breach.ANOTHER_ACTION: lambda n: (entry(n, result(n, "pass")), [told(n, "scrap")]),
    Breach.SAID_LATE: lambda n: (
        entry(n, result(n, "pass"), ack=False),
        [told(n, "pass", AckOutcome.LATE)],
    ),
    Breach.UNTOLD: lambda n: (entry(n, result(n, "pass")), []),
    Breach.WRONG_PART: lambda n: (
        entry(n, result(n, "pass")),
        [replace(told(n, "pass"), part_id="another")],
    ),
}


@given(runs())
@pytest.mark.parametrize("breach", BROKEN)
def test_each_breach_is_found_where_it_was_made(
    breach: Breach, run: tuple[list[LedgerEntry], list[RecordedAck]]
) -> None:
    ledger, said, number = made(run)
    one, more = BROKEN[breach](number)
    found = judged([*ledger, one], [*said, *more])
    assert {(f.breach, f.key) for f in found} == {(breach, (BOOT, number))}


def test_a_result_of_another_part_is_found_at_the_controller_too() -> None:
    other = result(1, "pass").model_copy(update={"part_id": "P-9"})
    assert breaches([entry(1, other)], [told(1, "pass")]) == [Breach.WRONG_PART]
    unread = result(1, "hold").model_copy(update={"part_id": ""})
    assert breaches([entry(1, unread)], [replace(told(1, "hold"), part_id="")]) == []


def test_a_trigger_that_nobody_gave_is_found_and_those_of_other_runs_are_not() -> None:
    ledger = [entry(1, result(1, "pass"))]
    assert breaches(ledger, [told(1, "pass"), told(9, "pass")]) == [Breach.NO_TRIGGER]
    elsewhere = replace(told(9, "pass"), key=(8, 9))
    assert breaches(ledger, [told(1, "pass"), elsewhere]) == []


def test_holes_and_parts_that_were_not_played_are_found() -> None:
    first, third = entry(1, default="x"), entry(3, default="x")
    assert breaches([first, third], []) == [Breach.NOT_PLAYED]
    assert breaches([first], [], planned=2) == [Breach.NOT_PLAYED]
    assert breaches([first], [], planned=1) == []
    assert breaches([first, entry(1, default="x")], []) == [Breach.ACTED_TWICE] * 2
    cold = LedgerEntry(row("trigger", 1).model_copy(update={"plc_boot_id": 8}), [], "x", None)
    assert breaches([first, cold], []) == []


def test_triggers_are_counted_once_in_each_column() -> None:
    key = (BOOT, 1)
    found = [
        Found(Breach.TWO_ACKNOWLEDGED, key),
        Found(Breach.NOT_APPLIED, key),
        Found(Breach.ACTED_TWICE, (BOOT, 2)),
        Found(Breach.UNTOLD, (BOOT, 3)),
    ]
    assert counted(found) == {"lost": 1, "acted_twice": 1, "contradictory": 1}
    assert str(found[0]) == "boot 7 trigger 1: two_acknowledged"
