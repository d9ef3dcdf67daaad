"""A version that waits for a second person: asked for, answered once, and never by who asked."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from andon.learning.shown_versions import ShownVersions
from andon.settings import Settings
from console.app import build_app
from console.model_requests import open_requests
from console.second_person import SecondPerson
from history.accounts import Login
from history.console_audit import Deed, WrittenDeed
from serving.bundle_store import open_folder
from tests.console.make import EveryRole, NoPolicies, client_of, parts_of
from tests.console.test_models import PAGE, Plant, key_in, settings, shown, versions
from tests.serving.ray.tiny import save_tiny
from tests.waiting import until

__all__ = ["settings", "shown", "versions"]
pytestmark = pytest.mark.asyncio


class Chain:
    """The audit, in memory, with numbers."""

    def __init__(self) -> None:
        self.rows: list[WrittenDeed] = []
        self.meanwhile: Deed | None = None

    async def append(self, deed: Deed) -> int:
        if self.meanwhile is not None:
            self._add(self.meanwhile)
            self.meanwhile = None
        return self._add(deed)

    def _add(self, deed: Deed) -> int:
        chained = {"previous_hash": "", "row_hash": "", "at": datetime.now(UTC)}
        number = len(self.rows) + 1
        self.rows.append(WrittenDeed(**deed.model_dump(), number=number, **chained))
        return number

    async def of_actions(self, actions: Sequence[str], since: datetime) -> list[WrittenDeed]:
        return [row for row in self.rows if row.action in actions]

    async def close(self) -> None: ...


class People(EveryRole):
    """Who came in with a password, but for the administrator, who has a PIN."""

    async def login(self, secret: str) -> Login | None:
        found = await super().login(secret)
        if found is None:
            return None
        way = "pin" if found.role == "admin" else "password"
        return found.model_copy(update={"way": way})


class TwoPeople(NoPolicies):
    second_person = SecondPerson.ALWAYS


class OnePersonWhereNothingSoftens(NoPolicies):
    second_person = SecondPerson.SOFTENING


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def app(shown: ShownVersions, chain: Chain) -> FastAPI:
    given = {"models": shown, "audit": chain, "accounts": People(), "policies": TwoPeople()}
    return build_app(parts_of(**given))


def of(app: FastAPI, role: str) -> httpx.AsyncClient:
    return client_of(app, role, headers=PAGE)


def waiting_on(page: str) -> str:
    """What the page says of the request that waits."""
    return page.partition('class="waiting"')[2].partition("</section>")[0]


async def test_a_second_person_puts_the_version_in_force(
    app: FastAPI,
    shown: ShownVersions,
    versions: list[str],
    chain: Chain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant, engineer = Plant(monkeypatch), of(app, "engineer")
    key = await key_in(engineer)
    form = {"do": "use", "version": versions[1], "reason": "more cracks"}
    assert (await engineer.post(f"/models/{key}", data=form)).status_code == 303
    assert not plant.asked, "nothing changes that one person wants"
    page = (await engineer.get("/models")).text
    assert "a engineer asks for a change" in page
    assert "Withdraw it" in page
    assert "Approve and apply" not in page
    waiting = (await engineer.get(f"/api/models/{key}/request")).json()
    assert (waiting["to"], waiting["replaces"]) == (versions[1], versions[0])
    path = f"/models/{key}/requests/{waiting['number']}"
    for who in ("engineer", "admin"):
        refused = await of(app, who).post(path, data={"answer": "approve"})
        assert refused.status_code == 403, f"{who}: their own, or a PIN"
    quality = of(app, "quality")
    assert "Approve and apply" in (await quality.get("/models")).text
    said = {"answer": "approve", "reason": "seen in the shadow"}
    assert (await quality.post(path, data=said)).status_code == 303
    await until(lambda: bool(plant.asked))
    assert plant.asked == [("AB/12", versions[1], "a engineer")]
    told = [(row.action, row.actor, row.after, row.reason) for row in chain.rows]
    words = "more cracks; approved by a quality: seen in the shadow"
    assert told == [
        ("model.request", "a engineer", versions[1], "more cracks"),
        ("model.approve", "a quality", versions[1], words),
    ]
    assert (await quality.post(path, data=said)).status_code == 404
    assert (await quality.post(path, data={"answer": "perhaps"})).status_code == 400
    plant.goes_on.set()
    await until(lambda: not (now := shown.change("AB/12")) or not now.running)
    await shown.close()


async def test_a_request_is_closed_and_what_is_closed_comes_into_no_force(
    app: FastAPI,
    versions: list[str],
    chain: Chain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant, engineer, quality = Plant(monkeypatch), of(app, "engineer"), of(app, "quality")
    key, plant.before = await key_in(engineer), [versions[1]]

    async def asks() -> str:
        answer = await engineer.post(f"/api/models/{key}", json={"version": "", "reason": "back"})
        assert (answer.status_code, answer.json()["running"]) == (202, False)
        return f"/api/models/{key}/requests/{answer.json()['request']['number']}"

    path = await asks()
    assert (await quality.post(path, json={"answer": "withdraw"})).status_code == 403
    assert (await quality.post(path, json={"answer": "refuse"})).status_code == 202
    assert (await engineer.get(f"/api/models/{key}/request")).json() is None
    path = await asks()
    chain.meanwhile = Deed(actor="a engineer", action="model.withdraw", object="AB/12")
    assert (await quality.post(path, json={"answer": "approve"})).status_code == 404
    await asyncio.sleep(0)
    assert not plant.asked, "it was withdrawn just before"


async def test_what_is_approved_is_what_was_asked_for(
    app: FastAPI,
    settings: Settings,
    shown: ShownVersions,
    versions: list[str],
    chain: Chain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant, engineer, quality = Plant(monkeypatch), of(app, "engineer"), of(app, "quality")
    key, plant.before = await key_in(engineer), [versions[1]]
    asked = await engineer.post(f"/api/models/{key}", json={"version": "", "reason": "back"})
    assert asked.json()["request"]["to"] == versions[1], "what the version before is"
    assert versions[1][:12] in waiting_on((await quality.get("/models")).text)
    path = f"/api/models/{key}/requests/{asked.json()['request']['number']}"
    store = open_folder(Path(settings.paths.artifacts))
    third = save_tiny(Path(settings.paths.artifacts), "AB/12", note="third")
    store.point("AB/12", third)  # such as by another console, or a host that asks for nobody
    plant.before = [versions[1], versions[0]]
    refused = await quality.post(path, json={"answer": "approve"})
    assert (refused.status_code, "changed meanwhile" in refused.text) == (409, True)
    store.point("AB/12", versions[0])
    plant.before = [third]
    assert (await quality.post(path, json={"answer": "approve"})).status_code == 202
    await until(lambda: bool(plant.asked))
    assert plant.asked == [("AB/12", versions[1], "a engineer")]
    plant.goes_on.set()
    await shown.close()


async def test_other_exemplars_come_into_force_with_the_expert_that_is(
    app: FastAPI,
    settings: Settings,
    shown: ShownVersions,
    versions: list[str],
    chain: Chain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Path(settings.paths.exemplars)
    old, new = (save_tiny(root, "AB/12", note=note) for note in ("old", "new"))
    open_folder(root).point("AB/12", old)
    plant, engineer, quality = Plant(monkeypatch), of(app, "engineer"), of(app, "quality")
    key = await key_in(engineer)
    kept = (await engineer.get(f"/api/models/{key}/exemplars")).json()
    assert {one["digest"]: one["in_force"] for one in kept} == {old: True, new: False}
    form = {"do": "use", "version": versions[0], "exemplars": new, "reason": "one more class"}
    form["seen"] = f"{versions[0]} {old}"
    assert f'name="seen" value="{form["seen"]}"' in (await engineer.get("/models")).text
    assert (await engineer.post(f"/models/{key}", data=form)).status_code == 303
    assert not plant.asked, "other exemplars name a crack as what may pass"
    shown_to_approve = waiting_on((await quality.get("/models")).text)
    assert all(digest[:12] in shown_to_approve for digest in (old, new))
    waiting = (await engineer.get(f"/api/models/{key}/request")).json()
    path = f"/api/models/{key}/requests/{waiting['number']}"
    assert (await quality.post(path, json={"answer": "approve"})).status_code == 202
    await until(lambda: bool(plant.asked))
    assert (plant.asked, plant.exemplars) == ([("AB/12", versions[0], "a engineer")], [new])
    plant.goes_on.set()
    await shown.close()


async def test_what_is_in_force_already_waits_for_nobody(
    app: FastAPI,
    shown: ShownVersions,
    versions: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant, engineer = Plant(monkeypatch), of(app, "engineer")
    wish = {"version": versions[0], "reason": "its row of the audit is missing"}
    answer = await engineer.post(f"/api/models/{await key_in(engineer)}", json=wish)
    assert (answer.json()["request"], answer.json()["running"]) == (None, True)
    await until(lambda: bool(plant.asked))
    plant.goes_on.set()
    await shown.close()


async def test_a_version_is_no_softening_by_itself(
    shown: ShownVersions, versions: list[str], chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, policies = Plant(monkeypatch), OnePersonWhereNothingSoftens()
    engineer = of(build_app(parts_of(models=shown, audit=chain, policies=policies)), "engineer")
    key = await key_in(engineer)
    form = {"do": "use", "version": versions[1], "reason": "more cracks"}
    assert (await engineer.post(f"/models/{key}", data=form)).status_code == 303
    await until(lambda: bool(plant.asked))
    await shown.close()


async def test_a_change_at_a_prompt_ends_what_was_asked_before() -> None:
    now = datetime.now(UTC)

    def row(number: int, action: str, product: str = "tile") -> WrittenDeed:
        return WrittenDeed(
            number=number,
            at=now + timedelta(seconds=number),
            actor="ada",
            action=action,
            object=product,
            previous_hash="",
            row_hash="",
        )

    rows = [row(1, "model.request"), row(2, "model.request", "cloth"), row(3, "model.use")]
    assert open_requests(rows).keys() == {"cloth"}
    assert open_requests([*rows, row(4, "model.request")])["tile"].number == 4
