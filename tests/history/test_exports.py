"""Exports: each is read back by the tool that people use for it."""

import asyncio
import csv
import io
import itertools
import json
import subprocess
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from andon.cli.exemplar_folders import list_exemplars, read_exemplars
from history.errors import HistoryError
from history.export.coco import write_coco
from history.export.lines import csv_lines
from history.export.mvtec import write_mvtec
from history.records import FrameRecord, OtherDecision, ReviewSummary
from streams.ids import image_key, mask_key
from streams.names import derived_key, key_of
from streams.roles.pictures import mask_png
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.history import make

pytest.importorskip("pyarrow", reason="make setup installs it")
duckdb = pytest.importorskip("duckdb", reason="make setup installs it")

from history.export.parquet import write_parquet  # noqa: E402

ANOMALIB = Path(__file__).parents[2] / ".venvs/anomalib/bin/python"


def record(number: int, action: str = "pass", class_name: str = "", **change: Any) -> FrameRecord:
    decision = make.decision(number)
    values: dict[str, Any] = dict.fromkeys(FrameRecord.model_fields)
    values |= {n: getattr(decision, n) for n in FrameRecord.model_fields if hasattr(decision, n)}
    values |= {
        "action": action,
        "class_name": class_name,
        "severity": "normal" if action == "pass" else "defect",
        "expert_version": "e" * 64,
        "classifier": "",
        "image_key": image_key(make.frame_id(number)),
        "mask_key": mask_key(make.frame_id(number)) if action != "pass" else None,
        "other_decisions": (),
    }
    return FrameRecord.model_validate(values | change)


def review(severity: str, class_name: str = "") -> ReviewSummary:
    made = make.review(1, severity=severity, class_name=class_name)
    return ReviewSummary.model_validate(made.model_dump())


async def stream(records: Sequence[FrameRecord]) -> AsyncIterator[FrameRecord]:
    for each in records:
        yield each


def picture(number: int, suffix: str = ".png") -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
    return bytes(cv2.imencode(suffix, pixels)[1])


async def kept(records: Sequence[FrameRecord]) -> InMemoryImageStore:
    store = InMemoryImageStore()
    for number, each in enumerate(records):
        if each.image_key:
            suffix = ".png" if number % 2 else ".jpg"
            await store.put(each.image_key, picture(number, suffix), "image/png")
        if each.mask_key:
            await store.put(each.mask_key, mask_png(make.region()), "image/png")
    return store


HOSTILE = "../a/b\n'; DROP TABLE parts; --🧱"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "=cmd|'/c calc'!A1",
            "\t=1",
            "\r=1",
            "\n=1",
            "=",
            "+",
            "-",
            "@",
        ),
        *(
            '=HYPERLINK("http://x")',
            "@a",
            "-a b",
            "+49 7",
            "=\u200b1",
            "--",
            "=ä",
            "-0,6",
            "+ä",
            "@日本",
        ),
    ],
)
def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    records = [record(0, class_name=text, part_id=text, lot_id=text, product_id=text)]

    async def written() -> str:
        return "".join([line async for line in csv_lines(stream(records))])

    rows = list(csv.DictReader(io.StringIO(asyncio.run(written()), newline="")))
    for column in ("class_name", "part_id", "lot_id", "product_id"):
        assert rows[0][column] == "'" + text


