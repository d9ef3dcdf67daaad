"""Bringing up a product in a browser: the same drafts as at a prompt, with rights and an audit."""

from pathlib import Path

import cv2
import httpx
import pytest

from andon.products.running import Workshop
from console import product_desk
from console.app import build_app
from console.pages import new_product
from console.product_drafts import DraftStep, TrainingChoice
from console.second_person import SecondPerson
from history.console_audit import Deed
from policies.authoring.loading import check_text
from policies.evaluate import ResolvedPolicy
from tests.console.make import BASE, NoPolicies, client_of, parts_of
from tests.serving.experts.pictures import scratched, surface
from tests.waiting import until

PAGE = {"Accept": "text/html", "Origin": BASE}
KEY = "ab-12--" + "0" * 16


class Written:
    """The audit, in memory."""

    def __init__(self) -> None:
        self.rows: list[Deed] = []

    async def append(self, deed: Deed) -> None:
        self.rows.append(deed)

    async def close(self) -> None: ...


def png(seed: int, bad: bool = False) -> bytes:
    return cv2.imencode(".png", scratched(seed) if bad else surface(seed))[1].tobytes()


@pytest.fixture
def drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setenv("ANDON_PATHS__STATE", str(tmp_path))
    return Workshop(tmp_path / "products")


@pytest.fixture
def audit() -> Written:
    return Written()


@pytest.fixture
def engineer(drafts: Workshop, audit: Written) -> httpx.AsyncClient:
    app = build_app(parts_of(drafts=drafts, audit=audit))
    return client_of(app, "engineer", headers=PAGE)


async def begun(client: httpx.AsyncClient, product: str = "AB/12") -> str:
    answer = await client.post("/products/new", data={"product": product})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].rpartition("/")[2]


@pytest.mark.asyncio
async def test_a_product_is_begun_once_whatever_it_is_called(
    engineer: httpx.AsyncClient, audit: Written
) -> None:
    key = await begun(engineer)
    assert await begun(engineer, " AB/12 ") == key
    assert [(d.action, d.object) for d in audit.rows] == [("product.begin", "AB/12")]
    assert "AB/12" in (await engineer.get("/products/new")).text
    refused = await engineer.post("/products/new", data={"product": "a\x00b"})
    assert refused.status_code == 422
    assert 'class="problem"' in refused.text
    assert (await engineer.get("/products/new/nothing")).status_code == 409


@pytest.mark.asyncio
async def test_pictures_are_taken_one_by_one_and_shown(engineer: httpx.AsyncClient) -> None:
    key = await begun(engineer)
    place = f"/api/products/drafts/{key}"
    taken = await engineer.post(f"{place}/normals?name=a b.png", content=png(1))
    assert taken.json()["normals"][0]["name"] == "a_b.png"
    bad = await engineer.post(f"{place}/normals?name=b.png", content=b"no picture")
    assert (bad.status_code, "b.png: not an image" in bad.json()["detail"]) == (409, True)
    shown = await engineer.get(f"/products/new/{key}/pictures/normal/a_b.png")
    assert shown.headers["content-type"] in ("image/png", "image/jpeg")
    assert "sandbox" in shown.headers["content-security-policy"]
    for name in ("nothing.png", "..%2fdraft.json"):
        gone = await engineer.get(f"/products/new/{key}/pictures/normal/{name}")
        assert gone.status_code in (404, 409)


