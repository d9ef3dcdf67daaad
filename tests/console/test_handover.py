"""Shift handover over the real database: what a shift leaves, and who may read and write it."""

import html
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from console.access import ConsoleRole
from console.app import build_app
from console.feed.live_feed import LiveFeed
from console.pages.handover import LONGEST
from history.accounts import Accounts
from history.console_audit import ConsoleAudit
from history.handovers import Handovers
from history.plant_times import PlantTimes
from streams.codes import Action, DecisionSource
from streams.errors import UnavailableError
from streams.topics import DECISIONS
from tests.console.make import BASE, DEED, GivenRecords, client_of, new_token, parts_of
from tests.history import make

pytestmark = pytest.mark.asyncio
EVIL = "<b>the lamp</b> flickers"


@pytest_asyncio.fixture
async def handovers(url: str) -> AsyncIterator[Handovers]:
    made = Handovers(url)
    yield made
    await made.close()


class Clock:
    """The time on the plant's wall, as a test sets it."""

    def __init__(self) -> None:
        self.now = make.START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def operator(
    url: str, accounts: Accounts, audit: ConsoleAudit, handovers: Handovers, clock: Clock
) -> AsyncIterator[httpx.AsyncClient]:
    feed = LiveFeed(GivenRecords(), PlantTimes().shift_at, clock)
    for number in range(3):
        decided = make.decision(number, DecisionSource.CLASSIFIER, Action.SCRAP, "crack")
        feed.state.take(decided, ((DECISIONS.name, 0), number))
    app = build_app(parts_of(accounts=accounts, audit=audit, handovers=handovers, feed=feed))
    secret = await new_token(url, ConsoleRole.OPERATOR)
    page = {"Accept": "text/html", "Origin": BASE}
    async with client_of(app, secret, headers=page) as made:
        yield made


async def test_a_note_is_kept_with_who_when_and_what_was_counted(
    operator: httpx.AsyncClient, handovers: Handovers, audit: ConsoleAudit
) -> None:
    page = (await operator.get("/handover")).text
    assert "line-1" in page
    assert "Nobody has left a note yet." in page
    left = await operator.post("/handover", data={"line": "line-1", "note": EVIL})
    assert left.status_code == 303
    (note,) = await handovers.latest()
    assert (note.line, note.note, note.author) == (
        "line-1",
        EVIL,
        "who-gives-operator (token a test)",
    )
    assert note.counted == {"total": 3, "missed": 0, "scrap": 3}
    page = (await operator.get("/handover")).text
    assert EVIL not in page
    assert "&lt;b&gt;the lamp" in page
    assert (await audit.latest(1))[0].action == "handover.note"


async def test_what_a_shift_before_made_is_not_told_of_this_one(
    operator: httpx.AsyncClient, handovers: Handovers, clock: Clock
) -> None:
    clock.now += timedelta(days=1)
    page = (await operator.get("/handover")).text
    assert '<li class="total"><b>0</b>' in page
    await operator.post("/handover", data={"line": "line-1", "note": "stands still"})
    (note,) = await handovers.latest()
    assert note.counted == {"total": 0, "missed": 0}


async def test_the_notes_of_a_line_stay_whatever_others_write(
    operator: httpx.AsyncClient, handovers: Handovers
) -> None:
    await operator.post("/handover", data={"line": "line-1", "note": "the lamp is new"})
    (first,) = await handovers.latest()
    for number in range(65):
        later = {"note_id": uuid4(), "line": "line-2", "note": f"note {number}"}
        at = first.at + timedelta(minutes=number + 1)
        await handovers.add(first.model_copy(update={**later, "at": at}), DEED)
    page = (await operator.get("/handover")).text
    assert "the lamp is new" in page
    notes = [note.note for note in await handovers.latest(3)]
    assert notes == ["note 64", "note 63", "note 62", "the lamp is new"]