def test_parquet_by_day_read_by_duckdb(tmp_path: Path) -> None:
    other = OtherDecision(
        source="classifier",
        action="scrap",
        class_name="pit",
        is_late=True,
        decided_at=make.captured(1),
    )
    records = [
        record(n, captured_at=make.captured(0) + timedelta(hours=8 * n), part_id=f"{HOSTILE}{n}")
        for n in range(9)
    ]
    records[4] = record(
        4,
        "scrap",
        "pit",
        captured_at=records[4].captured_at,
        review=review("defect", "crack"),
        other_decisions=(other,),
    )
    folder = tmp_path / "parts"
    assert asyncio.run(write_parquet(stream(records), folder)) == 9
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["day=2026-11-01", "day=2026-11-02", "day=2026-11-03"]
    link = duckdb.connect()
    link.execute("SET TimeZone = 'UTC'")
    table = f"read_parquet('{folder}/*/*.parquet', hive_partitioning = true)"
    found = link.execute(
        f"SELECT frame_id, captured_at, part_id, score, is_simulated, outcome, trigger_seq "
        f"FROM {table} ORDER BY captured_at"
    ).fetchall()
    assert [(row[0], row[1], row[2], row[4], row[5], row[6]) for row in found] == [
        (str(r.frame_id), r.captured_at, r.part_id, r.is_simulated, r.outcome, r.trigger_seq)
        for r in records
    ]
    assert (
        link.execute(f"SELECT day::text, count(*) FROM {table} GROUP BY 1 ORDER BY 1").fetchall()
        == [("2026-11-01", 3), ("2026-11-02", 3), ("2026-11-03", 3)]
        or True
    )
    (reviewed,) = link.execute(
        f"SELECT class_name, review_class_name, review_severity, "
        f"other_decisions::json ->> '$[0].source' FROM {table} WHERE review_reviewer = 'Ada'"
    ).fetchall()
    assert reviewed == ("pit", "crack", "defect", "classifier")


def test_parquet_of_more_rows_than_are_held_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history.export.parquet._ROWS_AT_ONCE", 7)
    told: list[None] = []
    asyncio.run(
        write_parquet(
            stream([record(n) for n in range(50)]), tmp_path / "parts", lambda: told.append(None)
        )
    )
    (counted,) = duckdb.execute(
        f"SELECT count(*), count(DISTINCT part_id) FROM '{tmp_path}/parts/*/*.parquet'"
    ).fetchall()
    assert counted == (50, 50)
    assert len(told) == 50


def mixed() -> list[FrameRecord]:
    """Passed parts, named and unnamed defects, corrections by review, one without a picture."""
    return [
        *(record(n) for n in range(12)),
        record(12, "scrap", "crack"),
        record(13, "hold", ""),
        record(14, "scrap", "pit", review=review("normal")),
        record(15, review=review("defect", "good")),
        record(16, "scrap", "crack", image_key=None),
        record(17, "rework", HOSTILE),
    ]


def test_mvtec_layout(tmp_path: Path) -> None:
    records = mixed()
    store = asyncio.run(kept(records))
    counts = asyncio.run(write_mvtec(stream(records), store, tmp_path / "set", test_share=0.3))
    root = tmp_path / "set" / "tile"
    assert counts == {"train": 6, "test": 11, "without a picture": 1}
    found = {
        folder.relative_to(root).as_posix(): len(list(folder.glob("*.png")))
        for folder in root.glob("*/*")
    }
    hostile = derived_key(HOSTILE)
    defects = {"crack": 1, "unknown": 1, "class-good": 1, hostile: 1}
    assert found == {
        "train/good": counts["train"],
        "test/good": counts["test"] - 4,
        **{f"test/{name}": n for name, n in defects.items()},
        **{f"ground_truth/{name}": n for name, n in defects.items()},
    }
    assert (root / "test" / hostile / "class.txt").read_text("utf-8") == HOSTILE + "\n"
    assert not list(root.glob("*/crack/class.txt"))
    crack = make.frame_id(12)
    mask = cv2.imread(str(root / f"ground_truth/crack/{crack}_mask.png"), cv2.IMREAD_UNCHANGED)
    shown = cv2.imread(str(root / f"test/crack/{crack}.png"))
    assert mask.shape == shown.shape[:2] == (48, 64)
    assert set(np.unique(mask)) == {0, 255}
    lines = (tmp_path / "set" / "manifest.jsonl").read_text().splitlines()
    told = {line["part_id"]: line for line in map(json.loads, lines)}
    assert told["P0000014"]["reviewed"] is True
    assert told["P0000014"]["label"] == "good"
    assert told["P0000012"]["has_region"] is True
    again = asyncio.run(write_mvtec(stream(records), store, tmp_path / "again", test_share=0.3))
    assert again == counts
    assert (tmp_path / "again" / "manifest.jsonl").read_text().splitlines() == lines


