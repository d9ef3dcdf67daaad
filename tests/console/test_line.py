"""The line's page: how gateways and workers are, trigger by trigger, and what needs no database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from console.app import build_app
from console.feed.live_feed import LiveFeed
from console.feed.positions import read_positions
from console.feed.status_feed import StatusFeed
from console.pages.line_fragments import ladder, worded
from history.plant_times import PlantTimes
from streams.codes import AckOutcome, Action, DecisionSource, FaultCode, ReasonCode
from streams.events import Acknowledgement, Decision
from streams.kafka.delivery import Delivery
from streams.status import LinePhase, ProcessStatus
from streams.topics import STATUS
from tests.console.make import GivenRecords, client_of, parts_of
from tests.console.streams import changed, followed, listening, record
from tests.history import make
from tests.streams.statuses import AT, fault, gateway_said, worker_said

pytestmark = pytest.mark.asyncio
EVENTS = "/line-events"


def acknowledged(decision: Decision, write_ms: float = 300.0, **changes: Any) -> Acknowledgement:
    triggered = decision.deadline - timedelta(milliseconds=decision.result_window_ms)
    fields = {
        "trigger_to_write_ms": write_ms,
        "written_at": triggered + timedelta(milliseconds=write_ms),
        "acknowledged_at": triggered + timedelta(milliseconds=write_ms + 12),
        **changes,
    }
    return make.acknowledgement(decision).model_copy(update=fields)


class World:
    """A console with statuses and parts to give, and a clock of its own."""

    def __init__(self) -> None:
        self.said, self.records = GivenRecords(), GivenRecords()
        self.now_s = 1000.0
        self.status = StatusFeed(self.said, lambda: self.now_s, lambda: AT.timestamp())
        self.feed = LiveFeed(self.records, PlantTimes().shift_at, lambda: make.START)
        self.app = build_app(parts_of(feed=self.feed, status=self.status))

    async def say(self, *statuses: ProcessStatus, first: int = 0) -> None:
        before = self.status.changes
        self.said.give(*(record(s, first + n) for n, s in enumerate(statuses)))
        await changed(self.status, before)

    async def give(self, *events: Decision | Acknowledgement) -> None:
        before = self.feed.changes
        self.records.give(*(record(e, n) for n, e in enumerate(events)))
        await changed(self.feed, before, len(events))

    async def page(self, path: str = "/line", language: str = "en") -> str:
        async with client_of(self.app, "viewer", headers={"Accept-Language": language}) as client:
            answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    async with followed(world.feed, world.status):
        yield world


async def test_the_page_needs_no_database_and_shows_the_handshake() -> None:
    async with running() as world:  # parts_of fails where the history is asked
        await world.say(gateway_said(), worker_said(), worker_said("classify"))
        page = await world.page()
    assert "in charge, number 4711" in page
    assert '<p class="phase ready">' in page
    assert '<div data-signal="PartId"><dt>PartId</dt><dd>P-41</dd></div>' in page
    assert page.index('data-key="classify/') < page.index('data-key="inspect/')
    assert "opc.tcp://plc-1:4840" in page


async def test_a_fault_says_what_to_do_in_the_language_of_who_asks() -> None:
    said = gateway_said(
        phase=LinePhase.FAULT,
        faults=(fault(FaultCode.JOURNAL),),
        fault_code=FaultCode.JOURNAL,
        why_not_ready="fault JOURNAL stands",
    )
    async with running() as world:
        await world.say(said)
        english, german = await world.page(), await world.page(language="de")
    assert "FaultCode 3 <code>JOURNAL</code>" in english
    assert "Keep parts back until Ready; look at the gateway&#39;s disk." in english
    assert "nach der Platte des Gateways sehen" in german
    assert '<li class="here" aria-current="step">' in english


async def test_who_is_not_heard_is_greyed_and_who_ended_has_ended() -> None:
    async with running() as world:
        await world.say(gateway_said(), worker_said(), worker_said("record", is_ended=True))
        assert "past" not in (await world.page()).replace('class="past" data-key="record', "")
        world.now_s += 40.0
        page = await world.page()
        async with client_of(world.app, "operator") as client:
            api = (await client.get("/api/lines")).json()
        world.now_s += 7200.0
        later = await world.page()
    assert '<article class="gateway past"' in page
    assert '<tr class="past" data-key="inspect/' in page
    assert page.count("not heard since") == 2
    assert "ended at" in page
    ages = {p["status"]["role"]: (p["heard_s_ago"], p["is_up"]) for p in api["processes"]}
    assert ages == {"gateway": (40.0, False), "inspect": (40.0, False), "record": (40.0, False)}
    assert "2 more have not been heard" in later
    assert "data-key=" not in later


async def test_what_stood_there_before_is_as_old_as_it_says() -> None:
    async with running() as world:
        world.said.caught_up.clear()
        world.said.give(record(gateway_said(at=AT - timedelta(seconds=90)), 0))
        await asyncio.sleep(0)
        assert world.status.processes() == [], "only the last of each process is decoded"
        world.said.give(record(gateway_said(2, at=AT - timedelta(seconds=60)), 1))
        await asyncio.sleep(0)
        world.said.caught_up.set()
        await world.say(worker_said(), first=2)
        found = {h.status.role: h.age_s(world.now_s) for h in world.status.processes()}
    assert found["gateway"] == 60.0


async def test_a_standby_stands_beside_the_one_in_charge() -> None:
    waiting = gateway_said(
        phase=LinePhase.STANDBY, in_charge=False, instance="line-1/top/edge-2-ab12"
    )
    async with running() as world:
        await world.say(waiting, gateway_said())
        page = await world.page()
    assert page.index("edge-1-ab12") < page.index("edge-2-ab12")
    assert '<article class="gateway standby"' in page
    assert "stand-by; number 4711 is in charge" in page


async def test_a_gateway_whose_controller_is_away_shows_its_faults() -> None:
    away = gateway_said(
        phase=LinePhase.DISCONNECTED, in_charge=False, owner=0, faults=(fault(),), signals={}
    )
    async with running() as world:
        await world.say(away)
        page = await world.page()
    assert "Controller not connected" in page
    assert "FaultCode 1 <code>CAMERA</code>" in page
    assert "stand-by" not in page


async def test_each_trigger_has_its_times_and_what_went_wrong() -> None:
    first, fourth = make.decision(1), make.decision(4)
    missed = make.decision(
        5, DecisionSource.WATCHDOG, Action.HOLD, reason_code=ReasonCode.MISSED_TRIGGER
    )
    late = make.decision(4, DecisionSource.CLASSIFIER, Action.SCRAP, "crack", is_late=True)
    refused = acknowledged(fourth, 790.0, outcome=AckOutcome.UNACKNOWLEDGED, acknowledged_at=None)
    async with running() as world:
        await world.say(gateway_said())
        await world.give(first, acknowledged(first), fourth, late, refused, missed)
        page = await world.page("/line/line-1")
        async with client_of(world.app, "operator") as client:
            api = (await client.get("/api/lines/line-1")).json()
    rows = api["triggers"]
    assert [row["trigger_seq"] for row in rows] == [
        missed.trigger_seq,
        fourth.trigger_seq,
        first.trigger_seq,
    ]
    assert (rows[0]["is_missed"], rows[0]["frame_ms"]) == (True, None)
    assert (rows[1]["gap"], rows[1]["outcome"]) == (2, "unacknowledged")
    assert rows[1]["late"][0]["source"] == "classifier"
    assert rows[2]["acknowledged_ms"] == pytest.approx(312.0)
    assert rows[2]["headroom_ms"] == pytest.approx(first.result_window_ms - 300.0)
    stages = {one["stage"]: one for one in api["latencies"]}
    assert stages["whole"]["count"] == 2
    assert stages["to_acknowledgement"]["p50_ms"] == pytest.approx(12.0)
    assert api["in_force"][0]["product_id"] == first.product_id
    assert "2 before it not heard of" in page
    assert "the PLC did not answer" in page
    assert "missed" in page


async def test_a_restarted_controller_begins_to_count_anew() -> None:
    before, after = make.decision(1), make.decision(2, plc_boot_id=99, trigger_seq=500_000)
    async with running() as world:
        await world.give(before, after)
        page = await world.page()
    assert "controller restarted, PlcBootId 99" in page
    assert "not heard of" not in page


async def test_triggers_that_were_missed_at_once_stand_by_their_numbers() -> None:
    at = {"captured_at": make.captured(5), "deadline": make.captured(6)}
    missed = [make.decision(n, trigger_seq=100 + n, **at) for n in (3, 1, 2)]
    async with running() as world:
        await world.give(*missed)
        async with client_of(world.app, "operator") as client:
            rows = (await client.get("/api/lines/line-1")).json()["triggers"]
    assert [row["trigger_seq"] for row in rows] == [103, 102, 101]
    assert {row["gap"] for row in rows} == {0}


@pytest.mark.parametrize("last", [(1 << 32) - 1, (1 << 16) - 1])
async def test_numbers_that_wrapped_stand_behind_those_before(last: int) -> None:
    """However wide the controller's node is."""
    numbered = {7: last - 1, 8: last, 9: 1, 10: 2}
    parts = [make.decision(n, plc_boot_id=2, trigger_seq=seq) for n, seq in numbered.items()]
    async with running() as world:
        await world.give(*reversed(parts))
        async with client_of(world.app, "operator") as client:
            rows = (await client.get("/api/lines/line-1")).json()["triggers"]
        assert [row["trigger_seq"] for row in rows] == [2, 1, last, last - 1]
        assert {row["gap"] for row in rows} == {0}