@pytest.mark.asyncio
async def test_no_picture_is_read_beyond_its_bound(
    engineer: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await begun(engineer)
    monkeypatch.setattr(product_desk, "MOST_BYTES", 100)
    answer = await engineer.post(f"/api/products/drafts/{key}/normals?name=a.png", content=png(1))
    assert answer.status_code == 409
    assert not (await engineer.get(f"/api/products/drafts/{key}")).json()["normals"]


@pytest.mark.asyncio
async def test_a_picture_that_changes_its_class_is_said_and_written_down(
    engineer: httpx.AsyncClient, audit: Written
) -> None:
    key = await begun(engineer)
    page, place = f"/products/new/{key}", f"/api/products/drafts/{key}/defects"
    await engineer.post(f"{place}?name=1.png", content=png(1, bad=True))
    for name in ("scratch", "scratch", "<b>dent"):
        said = {"do": "name", "name": "1.png", "class": name}
        there = (await engineer.post(page, data=said)).headers["location"]
    told = (await engineer.get(there)).text
    assert "1.png was named scratch and is &lt;b&gt;dent from now on" in told
    await engineer.put(f"{place}/1.png", json={"class_name": "crack", "outline": []})
    rows = [(d.before, d.after, d.reason) for d in audit.rows if d.action == "exemplar.move"]
    assert rows == [("scratch", "<b>dent", "1.png"), ("<b>dent", "crack", "1.png")]


@pytest.mark.asyncio
async def test_defects_are_outlined_named_and_mean_something(
    engineer: httpx.AsyncClient, drafts: Workshop
) -> None:
    key = await begun(engineer)
    page = f"/products/new/{key}"
    await engineer.post(f"/api/products/drafts/{key}/defects?name=1.png", content=png(1, bad=True))
    outline = "[[0.1,0.1],[0.5,0.1],[0.5,0.5]]"
    await engineer.post(
        page, data={"do": "name", "name": "1.png", "class": "deep scratch", "outline": outline}
    )
    said = {"do": "mean", "class": "deep scratch", "means": "defect:scrap", "description": "dark"}
    assert (await engineer.post(page, data=said)).headers["location"] == f"{page}#defects"
    draft = drafts.read(key)
    assert draft.defects[0].outline == ((0.1, 0.1), (0.5, 0.1), (0.5, 0.5))
    assert draft.classes["deep scratch"].action == "scrap"
    assert "deep scratch" in (await engineer.get(page)).text
    for wrong, status in (
        ({"do": "name", "name": "1.png", "class": "normal"}, 422),
        ({"do": "name", "name": "1.png", "class": "x", "outline": "[[0,0]]"}, 422),
        ({"do": "name", "name": "1.png", "class": "x", "outline": "{"}, 400),
        ({"do": "mean", "class": "deep scratch", "means": "all:well"}, 400),
        ({"do": "what"}, 400),
    ):
        assert (await engineer.post(page, data=wrong)).status_code == status, wrong
    await engineer.post(page, data={"do": "remove", "name": "1.png"})
    assert not drafts.read(key).classes


@pytest.mark.asyncio
async def test_the_policy_is_drafted_checked_and_written_down(
    engineer: httpx.AsyncClient, audit: Written
) -> None:
    key = await begun(engineer)
    page = f"/products/new/{key}"
    drafted = (await engineer.get(f"/api/products/drafts/{key}/policy")).json()["text"]
    await engineer.post(page, data={"do": "policy", "text": drafted + "stop_rte: 1\n"})
    assert "stop_rte" in (await engineer.get(page)).text
    await engineer.post(page, data={"do": "policy", "text": drafted})
    assert "Nothing is wrong" in (await engineer.get(page)).text
    rows = [d for d in audit.rows if d.action == "product.policy"]
    assert len(rows) == 2
    assert rows[0].after == rows[1].before != ""


@pytest.mark.asyncio
async def test_what_cannot_begin_says_why_on_the_page(
    engineer: httpx.AsyncClient, drafts: Workshop, audit: Written
) -> None:
    key = await begun(engineer)
    page = f"/products/new/{key}"
    early = await engineer.post(page, data={"do": "live", "reason": "now"})
    assert (early.status_code, "comes first" in early.text) == (422, True)
    with drafts.doing(key, DraftStep.TRAIN) as told:
        told("fit", 1, 3)
        busy = await engineer.post(page, data={"do": "rate", "rate": "0.02"})
        assert (busy.status_code, "one at a time" in busy.text) == (422, True)
        assert 'value="1"' in (await engineer.get(f"{page}/work")).text
        assert 'hx-trigger="every 1s"' in (await engineer.get(page)).text
        discarded = await engineer.post(page, data={"do": "discard"})
        assert discarded.status_code == 422
    assert (await engineer.get(f"{page}/work")).headers["hx-refresh"] == "true"
    assert [d.action for d in audit.rows] == ["product.begin"]
    gone = await engineer.post(page, data={"do": "discard"})
    assert gone.headers["location"] == "/products/new"
    assert not drafts.list()


class Policies(NoPolicies):
    """A plant in which somebody else approves each change; of the product there is a policy."""

    second_person = SecondPerson.ALWAYS

    def __init__(self, now: ResolvedPolicy) -> None:
        self.now = now

    async def last(self, product: str) -> ResolvedPolicy:
        return self.now

    in_force = last


@pytest.mark.asyncio
async def test_the_line_is_no_way_around_the_second_person(
    drafts: Workshop, audit: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = check_text("product: AB/12\nclasses: {a: {severity: defect, action: hold}}\n").policy
    assert now is not None
    policies = Policies(now)
    app = build_app(parts_of(drafts=drafts, audit=audit, policies=policies))
    client = client_of(app, "engineer", headers=PAGE)
    key = await begun(client)
    drafted = (await client.get(f"/api/products/drafts/{key}/policy")).json()["text"]
    await client.post(f"/products/new/{key}", data={"do": "policy", "text": drafted})
    monkeypatch.setattr(product_desk, "next_step", lambda draft: DraftStep.LIVE)
    begun_steps: list[str] = []
    monkeypatch.setattr(Workshop, "start", lambda self, *given: begun_steps.append(given[1].value))
    live = {"do": "live", "reason": "the new one"}
    refused = await client.post(f"/products/new/{key}", data=live)
    assert (refused.status_code, "somebody else must approve" in refused.text) == (422, True)
    approved = check_text(drafted).policy
    assert approved is not None
    policies.now = approved
    await client.post(f"/products/new/{key}", data=live)
    assert begun_steps == ["live"], "what was approved goes on"


@pytest.mark.asyncio
async def test_a_step_that_failed_says_why(engineer: httpx.AsyncClient, drafts: Workshop) -> None:
    key = await begun(engineer)
    with pytest.raises(ValueError, match="odd"), drafts.doing(key, DraftStep.TEACH):
        raise ValueError("odd")
    assert "odd" in (await engineer.get(f"/products/new/{key}")).text


def test_every_step_that_runs_has_its_words() -> None:
    from andon.products.running import IN_PROCESSES

    assert set(new_product._STEPS) == set(IN_PROCESSES)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_from_pictures_to_a_policy_over_http(
    engineer: httpx.AsyncClient, drafts: Workshop, audit: Written
) -> None:
    key = await begun(engineer, "part")
    page, place = f"/products/new/{key}", f"/api/products/drafts/{key}"
    quick = TrainingChoice(size=64, synthetic=30, threads=1)
    drafts.workspace(key).change(lambda d: d.model_copy(update={"choice": quick}))
    for i in range(24):
        await engineer.post(f"{place}/normals?name={i}.png", content=png(i))
    await engineer.post(page, data={"do": "rate", "rate": "0.05"})
    assert (await over(engineer, drafts, place))["error"] == ""
    odd = drafts.read(key).trained
    assert odd is not None
    assert odd.images == 24
    shown = await engineer.get(f"{page}/pictures/odd/{odd.odd[0].name}?size=large")
    assert shown.headers["cache-control"] == "no-store"
    await engineer.post(page, data={"do": "out", "name": odd.odd[0].name})
    assert "train again" in (await engineer.get(page)).text
    await engineer.post(page, data={"do": "rate", "rate": "0.05"})
    assert (await engineer.delete(f"{place}/work")).status_code == 200
    assert "ended" in (await over(engineer, drafts, place))["error"]
    await engineer.post(page, data={"do": "rate", "rate": "0.05"})
    assert (await over(engineer, drafts, place))["error"] == ""
    for i in range(3):
        await engineer.post(f"{place}/defects?name=d{i}.png", content=png(500 + i, bad=True))
        outline = [[0.45, 0.45], [0.9, 0.7], [0.9, 0.85], [0.45, 0.6]]
        named = {"class_name": "scratch", "outline": outline}
        await engineer.put(f"{place}/defects/d{i}.png", json=named)
    await engineer.post(page, data={"do": "teach"})
    assert (await over(engineer, drafts, place))["error"] == ""
    await engineer.post(page, data={"do": "policy", "text": drafts.policy(key)})
    draft = drafts.read(key)
    assert draft.trained is not None
    assert draft.trained.images == 23
    assert draft.taught is not None
    assert draft.checked is not None
    assert not draft.checked.errors
    done = [d.action for d in audit.rows]
    assert done.count("product.train") == 3
    assert done[-2:] == ["product.teach", "product.policy"]


async def over(client: httpx.AsyncClient, drafts: Workshop, place: str) -> dict[str, str]:
    """The step that ran, once it is over."""
    key = place.rpartition("/")[2]

    def is_over() -> bool:
        return not (now := drafts.work(key)) or not now.running

    await until(is_over, 240, "the step")
    return dict((await client.get(f"{place}/work")).json())
