"""The models' pages over real artifacts, with a change that is written down before it begins."""

import asyncio
import shutil
from pathlib import Path

import httpx
import pytest

from andon.learning import shown_versions
from andon.learning.changing import Tell
from andon.learning.errors import LearningError
from andon.learning.in_force import Stores, Wish
from andon.learning.shown_versions import ShownVersions
from andon.settings import Settings, load_settings
from console.app import build_app
from console.charts import LABEL_HEIGHT, Histogram, rate_lines
from console.model_versions import RateShown, ScoreHistogram
from history.console_audit import Deed
from serving.bundle_store import SHADOW, open_folder
from streams.errors import UnavailableError
from tests.console.make import BASE, client_of, parts_of
from tests.serving.ray.tiny import save_tiny
from tests.waiting import until

PAGE = {"Accept": "text/html", "Origin": BASE}
pytestmark = pytest.mark.asyncio


class Book:
    """The audit, in memory."""

    def __init__(self) -> None:
        self.rows: list[Deed] = []
        self.down = False

    async def append(self, deed: Deed) -> None:
        if self.down:
            raise UnavailableError("the database is down")
        self.rows.append(deed)

    async def close(self) -> None: ...


class Plant:
    """What a change of the line does; a test says when, and how it ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.exemplars: list[str | None] = []
        """Those that were put in force, beside what was asked."""
        self.belonging: str | None = None
        self.before: list[str] = []
        """The versions before the one in force, newest last."""
        self.goes_on = asyncio.Event()
        self.error: Exception | None = None

        async def wish_for(
            _: Settings, __: Stores, product: str, version: str, *words: str | None
        ) -> Wish:
            return Wish(product, version, words[-1] or self.belonging, "", "")

        async def wish_back(_: Settings, product: str, *__: str) -> Wish:
            if not self.before:
                raise LearningError("the audit knows no version before the one in force")
            return Wish(product, self.before[-1], None, "", "")

        async def put(_: Settings, __: Stores, wish: Wish, ___: float, tell: Tell) -> None:
            tell("1 not yet: a replica")
            self.exemplars.append(wish.exemplars)
            await self._answer(wish.product, wish.expert, wish.by)

        for one in (wish_for, wish_back, put):
            monkeypatch.setattr(shown_versions, one.__name__, one)

    async def _answer(self, product: str, version: str, by: str) -> None:
        self.asked.append((product, version, by))
        await self.goes_on.wait()
        if self.error:
            raise self.error


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("artifacts", "exemplars", "state"):
        monkeypatch.setenv(f"ANDON_PATHS__{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("ANDON_POSTGRES__URL", "postgresql://nobody@127.0.0.1:9/none")
    monkeypatch.setenv("ANDON_SERVE__INGRESS", "127.0.0.1:9")
    load_settings.cache_clear()
    found = load_settings()
    load_settings.cache_clear()
    return found


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def versions(settings: Settings) -> list[str]:
    """Two versions of a product whose name no path may have; the first is in force."""
    root = Path(settings.paths.artifacts)
    made = [save_tiny(root, "AB/12", note=note) for note in ("first", "second")]
    open_folder(root).point("AB/12", made[0])
    return made


@pytest.fixture
def shown(settings: Settings) -> ShownVersions:
    return ShownVersions(settings)


@pytest.fixture
def client(shown: ShownVersions, book: Book) -> httpx.AsyncClient:
    return client_of(build_app(parts_of(models=shown, audit=book)), "engineer", headers=PAGE)


async def key_in(client: httpx.AsyncClient) -> str:
    text = (await client.get("/models")).text
    return text.partition('href="/models/')[2].partition("/")[0]


async def test_versions_are_listed_and_told_though_all_else_is_away(
    client: httpx.AsyncClient, versions: list[str]
) -> None:
    page = (await client.get("/models")).text
    assert all(digest[:12] in page for digest in versions)
    assert page.count("● in force") == 1
    assert "Not known just now (2)" in page
    key = await key_in(client)
    detail = await client.get(f"/models/{key}/{versions[0]}")
    assert (detail.status_code, "kept no histogram" in detail.text) == (200, True)
    assert (await client.get(f"/models/{key}/{'0' * 64}")).status_code == 409
    assert (await client.get(f"/models/nothing/{versions[0]}")).status_code == 409
    listed = (await client.get("/api/models")).json()
    assert {v["digest"] for v in listed} == set(versions)


async def test_a_version_is_put_in_force_with_a_reason_and_an_entry_before_it(
    client: httpx.AsyncClient,
    shown: ShownVersions,
    versions: list[str],
    book: Book,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant, key = Plant(monkeypatch), await key_in(client)
    form = {"do": "use", "version": versions[1], "reason": " better on cracks "}
    refused = await client.post(f"/models/{key}", data={**form, "reason": " "})
    assert (refused.status_code, "why" in refused.text) == (422, True)
    book.down = True
    assert (await client.post(f"/models/{key}", data=form)).status_code == 503
    assert not plant.asked, "nothing is changed that is not written down"
    book.down = False
    assert (await client.post(f"/models/{key}", data=form)).status_code == 303
    (row,) = book.rows
    assert (row.action, row.object, row.reason) == ("model.use", "AB/12", "better on cracks")
    assert (row.before, row.after) == (versions[0], versions[1])
    await until(lambda: bool(plant.asked))
    assert "1 not yet" in (await client.get(f"/models/{key}/change")).text
    again = await client.post(f"/models/{key}", data=form)
    assert (again.status_code, "wait for it" in again.text) == (422, True)
    plant.error = LearningError("a replica refused it")
    plant.goes_on.set()
    await until(lambda: not (now := shown.change("AB/12")) or not now.running)
    assert (await client.get(f"/models/{key}/change")).headers["hx-refresh"] == "true"
    assert "a replica refused it" in (await client.get("/models")).text
    plant.error = None
    back = {"do": "rollback", "reason": "back"}
    nowhere = await client.post(f"/models/{key}", data=back)
    assert (nowhere.status_code, "no version before" in nowhere.text) == (422, True)
    plant.before = [versions[1]]
    stale = await client.post(f"/models/{key}", data={**back, "seen": versions[1]})
    assert (stale.status_code, "changed meanwhile" in stale.text) == (422, True)
    answer = await client.post(f"/api/models/{key}", json={"version": "", "reason": "back"})
    assert answer.status_code == 202
    await until(lambda: len(plant.asked) == 2)
    assert (book.rows[-1].action, book.rows[-1].after) == ("model.rollback", versions[1])
    await shown.close()


async def test_what_is_in_force_and_gone_from_the_store_is_told_and_replaced(
    client: httpx.AsyncClient,
    settings: Settings,
    shown: ShownVersions,
    versions: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant, key = Plant(monkeypatch), await key_in(client)
    shutil.rmtree(Path(settings.paths.artifacts) / key / versions[0])
    page = (await client.get("/models")).text
    assert f"AB/12 {versions[0][:12]} is in force and cannot be had from the store" in page
    seen = page.partition('name="seen" value="')[2].partition('"')[0]
    form = {"do": "use", "version": versions[1], "reason": "the other is gone", "seen": seen}
    assert (await client.post(f"/models/{key}", data=form)).status_code == 303
    await until(lambda: bool(plant.asked))
    await shown.close()


async def test_a_change_ends_with_the_console(
    client: httpx.AsyncClient,
    shown: ShownVersions,
    versions: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant, key = Plant(monkeypatch), await key_in(client)
    form = {"do": "use", "version": versions[1], "reason": "x"}
    await client.post(f"/models/{key}", data=form)
    await until(lambda: bool(plant.asked))
    await shown.close()


async def test_a_version_goes_into_the_shadow_and_out(
    client: httpx.AsyncClient, settings: Settings, versions: list[str], book: Book
) -> None:
    key, store = await key_in(client), open_folder(Path(settings.paths.artifacts))
    await client.post(f"/models/{key}", data={"do": "shadow", "version": versions[1]})
    assert store.pointed("AB/12", SHADOW) == versions[1]
    await client.post(f"/models/{key}", data={"do": "no-shadow"})
    assert store.pointed("AB/12", SHADOW) is None
    assert [row.action for row in book.rows] == ["model.shadow"] * 2
    assert (await client.post(f"/models/{key}", data={"do": "what"})).status_code == 400


async def test_charts_hold_what_they_show() -> None:
    drawn = Histogram.of(ScoreHistogram(first=1, width=0.5, parts=(0, 3, 1, 1)), 2.0)
    assert [bar.above for bar in drawn.bars] == [False, False, True, True]
    assert (drawn.parts, drawn.threshold) == (5, 240.0)
    between = Histogram.of(ScoreHistogram(first=1, width=0.5, parts=(0, 3, 1, 1)), 2.2)
    assert [bar.above for bar in between.bars] == [False, False, False, True]
    assert Histogram.of(ScoreHistogram(first=1, width=1, parts=(0, 0)), 9.0).threshold is None
    rates = [
        RateShown(asked_rate=r, threshold=1, false_alarms=r, low=0, high=1, found=f, classes=c)
        for r, f, c in ((0.01, 0.2, {"dent": 0.5}), (0.1, 0.6, {"dent": 1.0}))
    ]
    lines = rate_lines(rates)
    assert [(line.name, line.last) for line in lines] == [("", 0.6), ("dent", 1.0)]
    assert abs(lines[0].label_y - lines[1].label_y) >= LABEL_HEIGHT
    assert rate_lines([]) == []