async def test_nothing_and_too_much_are_refused_and_the_words_are_kept(
    operator: httpx.AsyncClient, handovers: Handovers
) -> None:
    for note, words in (("  ", "should know"), ("x" * (LONGEST + 1), f"most {LONGEST}")):
        answer = await operator.post("/handover", data={"line": "line-1", "note": note})
        assert (answer.status_code, words in answer.text) == (422, True)
        assert note.strip() in answer.text
    assert not await handovers.latest()


async def test_a_note_of_many_lines_is_as_long_as_the_page_counted_it(
    operator: httpx.AsyncClient, handovers: Handovers
) -> None:
    note = "\r\n".join(["the lamp is new"] * (LONGEST // 16))  # as a browser sends it
    assert len(note.replace("\r\n", "\n")) < LONGEST < len(note)
    sent = {"line": "line-1", "note": note}
    assert (await operator.post("/handover", data=sent)).status_code == 303
    assert [kept.note for kept in await handovers.latest()] == [note]


async def test_a_line_that_no_part_comes_from_keeps_its_notes(
    operator: httpx.AsyncClient, handovers: Handovers
) -> None:
    await operator.post("/handover", data={"line": "line-9", "note": "stands still"})
    assert "stands still" in (await operator.get("/handover")).text


async def test_a_form_that_is_sent_twice_leaves_one_note(
    operator: httpx.AsyncClient, handovers: Handovers, audit: ConsoleAudit
) -> None:
    page = (await operator.get("/handover")).text
    found = re.search(r'name="id" value="([^"]+)"', page)
    assert found is not None
    form = {"line": "line-1", "note": "the lamp flickers", "id": found[1]}
    for _ in range(2):
        assert (await operator.post("/handover", data=form)).status_code == 303
    assert len(await handovers.latest()) == 1
    actions = [row.action for row in await audit.latest()]
    assert actions.count("handover.note") == 1


async def test_what_was_written_is_still_there_when_the_session_has_ended(
    operator: httpx.AsyncClient, handovers: Handovers
) -> None:
    """The answer led to the login, and what somebody had written was gone."""
    note = f"The lamp over station 3 flickers since noon: watch it. {EVIL}\r\nTwo lines."
    form, token = {"line": "line-1", "note": note}, operator.headers.pop("Authorization")
    ended = await operator.post("/handover", data=form)
    assert ended.status_code == 401
    shown = html.unescape(ended.text)
    assert (note in shown, EVIL in ended.text) == (True, False)
    assert 'action="/handover"' in ended.text
    assert not await handovers.latest()
    operator.headers["Authorization"] = token
    assert (await operator.post("/handover", data=form)).status_code == 303
    assert [kept.note for kept in await handovers.latest()] == [note]


async def test_what_could_not_be_saved_now_is_still_there(
    operator: httpx.AsyncClient, handovers: Handovers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*given: object) -> None:
        raise UnavailableError("the database does not answer")

    monkeypatch.setattr(handovers, "add", away)
    note = "The lamp over station 3 flickers since noon: watch it."
    answer = await operator.post("/handover", data={"line": "line-1", "note": note})
    assert (answer.status_code, note in answer.text) == (503, True)


@pytest.mark.parametrize(
    ("path", "form"), [("/password", {"old": "secret-1"}), ("/pin", {"pin": "482913"})]
)
async def test_a_secret_is_never_shown_again(
    operator: httpx.AsyncClient, path: str, form: dict[str, str]
) -> None:
    del operator.headers["Authorization"]
    answer = await operator.post(path, data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


async def test_a_piece_of_a_page_says_that_the_session_has_ended(
    operator: httpx.AsyncClient,
) -> None:
    """A reload would take what is being written on the page with it."""
    del operator.headers["Authorization"]
    asked = {"HX-Request": "true"}
    answer = await operator.post("/policies/tile/backtests", data={"text": "a"}, headers=asked)
    assert (answer.status_code, "hx-refresh" in answer.headers) == (401, False)
    assert "Your session has ended" in answer.text
    polled = await operator.get("/models/tile/change", headers=asked)
    assert polled.headers["hx-refresh"] == "true"
