"""Exports of a selection: what is in them, who is written down, and what is too much."""

import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator

import cv2
import httpx
import numpy as np
import pytest
import pytest_asyncio
from pyarrow import parquet

from console.app import build_app
from console.pages import export
from history.console_audit import ConsoleAudit
from history.queries import History
from history.writer import PostgresHistoryWriter
from streams.codes import Action, DecisionSource
from streams.errors import UnavailableError
from streams.ids import image_key, mask_key
from tests.console.make import client_of, parts_of
from tests.contracts.twins.image_store import InMemoryImageStore
from tests.history import make
from tests.history.conftest import history as history
from tests.history.conftest import writer as writer

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def client(
    writer: PostgresHistoryWriter, history: History, audit: ConsoleAudit
) -> AsyncIterator[httpx.AsyncClient]:
    scrapped = (DecisionSource.CLASSIFIER, Action.SCRAP, "crack")
    await writer.add_decisions([make.decision(1, *scrapped), *map(make.decision, range(2, 5))])
    await writer.add_anomalies([make.anomaly(1)])
    store = InMemoryImageStore()
    picture = cv2.imencode(".png", np.full((64, 64, 3), 9, np.uint8))[1].tobytes()
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 4:8] = 255
    await store.put(image_key(make.frame_id(1)), picture, "image/png")
    drawn = cv2.imencode(".png", mask)[1].tobytes()
    await store.put(mask_key(make.frame_id(1)), drawn, "image/png")
    async with client_of(build_app(parts_of(history=history, audit=audit, store=store))) as made:
        yield made


async def archive(client: httpx.AsyncClient, path: str) -> zipfile.ZipFile:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert "attachment" in answer.headers["content-disposition"]
    return zipfile.ZipFile(io.BytesIO(answer.content))


async def test_csv_has_the_parts_of_the_filter_and_the_audit_says_so(
    client: httpx.AsyncClient, audit: ConsoleAudit
) -> None:
    stopped = await client.get("/export/csv")
    assert [row["part_id"] for row in csv.DictReader(io.StringIO(stopped.text))] == ["P0000001"]
    everything = await client.get("/export/csv?passed=any&line=line-1")
    assert len(list(csv.DictReader(io.StringIO(everything.text)))) == 4
    (row,) = await audit.latest(1)
    assert (row.action, row.after, row.reason) == ("history.export", "csv", "4 parts")
    assert row.object == "/history?line=line-1&passed=any"


async def test_parquet_is_read_back(client: httpx.AsyncClient) -> None:
    found = await archive(client, "/export/parquet?passed=any")
    (name,) = found.namelist()
    assert name.endswith("/parts.parquet")
    assert parquet.read_table(io.BytesIO(found.read(name))).num_rows == 4


async def test_pictures_come_in_the_layouts_of_others(client: httpx.AsyncClient) -> None:
    mvtec = await archive(client, "/export/mvtec")
    frame = make.frame_id(1)
    assert f"tile/test/crack/{frame}.png" in mvtec.namelist()
    assert f"tile/ground_truth/crack/{frame}_mask.png" in mvtec.namelist()
    coco = await archive(client, "/export/coco")
    body = json.loads(coco.read("annotations.json"))
    assert [category["name"] for category in body["categories"]] == ["crack"]
    assert [image["file_name"] for image in body["images"]] == [f"{frame}.png"]


async def test_what_is_too_much_or_no_form_is_refused(
    client: httpx.AsyncClient, audit: ConsoleAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(export.MOST, "coco", 3)
    refused = await client.get("/export/coco?passed=any")
    assert (refused.status_code, "4 parts; coco takes 3" in refused.text) == (422, True)
    assert (await client.get("/export/coco?passed=false")).status_code == 200
    assert (await client.get("/export/excel")).status_code == 404
    assert len(await audit.latest()) == 1, "what was refused is no export"


async def test_an_export_whose_pictures_cannot_be_read_is_refused_and_holds_up_no_other(
    client: httpx.AsyncClient, history: History, audit: ConsoleAudit
) -> None:
    class Away(InMemoryImageStore):
        async def get(self, key: str, at_most: int = 0) -> bytes:
            raise UnavailableError("the object store is away")

    async with client_of(build_app(parts_of(history=history, audit=audit, store=Away()))) as other:
        for form in ("mvtec", "coco"):
            refused = await other.get(f"/export/{form}")
            assert (refused.status_code, "store is away" in refused.text) == (503, True)
        assert (await other.get("/export/parquet")).status_code == 200