async def test_a_controller_that_skips_numbers_has_not_wrapped() -> None:
    parts = [make.decision(n, trigger_seq=seq) for n, seq in ((1, 5), (2, 6), (3, 5000))]
    async with running() as world:
        await world.give(*parts)
        async with client_of(world.app, "operator") as client:
            rows = (await client.get("/api/lines/line-1")).json()["triggers"]
    assert [(row["trigger_seq"], row["gap"]) for row in rows] == [(5000, 4993), (6, 0), (5, 0)]


async def test_another_policy_in_a_worker_is_said() -> None:
    decision = make.decision(1, policy_hash="70170c" * 8)
    other = worker_said(policies={decision.product_id: "beef" * 12})
    async with running() as world:
        await world.say(gateway_said(policies={decision.product_id: "70170c" * 8}), other)
        await world.give(decision)
        page = await world.page()
    assert "another policy at inspect" in page


async def test_what_changes_is_sent_and_what_does_not_is_not() -> None:
    async with running() as world:
        await world.say(gateway_said())
        async with listening(world.app, EVENTS) as events:
            first = await anext(events)
            kinds = {piece["id"] for piece in first["data"]["pieces"]}
            assert kinds == {"workers", "gateways:line-1", "figures:line-1"}
            assert read_positions(first["id"]) == {(STATUS.name, 0): 1}
            await world.say(gateway_said(2, signals={"TriggerSeq": 42}), first=1)
            second = await anext(events)
            assert [piece["id"] for piece in second["data"]["pieces"]] == ["gateways:line-1"]
            assert second["data"]["ages"] == {"gateway/line-1/top/edge-1-ab12": 0.0}
            await world.give(make.decision(1))
            third = await anext(events)
            assert [row["id"] for row in third["data"]["rows"]] == [f"t{make.frame_id(1)}"]


