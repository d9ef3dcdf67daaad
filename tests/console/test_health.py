"""The health page: one examination for everybody who looks, kept for a while, within its time."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import get_args

import pytest

from andon import console_health
from andon.checks import CHECKS
from andon.console_health import DoctorError
from andon.settings import CheckName, Settings
from console.app import build_app
from console.feed.status_feed import StatusFeed
from console.health import AGAIN_S, KEPT_S, CheckRow, HealthDesk
from console.pages.health import _TOLD, processes
from console.texts import translator
from streams.codes import FaultCode
from streams.envelope import to_message
from streams.kafka.delivery import Delivery
from streams.status import CHECK_OF, LinePhase, ProcessStatus
from streams.topics import STATUS
from tests.console.make import GivenRecords, client_of, parts_of
from tests.streams.statuses import AT, fault, gateway_said, worker_said

pytestmark = pytest.mark.asyncio
ROWS = [
    CheckRow(name="kafka", ok=True, detail="three brokers"),
    CheckRow(name="exposure", ok=True, warns=True, detail="plain text", remedy="docs/security.md"),
    CheckRow(name="postgres", ok=False, detail="nothing listens there", remedy="`andon stack up`"),
    CheckRow(name="product tile", ok=False, detail="no policy", remedy="`andon policy apply`"),
]


class Doctor:
    """Answers when a test lets it."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self) -> Sequence[CheckRow]:
        self.asked += 1
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return ROWS


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def desk(doctor: Doctor, clock: Clock) -> AsyncIterator[HealthDesk]:
    made = HealthDesk(doctor, clock)
    try:
        yield made
    finally:
        await made.close()


async def test_many_who_look_ask_once() -> None:
    doctor, clock = Doctor(), Clock()
    async with desk(doctor, clock) as health:
        doctor.may_answer.clear()
        everybody = [asyncio.create_task(health.asked(again=True)) for _ in range(20)]
        await asyncio.sleep(0)
        assert health.is_running
        doctor.may_answer.set()
        found = await asyncio.gather(*everybody)
        assert doctor.asked == 1
        assert all(list(one.rows) == ROWS for one in found)


async def test_what_was_found_is_kept_for_a_while() -> None:
    doctor, clock = Doctor(), Clock()
    async with desk(doctor, clock) as health:
        await health.asked()
        clock.now_s += AGAIN_S - 1
        await health.asked(again=True)
        assert doctor.asked == 1, "a click does not hammer the plant"
        clock.now_s += 1
        await health.asked()
        assert doctor.asked == 1
        await health.asked(again=True)
        assert doctor.asked == 2
        clock.now_s += KEPT_S
        await health.asked()
        assert doctor.asked == 3


async def test_a_doctor_that_fails_is_said_and_asked_again_later() -> None:
    doctor, clock = Doctor(), Clock()
    async with desk(doctor, clock) as health:
        doctor.error = DoctorError("it did not answer")
        assert "it did not answer" in (await health.asked()).problem
        doctor.error = None
        clock.now_s += KEPT_S
        assert (await health.asked()).problem == ""


async def test_the_page_says_what_a_failure_means_and_what_to_do() -> None:
    doctor, clock = Doctor(), Clock()
    async with desk(doctor, clock) as health:
        app = build_app(parts_of(health=health))
        async with client_of(app, "operator", headers={"Accept-Language": "de"}) as client:
            first = (await client.get("/health")).text
            await health.asked()
            page = (await client.get("/health")).text
            answer = (await client.get("/api/doctor")).json()
        async with client_of(app, "viewer") as client:
            assert (await client.get("/health")).status_code == 403
            assert (await client.get("/api/doctor")).status_code == 403
    assert 'hx-trigger="load delay:1s"' in first, "it looks again while the checks run"
    assert "hx-trigger" not in page
    assert "2 versagen." in page
    assert "Die Datenbank starten." in page
    assert "`andon policy apply`" in page
    assert "three brokers" in page
    assert [row["name"] for row in answer["examination"]["rows"]] == [row.name for row in ROWS]


@pytest.mark.parametrize("name", [*get_args(CheckName), *CHECK_OF.values(), "product", "worker"])
async def test_each_check_of_the_doctor_has_its_words(name: str) -> None:
    """What the doctor calls a thing, and what a worker that lacks it points to, is a text here."""
    assert name in _TOLD
    for language in ("en", "de"):
        assert translator(language)(f"check.{name}") != f"check.{name}"


async def test_gateways_and_workers_are_judged_by_what_they_say() -> None:
    said, now_s = GivenRecords(), [0.0]
    status = StatusFeed(said, lambda: now_s[0], lambda: AT.timestamp())
    statuses: list[ProcessStatus] = [
        gateway_said(faults=(fault(FaultCode.KAFKA),), fault_code=FaultCode.KAFKA),
        gateway_said(phase=LinePhase.SILENT, instance="line-2/top/x-1", line="line-2"),
        worker_said(away=("expert",)),
        worker_said("classify", every_s=600.0),
        worker_said("record", is_ended=True),
    ]
    following = asyncio.create_task(status.run())
    messages = [to_message(one) for one in statuses]
    said.give(
        *(Delivery(STATUS.name, 0, n, m.key, m.value, m.headers) for n, m in enumerate(messages))
    )
    await status.wait(0, 10.0)
    found = {row.name: row for row in processes(status, translator("en"))}
    now_s[0] = 30.0
    later = {row.name: row for row in processes(status, translator("en"))}
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    kafka = found["gateway line-1/top"]
    assert (kafka.ok, kafka.warns) == (True, True)
    assert kafka.remedy.startswith("Go on if that action is safe")
    assert not found["gateway line-2/top"].ok
    assert "heartbeat stands still" in found["gateway line-2/top"].detail
    assert not found["worker inspect"].ok
    assert found["worker inspect"].remedy == "`andon doctor serve` says why"
    assert found["worker classify"].ok
    assert "worker record" not in found
    assert "has not been heard for 30 s" in later["worker inspect"].detail
    assert later["worker classify"].ok


def doctor_that(folder: Path, code: str) -> list[str]:
    """A command in the doctor's place; it is given the doctor's arguments."""
    script = folder / "doctor.py"
    script.write_text(code)
    return [sys.executable, str(script)]


async def test_the_doctor_is_a_process_that_is_told_what_not_to_ask(tmp_path: Path) -> None:
    row_ = "dict(name=' '.join(sys.argv[1:]), ok=True, detail='')"
    said = f"import json, sys; print(json.dumps([{row_}]))"
    (row,) = await console_health.examine(Settings(), doctor_that(tmp_path, said))
    assert row.name.startswith("doctor --json --without camera")
    assert "--without llm" in row.name


async def test_a_doctor_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_health, "TIMEOUT_S", 0.5)
    hangs = doctor_that(tmp_path, "import time; time.sleep(3600)")
    with pytest.raises(DoctorError, match=r"did not answer within 0\.5 s"):
        await console_health.examine(Settings(), hangs)


async def test_a_doctor_that_says_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(DoctorError, match="exit code 2"):
        await console_health.examine(Settings(), doctor_that(tmp_path, "raise SystemExit(2)"))


async def test_what_a_page_never_asks_are_checks() -> None:
    assert set(Settings().console.health_without) < CHECKS.keys()
    assert set(get_args(CheckName)) == CHECKS.keys()
