"""`andon history audit`, `golden` and `gauge` as a person runs them, over the real database."""

import json
from pathlib import Path

import pytest

from history.policy_log import PolicyLog
from history.writer import PostgresHistoryWriter
from streams.codes import Action, DecisionSource
from streams.events import GoldenCheck, Review
from tests.history import make
from tests.history.commands import andon, run


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
async def test_an_audit_shows_pictures_and_no_verdict_and_takes_drawn_parts_only(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    log, writer = PolicyLog(url), PostgresHistoryWriter(url)
    await log.store_version("q" * 64, "tile", {"audit_share": 1.0})
    await log.close()
    passed = make.decision(9, DecisionSource.CLASSIFIER, class_name="water", policy_hash="q" * 64)
    await writer.add_decisions([passed])
    await writer.add_anomalies([make.anomaly(9)])
    frame = str(make.frame_id(9))
    shown = await run("audit", "next", "--images", str(tmp_path), "--json")
    queue = json.loads(shown.stdout)
    part = {"part_frame_id": frame, "product_id": "tile", "line": "line-1", "station": "top"}
    assert queue == {"waiting": 1, "parts": [part]}
    assert f"no photograph of {frame} is kept any more" in shown.stderr
    assert "water" not in shown.stdout
    said = ("--severity", "defect", "--class", "crack", "--by", "Ada", "--json")
    refused = await run("audit", "review", "P0000002", *said)
    assert refused.exit_code == 2
    assert "was not drawn" in " ".join(refused.stderr.split())
    made = Review.model_validate_json((await run("audit", "review", frame, *said)).stdout)
    assert made.is_blind
    await writer.add_reviews([made])
    await writer.close()
    stats = json.loads((await run("stats", "--json")).stdout)
    escapes = stats["escapes"]["by_class"]["water"]
    assert (escapes["reviewed"], escapes["escapes"], escapes["rate"]) == (1, 1, 1.0)
    assert stats["escapes"]["overall"]["not_audited"] == 2
    assert "2.50% to 100.00%" in (await run("stats")).stdout


def test_gauge_reads_a_table_and_says_where_it_cannot(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    rows = ["a,pass,good", "a,pass,good", "b,scrap,bad", "b,pass,bad", "c,scrap,"]
    table.write_text("\n".join(["part,verdict,reference", *rows]))
    (found,) = json.loads(andon("gauge", str(table), "--json").stdout)["appraisers"]
    assert (found["repeated"]["agreed"], found["repeated"]["parts"]) == (1, 2)
    assert (found["reference"]["agreed"], found["reference"]["parts"]) == (1, 2)
    assert (found["missed"], found["of_bad"], found["false_alarms"]) == (1, 2, 0)
    assert "AIAG" in andon("gauge", str(table)).stdout
    table.write_text("part,verdict,reference\na,perhaps,good\n")
    wrong = andon("gauge", str(table))
    assert wrong.exit_code == 2
    assert "'perhaps'" in wrong.stderr


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
async def test_golden_parts_of_a_shift_and_their_study(url: str) -> None:
    log, writer = PolicyLog(url), PostgresHistoryWriter(url)
    await log.store_version("q" * 64, "tile", {"golden": {"GOOD": {"action": ["pass"]}}})
    await log.append_audit("tile", None, "q" * 64, "Ada", "golden parts")
    await log.close()
    at = ("--at", "2026-11-01T07:00", "--json")
    missing = await run("golden", *at)
    assert missing.exit_code == 1
    assert {p["state"] for p in json.loads(missing.stdout)["parts"]} == {"missing"}
    check = GoldenCheck(actions=(Action.PASS,), is_right=True)
    runs = [
        make.decision(n, part_id="GOOD", golden=check, line=f"line-{n % 2 + 1}") for n in (7, 8, 9)
    ]
    await writer.add_decisions(runs)
    await writer.close()
    whole = await run("golden", *at)
    assert whole.exit_code == 0
    assert [p["runs"] for p in json.loads(whole.stdout)["parts"]] == [1, 2]
    found = json.loads((await run("gauge", "--since", "2026-11-01", "--json")).stdout)
    assert [one["trials"] for one in found["appraisers"]] == [1, 2, 3]
