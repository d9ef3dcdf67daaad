"""What is removed on purpose: pictures at the end of their time, and a serial number."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history.console_audit import ConsoleAudit, Deed
from history.errors import BadQueryError
from history.filters import FrameFilter
from history.object_store import S3Objects
from history.policy_log import PolicyLog
from history.queries import History
from history.retention.rules import DataClass, PartTrace, RetentionDays, expired
from history.retention.store import RetentionStore, renamed
from history.retention.sweep import sweep
from history.review_queue import ReviewQueue, WaitingFor
from history.writer import PostgresHistoryWriter
from infra.stack.s3_local import LocalS3
from streams.codes import Action
from streams.errors import UnavailableError
from streams.failures import Cause, TransientError
from streams.ids import dead_letter_key, frame_key, image_key, mask_key, minted_at
from tests.history import make
from tests.history.commands import run

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DEED = Deed(actor="ada", action="history.erase", reason="asked for", login="host", via="cli")


def frame_of(age_days: float, number: int = 0) -> UUID:
    """A frame id minted that long before ``NOW``."""
    at = int((NOW - timedelta(days=age_days)).timestamp() * 1000)
    return UUID(int=(at << 80) | (7 << 76) | (2 << 62) | number)


def trace(age_days: float, action: str | None = "pass", is_reviewed: bool = False) -> PartTrace:
    return PartTrace(frame_id=frame_of(age_days), action=action, is_reviewed=is_reviewed)


@pytest.mark.parametrize(
    ("of", "kind"),
    [
        (trace(0), DataClass.PASSED),
        (trace(0, "scrap"), DataClass.STOPPED),
        (trace(0, None), DataClass.STOPPED),
        (trace(0, "pass", True), DataClass.REVIEWED),
        (trace(0, "hold", True), DataClass.REVIEWED),
    ],
)
def test_each_picture_has_a_class(of: PartTrace, kind: DataClass) -> None:
    assert of.kind is kind


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 5000), st.sampled_from(["pass", "hold", None]), st.booleans())
    ),
)
def test_only_what_is_older_than_its_class_is_kept_goes(
    ages: list[tuple[int, str | None, bool]],
) -> None:
    traces = [trace(age + 0.5, action, reviewed) for age, action, reviewed in ages]
    gone = expired(traces, RetentionDays(), NOW)
    limits = {DataClass.PASSED: 30, DataClass.STOPPED: 730, DataClass.REVIEWED: 3650}
    for one in traces:
        age = NOW - minted_at(one.frame_id)
        is_gone = one.frame_id in gone.get(one.kind, [])
        assert is_gone == (age > timedelta(days=limits[one.kind]))


@pytest.mark.parametrize("minted_days_ago", [20_000, -20_000])
def test_pictures_of_a_clock_that_was_wrong_are_kept_since_they_were_recorded(
    minted_days_ago: float,
) -> None:
    for recorded_days_ago, is_over in ((29, False), (31, True)):
        at = NOW - timedelta(days=recorded_days_ago)
        odd = trace(minted_days_ago).model_copy(update={"recorded_at": at})
        assert expired([odd], RetentionDays(), NOW) == (
            {DataClass.PASSED: [odd.frame_id]} if is_over else {}
        )


def test_zero_days_keep_a_class_for_ever() -> None:
    days = RetentionDays(passed_days=0, stopped_days=0, reviewed_days=0)
    assert expired([trace(9999), trace(9999, "scrap"), trace(9999, None, True)], days, NOW) == {}
    assert days.ends([DataClass.PASSED], NOW) is None


def test_the_sweep_removes_by_class_and_leaves_strangers(s3: LocalS3) -> None:
    objects = S3Objects(s3.endpoint, s3.access_key, s3.secret_key, bucket="swept")
    old, kept, unknown = frame_of(40, 1), frame_of(40, 2), frame_of(40, 3)
    fresh, ancient, ahead = frame_of(3, 4), frame_of(800, 5), frame_of(-9999, 6)
    frames = (old, kept, unknown, fresh, ancient, ahead)
    for frame in frames:
        objects.put(image_key(frame), b"image")
    objects.put(mask_key(old), b"mask")
    objects.put(frame_key(fresh), b"large")
    objects.put(dead_letter_key(UUID(int=1)), b"dead")
    objects.put("inspections/2020/01/01/not-a-frame/image", b"?")
    objects.put("inspections/readme", b"?")
    known = {old: "pass", kept: "scrap", fresh: "pass"}

    def ask(asked: Sequence[UUID]) -> list[PartTrace]:
        found = [
            PartTrace(frame_id=f, action=known[f], is_reviewed=False) for f in asked if f in known
        ]
        at = NOW - timedelta(days=800)  # by the database's clock
        odd = PartTrace(frame_id=ahead, action="scrap", is_reviewed=False, recorded_at=at)
        return [*found, odd] if ahead in asked else found

    said: list[str] = []

    def swept(now: datetime, is_trial: bool = False) -> dict[DataClass, int]:
        told = lambda kind, where, count: said.append(f"{kind} {where} {count}")  # noqa: E731
        found = sweep(objects, ask, RetentionDays(), now, told, is_trial).removed
        return {kind: count for kind, count in found.items() if count}

    before = set(objects.keys(""))
    would = swept(NOW, is_trial=True)
    assert set(objects.keys("")) == before
    assert would == swept(NOW) == {DataClass.PASSED: 2, DataClass.STOPPED: 2}
    gone = {image_key(old), mask_key(old), image_key(ancient), image_key(ahead)}
    assert before - set(objects.keys("")) == gone
    assert swept(NOW) == {}
    written = datetime.now(UTC)  # the store's own time says when the others were written
    later = swept(max(written, NOW) + timedelta(days=120))
    assert later[DataClass.DEAD] == later[DataClass.CAPTURED] == 1
    assert {"inspections/2020/01/01/not-a-frame/image", "inspections/readme"} <= set(
        objects.keys("")
    )


@pytest.mark.asyncio
async def test_the_history_tells_what_became_of_each_frame(
    writer: PostgresHistoryWriter, url: str
) -> None:
    await writer.add_decisions([make.decision(1), make.decision(2, action=Action.SCRAP)])
    await writer.add_reviews([make.review(2)])
    store = RetentionStore(url)
    found = {t.frame_id: t for t in await store.traces([make.frame_id(n) for n in (1, 2, 3)])}
    await store.close()
    assert [found[make.frame_id(n)].action is None for n in (1, 2, 3)] == [False, False, True]
    assert [found[make.frame_id(n)].recorded_at is None for n in (1, 2, 3)] == [False, False, True]
    assert found[make.frame_id(2)].kind is DataClass.REVIEWED


@pytest.mark.asyncio
async def test_a_serial_number_is_forgotten_and_the_counts_stay(
    writer: PostgresHistoryWriter, history: History, url: str, engine: AsyncEngine
) -> None:
    decided = [make.decision(n) for n in (1, 2)]
    await writer.add_decisions(decided)
    await writer.add_acknowledgements([make.acknowledgement(event) for event in decided])
    await writer.add_anomalies([make.anomaly(1)])
    serial = decided[0].part_id
    before = await history.stats()
    store = RetentionStore(url)
    keys = await store.pictures(serial)
    assert image_key(make.frame_id(1)) in keys
    assert image_key(make.frame_id(2)) not in keys
    erased = await store.erase(serial, DEED)
    assert (erased.parts, erased.rows) == (1, {"anomaly": 1, "decision": 1, "acknowledgement": 1})
    again = await store.erase(serial, DEED)
    await store.close()
    assert (again.parts, again.rows) == (0, {})
    assert await history.stats() == before
    assert (await history.gaps()).complete
    assert await history.resolve(erased.name) == make.frame_id(1)
    assert (await history.show(make.frame_id(1))).image_key is None
    tables = "anomaly decision shot_verdict acknowledgement review dead_letter alert part_fact"
    async with engine.connect() as link:
        for table in tables.split():
            left = f"SELECT count(*) FROM {table} AS t WHERE strpos(t::text, :serial) > 0"
            assert (await link.execute(text(left), {"serial": serial})).scalar() == 0, table
        with pytest.raises(Exception, match="only ever added"):
            await link.execute(text("UPDATE decision SET part_id = 'x'"))
    audit = ConsoleAudit(url)
    rows = await audit.latest()
    assert (await audit.verify()).broken_at is None
    await audit.close()
    assert [(row.action, row.object) for row in rows][-1] == ("history.erase", erased.name)
    assert serial not in str(rows)


@pytest.mark.asyncio
async def test_pictures_without_a_fact_are_found_by_their_serial_number(
    writer: PostgresHistoryWriter, url: str
) -> None:
    """The decision was set aside; or the picture waited for its store while others were erased."""
    await writer.add_anomalies([make.anomaly(1)])
    late = make.decision(2)
    await writer.add_decisions([late])
    store = RetentionStore(url)
    try:
        assert image_key(make.frame_id(1)) in await store.pictures(make.decision(1).part_id)
        await store.erase(late.part_id, DEED)
        await writer.add_anomalies([make.anomaly(2)])
        assert image_key(late.frame_id) in await store.pictures(late.part_id)
        again = await store.erase(late.part_id, DEED)
        assert (again.parts, again.rows) == (0, {"anomaly": 1})
        assert await store.pictures(late.part_id) == []
    finally:
        await store.close()


@pytest.mark.asyncio
async def test_what_a_run_that_broke_off_has_removed_is_in_the_audit(
    filled: None, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(*given: object) -> None:
        told = given[4]
        assert callable(told)
        told(DataClass.STOPPED, "inspections/2024/11/23/", 7)
        raise TransientError(Cause.AWAY, "no answer")

    monkeypatch.setattr("andon.cli.history.retention.sweep", broken_off)
    with pytest.raises(UnavailableError, match="no answer"):
        await run("retain")
    audit = ConsoleAudit(url)
    rows = await audit.latest()
    await audit.close()
    assert [row.action for row in rows] == ["history.retain"]
    assert "7 stopped" in str(rows)


@pytest.mark.asyncio
async def test_nothing_is_forgotten_of_the_parts_without_a_serial_number(
    writer: PostgresHistoryWriter, history: History, url: str
) -> None:
    await writer.add_decisions([make.decision(1, part_id="")])
    await writer.add_anomalies([make.anomaly(1, part_id="")])
    store = RetentionStore(url)
    with pytest.raises(BadQueryError, match="no serial number"):
        await store.pictures("")
    with pytest.raises(BadQueryError, match="no serial number"):
        await store.erase("", DEED)
    await store.close()
    assert (await history.show(make.frame_id(1))).image_key is not None


@pytest.mark.asyncio
async def test_what_was_erased_waits_for_no_reviewer(
    writer: PostgresHistoryWriter, history: History, url: str
) -> None:
    log = PolicyLog(url)
    await log.store_version("a" * 64, "tile", {"audit_share": 1.0})
    await log.close()
    passed = make.decision(2, action=Action.PASS, policy_hash="a" * 64)
    await writer.add_decisions([make.decision(1, action=Action.HOLD), passed])
    await writer.add_anomalies([make.anomaly(1), make.anomaly(2, "audit")])
    queue, reasons = ReviewQueue(history), [WaitingFor.HOLD, WaitingFor.AUDIT]
    assert {*(await queue.counts(FrameFilter(), "Ada", reasons)).values()} == {1}
    assert (await history.audit_queue(FrameFilter(), 9)).waiting == 1
    store = RetentionStore(url)
    for n in (1, 2):
        await store.erase(make.decision(n).part_id, DEED)
    await store.close()
    assert {*(await queue.counts(FrameFilter(), "Ada", reasons)).values()} == {0}
    assert (await history.audit_queue(FrameFilter(), 9)).waiting == 0


@pytest.mark.asyncio
async def test_a_store_that_may_not_remove_says_so(s3: LocalS3) -> None:
    nobody = S3Objects(s3.endpoint, "who", "wrong-secret", bucket="swept")
    with pytest.raises(UnavailableError):
        await asyncio.to_thread(nobody.remove, ["a"])


@settings(max_examples=50)
@given(st.text(min_size=1), st.recursive(st.text() | st.integers() | st.none(), st.lists))
def test_a_renamed_event_holds_the_old_value_nowhere(serial: str, event: object) -> None:
    new = renamed({"a": event, "b": [serial, {"c": serial}]}, serial, "other")
    flat: list[object] = [new]
    while flat:
        value = flat.pop()
        assert value != serial or serial == "other"
        flat += value if isinstance(value, list) else []
        flat += value.values() if isinstance(value, dict) else []
