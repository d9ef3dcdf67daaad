"""``andon history`` as a person runs it: over the real database, object store and broker."""

import asyncio
import csv
import io
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer

from andon.settings import load_settings
from history.errors import NotInHistoryError
from history.policy_log import PolicyLog
from history.writer import PostgresHistoryWriter
from infra.stack.broker import Broker
from streams.envelope import from_message
from streams.events import Review
from streams.topics import REVIEWS
from tests.history import make
from tests.history.commands import HOSTILE, run


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
async def test_list_pages_as_json() -> None:
    first = json.loads((await run("list", "--limit", "2", "--json")).stdout)
    assert [f["part_id"] for f in first["frames"]] == [HOSTILE, "P0000002"]
    cursor = first["next_cursor"]
    second = json.loads((await run("list", "--json", "--cursor", cursor)).stdout)
    assert [f["part_id"] for f in second["frames"]] == ["P0000001"]
    assert second["next_cursor"] is None
    none = json.loads((await run("list", "--json", "--product", "' OR 1=1 --")).stdout)
    assert none["frames"] == []


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
async def test_a_part_without_a_serial_is_listed_by_its_frame(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    writer = PostgresHistoryWriter(url)
    await writer.add_decisions([make.decision(4, part_id="")])
    await writer.close()
    assert str(make.frame_id(4)) in (await run("list")).stdout


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
async def test_tables_never_let_text_from_outside_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = await run("list")
    assert "P0000001" in shown.stdout
    assert "\\x1b[2J" in shown.stdout
    assert "\x1b[2J" not in shown.stdout
    assert "[red]" in shown.stdout
    for words in (("stats",), ("show", "P0000001"), ("show", HOSTILE)):
        done = await run(*words)
        assert done.exit_code == 0
        assert "\x1b[2J" not in done.stdout


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
async def test_show_tells_the_story_and_saves_the_pictures(tmp_path: Path) -> None:
    done = await run("show", "P0000001", "--images", str(tmp_path), "--json")
    story = json.loads(done.stdout)
    assert story["effective"]["outcome"] == "acknowledged"
    assert story["decisions"][0]["classification"]["classifier"] == "prototypes"
    names = sorted(os.listdir(tmp_path))
    frame = story["frame_id"]
    assert names == [f"{frame}-mask.png", f"{frame}-region.png", f"{frame}.png"]
    drawn = cv2.imread(str(tmp_path / f"{frame}-region.png"))
    red = np.argwhere((drawn == (0, 0, 255)).all(axis=2))
    assert drawn.shape == (64, 64, 3)
    assert red.min() == 16
    assert red.max() == 31
    mask = cv2.imread(str(tmp_path / f"{frame}-mask.png"), cv2.IMREAD_GRAYSCALE)
    assert (mask == 255).sum() == 16
    told = (await run("show", str(make.frame_id(1)))).stdout
    for words in ("scrap", "crack, 0.90 sure", "class:crack", "205 ms", "inspections/"):
        assert words in told


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
async def test_stats_check_and_export(tmp_path: Path) -> None:
    stats = json.loads((await run("stats", "--json", "--line", "line-1")).stdout)
    assert stats["by_action"] == {"scrap": 1, "pass": 1}
    assert stats["first_pass_yield"] == 0.5
    pareto = json.loads((await run("pareto", "--not-passed", "--json")).stdout)
    assert [(r["name"], r["parts"]) for r in pareto["rows"]] == [("crack", 1)]
    assert "100.0%" in (await run("pareto", "--by", "rule", "--not-passed")).stdout
    rates = json.loads((await run("rates", "--by", "product", "--json")).stdout)
    assert [(r["name"], r["rates"]["parts"]) for r in rates["rows"]] == [("tile", 3)]
    assert rates["total"]["first_pass"]["of"] == 3
    told = (await run("rates", "--every", "week")).stdout
    assert "of 3" in told
    lines = (await run("export")).stdout.splitlines()
    assert [json.loads(line)["part_id"] for line in lines] == ["P0000001", "P0000002", HOSTILE]
    target = tmp_path / "parts.csv"
    await run("export", "--format", "csv", "-o", str(target))
    assert os.listdir(tmp_path) == ["parts.csv"]
    rows = list(csv.DictReader(io.StringIO(target.read_bytes().decode(), newline="")))
    assert [row["action"] for row in rows] == ["scrap", "pass", "pass"]
    assert rows[2]["part_id"] == HOSTILE
    folders = {
        "mvtec": {"tile", "README.txt", "manifest.jsonl"},
        "coco": {"images", "annotations.json"},
    }
    for form, names in folders.items():
        done = await run("export", "--format", form, "-o", str(tmp_path / form))
        assert done.exit_code == 0
        assert set(os.listdir(tmp_path / form)) == names
    assert "1 images" in done.stderr
    assert "needs a folder" in (await run("export", "--format", "coco")).stderr
    pytest.importorskip("pyarrow", reason="make setup installs it")
    assert (await run("export", "--format", "parquet", "-o", str(tmp_path / "p"))).exit_code == 0
    assert os.listdir(tmp_path / "p") == ["day=2026-11-01"]


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
async def test_the_check_says_what_is_not_complete() -> None:
    checked = await run("check", "--json")
    assert checked.exit_code == 1
    assert len(json.loads(checked.stdout)["unanswered"]) == 2
    assert (await run("check", "--line", "none")).exit_code == 0


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
async def test_the_views_for_business_intelligence_take_the_plants_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANDON_PLANT__TIME_ZONE", "Europe/Berlin")
    monkeypatch.setenv("ANDON_PLANT__SHIFTS", '{"early": {"start": "06:00", "end": "14:00"}}')
    load_settings.cache_clear()
    done = json.loads((await run("bi", "--json")).stdout)
    assert (done["time_zone"], list(done["shifts"])) == ("Europe/Berlin", ["early"])
    assert "GRANT andon_reader" in (await run("bi")).stdout


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
async def test_a_review_goes_to_kafka(broker: Broker) -> None:
    done = await run(
        "review", "P0000001", "--severity", "negligible", "--class", "water", "--by", "Ada 🧱",
        "--json",
    )  # fmt: skip
    made = Review.model_validate_json(done.stdout)
    consumer = AIOKafkaConsumer(
        REVIEWS.name, bootstrap_servers=broker.bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        async with asyncio.timeout(20):
            async for message in consumer:
                found = from_message(Review, message.value, message.headers)
                if found.review_id == made.review_id:
                    break
    finally:
        await consumer.stop()
    assert found == made
    assert found.reviewer == "Ada 🧱"
    assert message.key.decode() == str(make.frame_id(1))


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
async def test_a_class_that_the_policy_does_not_have_is_taken_and_told(url: str) -> None:
    log = PolicyLog(url)
    classes = {"crack": {"severity": "defect", "action": "scrap"}}
    await log.store_version(
        make.decision(1).policy_hash, "tile", {"product": "tile", "classes": classes}
    )
    await log.close()
    said = ("review", "P0000001", "--severity", "defect", "--by", "Ada", "--json", "--class")
    right, wrong = await run(*said, "crack"), await run(*said, "crakc")
    assert (right.exit_code, right.stderr) == (0, "")
    assert (wrong.exit_code, json.loads(wrong.stdout)["class_name"]) == (0, "crakc")
    assert "did you mean 'crack'?" in wrong.stderr


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("list", "--action", "melt"), "melt"),
        (("list", "--since", "yesterday"), "30d"),
        (("list", "--cursor", "x"), "cursor"),
        (("review", "P0000001", "--severity", "bad", "--by", "A"), "severities are"),
        (("review", "P0000001", "--severity", "defect", "--by", " "), "name of its reviewer"),
        (("review", "P0000001", "--severity", "defect", "--by", "A" * 600), "reviewer"),
    ],
)
async def test_bad_usage_says_what_is_wrong(words: tuple[str, ...], says: str) -> None:
    done = await run(*words)
    assert done.exit_code == 2
    assert says in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("frame", ["7a6f0c1e-2b58-4d0e-9c47-3f1d8e5a9b20", "nobody"])
async def test_what_is_not_there_is_one_clear_error(frame: str) -> None:
    for words in (("show", frame), ("review", frame, "--severity", "defect", "--by", "A")):
        with pytest.raises(NotInHistoryError, match=frame):
            await run(*words)


@pytest.mark.asyncio
async def test_a_csv_cell_is_never_a_formula(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_POSTGRES__URL", url)
    load_settings.cache_clear()
    writer = PostgresHistoryWriter(url)
    await writer.add_decisions([make.decision(1, part_id='=HYPERLINK("x")\n,"')])
    await writer.close()
    (row,) = csv.DictReader(io.StringIO((await run("export", "--format", "csv")).stdout))
    assert row["part_id"] == '\'=HYPERLINK("x")\n,"'
    load_settings.cache_clear()


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
async def test_months_are_made_ahead_and_shown_with_their_size() -> None:
    made = json.loads((await run("months", "--ahead", "5", "--json")).output)
    assert made["made"] == 2 * len({part["table"] for part in made["parts"]})
    again = await run("months", "--ahead", "5")
    assert "0 parts made" in again.output
    assert "decision_other" in again.output
    refused = await run("months", "--since", "1900-01-01")
    assert (refused.exit_code, "over ten years ago" in refused.output) == (2, True)
