"""``andon history`` as a person runs it: over the real database, object store and broker."""

import asyncio
import csv
import io
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer
from click.testing import Result
from typer.testing import CliRunner

from andon.__main__ import app
from andon.settings import load_settings
from history.errors import NotInHistoryError
from history.object_store import S3ImageStore, S3Objects
from history.policy_log import PolicyLog
from history.writer import PostgresHistoryWriter
from infra.stack.broker import Broker
from infra.stack.s3_local import LocalS3
from streams.codes import Action, DecisionSource
from streams.envelope import from_message
from streams.events import GoldenCheck, Review
from streams.ids import image_key, mask_key
from streams.roles.pictures import mask_png
from streams.topics import REVIEWS
from tests.history import make

HOSTILE = "\x1b[2J=cmd|'/c calc'!A1\n[red]"


def andon(*words: str) -> Result:
    return CliRunner().invoke(app, ["history", *words], catch_exceptions=False)


async def run(*words: str) -> Result:
    return await asyncio.to_thread(andon, *words)


@pytest_asyncio.fixture
async def filled(
    url: str, s3: LocalS3, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """Three frames: a scrapped one with pictures, a passed one, one with a hostile serial."""
    for name, value in (
        ("POSTGRES__URL", url),
        ("S3__ENDPOINT", s3.endpoint),
        ("S3__BUCKET", "history-commands"),
        ("KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap_servers),
    ):
        monkeypatch.setenv(f"ANDON_{name}", value)
    load_settings.cache_clear()
    scrapped = make.decision(
        1, DecisionSource.CLASSIFIER, Action.SCRAP, "crack", reason="crack, 0.90 sure"
    )
    writer = PostgresHistoryWriter(url)
    await writer.add_decisions(
        [scrapped, make.decision(2), make.decision(3, part_id=HOSTILE, line="line-2")]
    )
    await writer.add_acknowledgements([make.acknowledgement(scrapped)])
    await writer.add_anomalies([make.anomaly(1)])
    await writer.close()
    picture = cv2.imencode(".png", np.full((64, 64), 40_000, np.uint16))[1].tobytes()
    objects = S3Objects(s3.endpoint, s3.access_key, s3.secret_key, bucket="history-commands")
    store = S3ImageStore(objects)
    await store.put(image_key(make.frame_id(1)), picture, "image/png")
    await store.put(mask_key(make.frame_id(1)), mask_png(make.region()), "image/png")
    await store.close()
    yield
    load_settings.cache_clear()


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
@pytest.mark.parametrize("frame", [str(uuid4()), "nobody"])
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


@pytest.mark.asyncio
@pytest.mark.usefixtures("filled")
async def test_months_are_made_ahead_and_shown_with_their_size() -> None:
    made = json.loads((await run("months", "--ahead", "5", "--json")).output)
    assert made["made"] == 2 * len({part["table"] for part in made["parts"]})
    again = await run("months", "--ahead", "5")
    assert "0 parts made" in again.output
    assert "decision_other" in again.output
