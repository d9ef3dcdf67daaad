"""The simulated controller's files: plans are read row by row, ledgers survive a torn end."""

from pathlib import Path

import pytest

from lab.plc.ledger import Ledger, LedgerRow, read_ledger, summarise
from lab.plc.plan import PlannedPart, PlcFileError, read_rows


def row(event: str, **fields: object) -> LedgerRow:
    return LedgerRow.model_validate({"event": event, "plc_boot_id": 7, "at": 1.0, **fields})


def result(trigger_seq: int, result_seq: int, disposition: str = "applied") -> LedgerRow:
    fields = {"part_id": "a\u2028b", "action": "pass", "source": "expert", "ms": 12.5}
    return row(
        "result",
        trigger_seq=trigger_seq,
        result_seq=result_seq,
        disposition=disposition,
        **fields,
    )


def write(path: Path, rows: list[LedgerRow]) -> None:
    ledger = Ledger(path)
    for one in rows:
        ledger.add(one)
    ledger.close()


def test_a_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    triggers = [row("trigger", trigger_seq=n, part_id="a\u2028b", lot_id="lot") for n in (1, 2, 3)]
    rest = [result(1, 1), row("ack", result_seq=1), row("default", trigger_seq=2, reason="window")]
    write(path, [row("start"), *triggers, *rest, result(2, 2, "late")])
    with path.open("a", encoding="utf-8") as file:
        file.write('{"event": "trig')  # the controller died here
    first, second, third = read_ledger(path)
    assert (first.action, first.source, first.acknowledged_at) == ("pass", "expert", 1.0)
    assert (second.action, second.source, second.late) == ("hold", "plc_default", 1)
    assert (third.action, third.results_in_window) == ("", 0)
    figures = summarise([first, second, third])
    assert [figures[name] for name in ("parts", "decided", "defaults", "undecided")] == [3, 1, 1, 1]
    assert figures["latency_ms"] == {"p50": 12.5, "p99": 12.5}


def test_two_results_inside_a_window_are_acted_twice_and_wrong_parts_are_seen(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.jsonl"
    trigger = row("trigger", trigger_seq=1, part_id="another")
    write(path, [trigger, result(1, 1), result(1, 2, "duplicate")])
    (entry,) = read_ledger(path)
    assert entry.results_in_window == 2
    assert entry.wrong_part


def test_a_bad_row_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    path.write_text('{"part_id": 17, "product_id": "tile"}\n\n{"part_id": "b"}\n', encoding="utf-8")
    with pytest.raises(PlcFileError, match=r"plan\.jsonl:3: .*part_id, product_id, lot_id"):
        read_rows(path, PlannedPart)
    path.write_text('{"part_id": 17, "product_id": "tile"}\n', encoding="utf-8")
    assert read_rows(path, PlannedPart) == [PlannedPart(part_id="17", product_id="tile")]
    with pytest.raises(PlcFileError, match="cannot be read"):
        read_rows(tmp_path / "absent.jsonl", PlannedPart)