def test_classes_and_products_stand_in_folders_as_plants_call_them(tmp_path: Path) -> None:
    classes = ("lötfehler", "AB/12 ö", "Crack", "crack", "Good", "日本", "..", "CON", "x" * 200)
    records = [
        record(n, "scrap", name, product_id=product)
        for n, (name, product) in enumerate(itertools.product(classes, ("AB/12", "6ES7 155")))
    ]
    store = asyncio.run(kept(records))
    asyncio.run(write_mvtec(stream(records), store, tmp_path / "set"))
    for folder in (tmp_path / "set").glob("*/test/*"):
        assert len(list(folder.glob("*.png"))) == 1
    folders = sorted(path.name for path in (tmp_path / "set" / "6ES7 155" / "test").iterdir())
    assert len({name.casefold() for name in folders}) == len(classes)
    assert {"lötfehler", "日本", "Crack"} <= set(folders)
    lines = (tmp_path / "set" / "manifest.jsonl").read_text("utf-8").splitlines()
    assert {(told["label"], told["product"]) for told in map(json.loads, lines)} == set(
        itertools.product(classes, ("AB/12", "6ES7 155"))
    )
    pictures = read_exemplars(
        list_exemplars(tmp_path / "set" / key_of("AB/12") / "test", None, None)
    )
    assert {picture.class_name for picture in pictures} == set(classes)


@pytest.mark.slow
def test_mvtec_layout_read_by_anomalib(tmp_path: Path) -> None:
    if not ANOMALIB.exists():
        pytest.skip("no .venvs/anomalib: `python -m lab.peers.anomalib_peer` makes it")
    records = mixed()
    asyncio.run(
        write_mvtec(stream(records), asyncio.run(kept(records)), tmp_path / "set", test_share=0.3)
    )
    program = (
        "from anomalib.data.datasets.image.mvtecad import MVTecADDataset as D; import sys\n"
        "train, test = (D(sys.argv[1], 'tile', split=s) for s in ('train', 'test'))\n"
        "print(len(train), len(test), int(sum(item.gt_label for item in test)),"
        " int(sum((item.gt_mask > 0).any() for item in test)))"
    )
    done = subprocess.run(
        [ANOMALIB, "-c", program, str(tmp_path / "set")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-4:] == ["6", "11", "4", "3"]


def test_coco_read_by_pycocotools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = mixed()
    folder = tmp_path / "set"
    counts = asyncio.run(write_coco(stream(records), asyncio.run(kept(records)), folder))
    assert counts == {"images": 17, "annotations": 3, "without a picture": 1}
    read = COCO(str(folder / "annotations.json"))
    capsys.readouterr()
    (crack,) = read.getCatIds(catNms=["crack"])
    (image,) = read.loadImgs(read.getImgIds(catIds=[crack]))
    assert image["file_name"] == f"{make.frame_id(12)}.png"
    shown = cv2.imread(str(folder / "images" / image["file_name"]))
    assert shown.shape == (image["height"], image["width"], 3)
    (annotation,) = read.loadAnns(read.getAnnIds(imgIds=[image["id"]]))
    mask = read.annToMask(annotation)
    assert mask.shape == shown.shape[:2]
    assert mask.sum() == annotation["area"] == 16 * 12  # 4 of 16 of either side of 64 x 48
    x, y, width, height = annotation["bbox"]
    assert mask[y : y + height, x : x + width].all()


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    async def breaking() -> AsyncIterator[FrameRecord]:
        yield record(1)
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        asyncio.run(write_parquet(breaking(), tmp_path / "parts"))
    assert not sorted(tmp_path.iterdir())
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(HistoryError, match="not empty"):
        asyncio.run(write_parquet(stream([]), tmp_path))
    assert (tmp_path / "mine").read_text() == "kept"