async def test_after_a_break_the_state_is_whole_and_a_lost_log_begins_again() -> None:
    async with running() as world:
        await world.say(gateway_said(), worker_said())
        async with listening(world.app, EVENTS, "s0-1") as events:
            found = await anext(events)
            assert len(found["data"]["pieces"]) == 3
            assert found["data"]["fresh"] is True
        async with listening(world.app, EVENTS, "s0-900") as events:
            assert (await anext(events))["event"] == "begin-again"


async def test_a_browser_is_told_when_kafka_is_not_heard() -> None:
    async with running() as world:
        await world.say(gateway_said())
        world.said.caught_up.clear()
        async with listening(world.app, EVENTS) as events:
            assert (await anext(events))["data"]["fresh"] is False
        assert 'data-fresh="no"' in await world.page()


async def test_an_unknown_line_and_a_broken_word() -> None:
    async with running() as world:
        world.said.give(Delivery(STATUS.name, 0, 0, b"x", b"\xff", []))
        await world.say(gateway_said(), first=1)
        async with client_of(world.app) as client:
            assert (await client.get("/line/nothing")).status_code == 404
            assert (await client.get("/api/lines/nothing")).status_code == 404
        assert world.status.line_names() == {"line-1"}


async def test_a_line_may_have_a_slash_in_its_name() -> None:
    name = "hall 3/line 2"
    async with running() as world:
        await world.say(gateway_said(line=name, instance="3/2/edge-3"), gateway_said())
        address = "/line/hall%203/line%202"
        assert f'href="{address}"' in await world.page()
        assert f'data-line="{name}"' in await world.page(address)
        async with client_of(world.app) as client:
            assert (await client.get(f"/api/lines/{name}")).json()["line"] == name


async def test_texts_of_the_line_are_texts() -> None:
    evil = "<img src=x onerror=alert(1)>\"'"
    said = gateway_said(
        line=evil, station=evil, plc=evil, signals={evil: evil}, why_not_ready=evil,
        phase=LinePhase.FULL, product_id=evil,
    )  # fmt: skip
    async with running() as world:
        await world.say(said, worker_said(away=(evil,), lag={evil: 1}))
        page = await world.page()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


async def test_the_ladder_ends_at_the_first_step_that_fails() -> None:
    steps = {step.name: step.state for step in ladder(LinePhase.SILENT)}
    assert steps == {
        "connected": "done",
        "in_charge": "done",
        "alive": "here",
        "no_fault": "open",
        "recipe": "open",
        "room": "open",
        "ready": "open",
    }
    assert {step.state for step in ladder(LinePhase.EXPOSING)} == {"done"}
    assert worded(False) == "0"
