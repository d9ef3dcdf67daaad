"""Reviewing over the real database: what is shown, what is kept back, and what is sent."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from console.app import build_app
from console.review.lessons import LessonAhead, ProductLessons, SaidOfPart, Teaches
from history.console_audit import ConsoleAudit
from history.policy_log import PolicyLog
from history.queries import History
from history.review_leases import ReviewLeases
from history.writer import PostgresHistoryWriter
from streams.codes import Action, DecisionSource, Severity
from streams.envelope import Message, from_message
from streams.events import Review
from streams.regions import region_mask
from streams.topics import REVIEWS
from tests.console.make import client_of, parts_of
from tests.contracts.twins.publisher import TwinPublisher
from tests.history import make
from tests.history.conftest import history as history
from tests.history.conftest import template as template
from tests.history.conftest import url as url
from tests.history.conftest import writer as writer

pytestmark = pytest.mark.asyncio
HASH = "a" * 64
BODY: dict[str, object] = {
    "policy": 1,
    "product": "tile",
    "audit_share": 1.0,
    "second_review": 1.0,
    "classes": {
        "crack": {"severity": "defect", "action": "scrap"},
        "uneven": {"severity": "negligible", "action": "pass"},
    },
}
EVIL = "<script>alert(1)</script>"


class Taught:
    """Lessons of whoever learns: a class teaches, all else does not."""

    def __init__(self) -> None:
        self.forgotten: list[UUID] = []

    async def of_product(self, product_id: str) -> ProductLessons:
        return ProductLessons(product_id=product_id, classes={"crack": 3}, normals=1, most=20)

    async def of_verdict(self, judged: SaidOfPart) -> LessonAhead:
        kind = Teaches.EXEMPLAR if judged.class_name else Teaches.NOTHING
        name, painted = judged.class_name, judged.is_painted
        return LessonAhead(teaches=kind, class_name=name, drawn=4, most=20, is_painted=painted)

    def forget(self, judged: SaidOfPart) -> None:
        self.forgotten.append(judged.frame_id)


class Recorded(TwinPublisher):
    """Kafka and the role record in one: what is sent is in the history at once."""

    def __init__(self, writer: PostgresHistoryWriter) -> None:
        super().__init__()
        self._writer = writer

    async def send(self, topic: str, message: Message) -> None:
        await super().send(topic, message)
        assert topic == REVIEWS.name
        await self._writer.add_reviews([from_message(Review, message.value, message.headers)])

    async def stop(self) -> None: ...


@pytest_asyncio.fixture
async def app(
    writer: PostgresHistoryWriter,
    history: History,
    audit: ConsoleAudit,
    leases: ReviewLeases,
    url: str,
) -> AsyncIterator[FastAPI]:
    log = PolicyLog(url)
    await log.store_version(HASH, "tile", BODY)
    await log.close()
    held = make.decision(
        1, DecisionSource.CLASSIFIER, Action.HOLD, "crack", policy_hash=HASH, reason=EVIL
    )
    other = make.decision(
        2, DecisionSource.CLASSIFIER, Action.HOLD, "crack", policy_hash=HASH, part_id=EVIL
    )
    passed = make.decision(
        3,
        DecisionSource.CLASSIFIER,
        class_name="uneven",
        severity=Severity.NEGLIGIBLE,
        policy_hash=HASH,
    )
    await writer.add_decisions([held, other, passed])
    await writer.add_anomalies([make.anomaly(n) for n in (1, 2, 3)])
    yield console_over(writer, history, audit, leases)


def console_over(
    writer: PostgresHistoryWriter, history: History, audit: ConsoleAudit, leases: ReviewLeases
) -> FastAPI:
    return build_app(
        parts_of(
            history=history,
            audit=audit,
            leases=leases,
            publisher=Recorded(writer),
            lessons=Taught(),
        )
    )


async def given(client: httpx.AsyncClient, **asked: object) -> list[dict[str, object]]:
    answer = await client.post("/api/review/next", json={"since": "", **asked})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()["parts"]
    return found


async def test_nobody_is_given_what_somebody_else_has(app: FastAPI) -> None:
    async with client_of(app, "quality") as ada, client_of(app, "admin") as bea:
        mine = await given(ada, kind="hold", count=1)
        theirs = await given(bea, kind="hold", count=5)
        assert [part["frame_id"] for part in (*mine, *theirs)] == [
            str(make.frame_id(2)),
            str(make.frame_id(1)),
        ]
        verdict = {"frame_id": mine[0]["frame_id"], "class_name": "crack"}
        assert (await bea.post("/api/reviews", json=verdict)).status_code == 409
        assert (await ada.post("/api/reviews", json=verdict)).status_code == 201
        assert await given(ada, kind="hold", count=5) == []


async def test_a_verdict_that_is_sent_twice_at_once_is_one_review(
    app: FastAPI, history: History
) -> None:
    async with client_of(app, "quality") as ada:
        (mine,) = await given(ada, kind="hold", count=1)
        verdict = {"frame_id": mine["frame_id"], "class_name": "crack"}
        sent = [ada.post("/api/reviews", json=verdict) for _ in range(3)]
        statuses = [answer.status_code for answer in await asyncio.gather(*sent)]
    assert sorted(statuses) == [201, 409, 409]
    assert len((await history.show(make.frame_id(2))).reviews) == 1


async def test_two_consoles_give_no_part_to_two_people(
    app: FastAPI, writer: PostgresHistoryWriter, history: History, audit: ConsoleAudit, url: str
) -> None:
    other_leases = ReviewLeases(url)
    there = console_over(writer, history, audit, other_leases)
    async with client_of(app, "quality") as ada, client_of(there, "admin") as bea:
        (mine,) = await given(ada, kind="hold", count=1)
        (theirs,) = await given(bea, kind="hold", count=5)
        assert mine["frame_id"] != theirs["frame_id"]
        asked = await bea.get(f"/review?part={mine['frame_id']}")
        assert asked.status_code == 409
        verdict = {"frame_id": mine["frame_id"], "class_name": "crack"}
        assert (await bea.post("/api/reviews", json=verdict)).status_code == 409
        assert (await ada.post("/api/reviews", json=verdict)).status_code == 201
        again = await given(bea, kind="hold", count=5)
        assert [part["frame_id"] for part in again] == [theirs["frame_id"]]
    await other_leases.close()


async def test_a_verdict_is_a_review_in_the_audit_s_chain(
    app: FastAPI, audit: ConsoleAudit, history: History
) -> None:
    async with client_of(app, "quality") as ada:
        await given(ada, kind="hold", count=5)
        part = str(make.frame_id(1))
        wrong = await ada.post("/api/reviews", json={"frame_id": part, "class_name": "dent"})
        assert wrong.status_code == 422
        assert "crack, uneven" in wrong.text
        painted = {
            "height": 2,
            "width": 2,
            "image_height": 64,
            "image_width": 64,
            "counts": [1, 2, 1],
        }
        said = {"frame_id": part, "class_name": "crack", "comment": "deep", "painted": painted}
        taken = await ada.post("/api/reviews", json=said)
        assert taken.status_code == 201, taken.text
        assert taken.json()["lesson"]["teaches"] == "exemplar"
        assert taken.json()["lesson"]["is_painted"]
        story = await history.show(make.frame_id(1))
        review = Review.model_validate(story.reviews[0])
        assert (review.reviewer, review.login) == ("a quality", "password")
        assert (review.severity, review.class_name) == (Severity.DEFECT, "crack")
        assert not review.is_blind
        assert review.region is not None
        assert region_mask(review.region).tolist() == [[False, True], [True, False]]
        back = await ada.delete(f"/api/reviews/{taken.json()['review_id']}")
        assert back.status_code == 200
        assert back.json()["frame_id"] == part
        assert (await ada.delete(f"/api/reviews/{taken.json()['review_id']}")).status_code == 404
        again = {"frame_id": part, "severity": "normal"}
        assert (await ada.post("/api/reviews", json=again)).status_code == 201
    page = await history.list_frames()
    (seen,) = [f for f in page.frames if f.frame_id == make.frame_id(1)]
    assert seen.review is not None
    assert seen.review.severity == "normal"
    rows = await audit.latest()
    assert [row.action for row in rows] == ["review.add", "review.withdraw", "review.add"]
    assert (rows[2].after, rows[2].reason, rows[2].before) == ("defect crack", "deep", "hold")
    assert (await audit.verify()).is_whole


async def test_a_blind_part_shows_no_verdict_and_counts_as_blind(
    app: FastAPI, history: History
) -> None:
    part = str(make.frame_id(3))
    async with client_of(app, "quality") as ada:
        page = (await ada.get("/review?kind=audit&since=2026-01-01")).text
        card = page[page.index("<article") : page.index("</article>")]
        assert part in card
        assert "Blind: judge what you see." in card
        for told in ('class="outline"', 'class="heat"', "decided effective", "class:uneven"):
            assert told not in card
        verdict = {"frame_id": part, "class_name": "crack"}
        row = await ada.post("/review/verdict", json=verdict)
        assert "Teaches: an example of crack, 4 of 20." in row.text
    rates = await history.audit_counts()
    assert [(c.reviewed, c.escapes) for c in rates if c.policy_hash == HASH] == [(1, 1)]
    story = await history.show(make.frame_id(3))
    assert Review.model_validate(story.reviews[0]).is_blind


async def test_a_second_person_does_not_see_the_first_and_who_settles_sees_both(
    app: FastAPI,
) -> None:
    part = str(make.frame_id(1))
    async with client_of(app, "quality") as ada, client_of(app, "admin") as bea:
        await ada.post(f"/api/review/parts/{part}")
        first = {"frame_id": part, "class_name": "crack", "comment": "I am sure"}
        assert (await ada.post("/api/reviews", json=first)).status_code == 201
        assert await given(ada, kind="second") == []
        (told,) = await given(bea, kind="second")
        assert (told["is_blind"], told["decision"], told["said"]) == (True, None, [])
        page = (await bea.get("/review?kind=second&since=2026-01-01")).text
        assert part in page
        assert "I am sure" not in page
        second = {"frame_id": part, "severity": "normal"}
        assert (await bea.post("/api/reviews", json=second)).json()["is_blind"]
        (contested,) = await given(ada, kind="disagreement")
        said = contested["said"]
        assert isinstance(said, list)
        assert [one["reviewer"] for one in said] == ["a quality", "a admin"]
        settled = await ada.post("/api/reviews", json=first)
        assert settled.json()["is_settlement"]
        assert await given(ada, kind="disagreement") == []


async def test_the_page_shows_what_waits_and_texts_are_texts(app: FastAPI) -> None:
    async with client_of(app, "quality") as ada:
        page = (await ada.get("/review?since=2026-01-01")).text
        assert EVIL not in page
        assert "&lt;script&gt;" in page
        assert page.count("<article") == 3
        assert page.index('"waits">Held') < page.index("Blind: judge")
        assert (await ada.get("/review?kind=mood")).status_code == 422
        one = (await ada.get(f"/review?part={make.frame_id(3)}")).text
        assert one.count("<article") == 1
        assert "Chosen by you" in one
        figures = (await ada.get("/review/figures?since=2026-01-01")).text
        assert "0 defects in 0 audits; 1 drawn of 1 passed" in figures
        assert (await ada.get("/api/review/waiting?since=")).json()["waiting"]["hold"] == 2
        assert (await ada.get("/api/review/lessons?product=tile")).json()["normals"] == 1
        rates = (await ada.get("/api/review/rates?since=")).json()
        assert rates["false_alarms"] == {
            "stopped": 2,
            "reviewed": 0,
            "false_alarms": 0,
            "undecided": 0,
            "rate": None,
            "low": 0.0,
            "high": 1.0,
        }
        undone = await ada.post("/review/undo", json={})
        assert undone.status_code == 404
    async with client_of(app, "operator") as nobody:
        assert (await nobody.get("/review")).status_code == 403


async def test_what_cannot_be_sent_was_not_said(
    writer: PostgresHistoryWriter, history: History, audit: ConsoleAudit, leases: ReviewLeases
) -> None:
    await writer.add_decisions([make.decision(1, DecisionSource.CLASSIFIER, Action.HOLD, "crack")])
    await writer.add_anomalies([make.anomaly(1)])
    sender = Recorded(writer)
    parts = parts_of(
        history=history, audit=audit, leases=leases, publisher=sender, lessons=Taught()
    )
    async with client_of(build_app(parts), "quality") as ada:
        await given(ada, kind="hold")
        verdict = {"frame_id": str(make.frame_id(1)), "severity": "unknown"}
        sender.down = True
        assert (await ada.post("/api/reviews", json=verdict)).status_code == 503
        sender.down = False
        assert (await ada.post("/api/reviews", json=verdict)).status_code == 201
    assert len(sender.sent) == 1
