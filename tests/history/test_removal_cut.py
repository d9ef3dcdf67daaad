"""A connection that is lost at the COMMIT of what is removed on purpose: the audit has it all."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from history.console_audit import ConsoleAudit, Deed
from history.months import BY_MONTH
from history.queries import History
from history.retention.rows import drop_months
from history.retention.store import RetentionStore
from history.writer import PostgresHistoryWriter
from streams.errors import UnavailableError
from tests.history import make
from tests.history.commit_cuts import cut_way
from tests.history.test_dropped_months import UNTIL, recorded
from tests.history.test_months import in_month, value

pytestmark = pytest.mark.asyncio
RETAIN = Deed(actor="ada", action="history.retain", login="host", via="cli")
ERASE = Deed(actor="ada", action="history.erase", reason="asked", login="host", via="cli")


async def audited(url: str) -> list[str]:
    """What the audit says was removed or erased, oldest first."""
    audit = ConsoleAudit(url)
    rows = await audit.latest()
    assert (await audit.verify()).is_whole
    await audit.close()
    return [row.after or row.object for row in reversed(rows)]


async def months_of(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as link:
        asked = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE '%\\_2026\\_01'"
        return {*(await link.scalars(text(asked)))}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("dropped", [0, 2, 3])
async def test_a_month_is_in_the_audit_if_and_only_if_it_is_gone(
    url: str,
    engine: AsyncEngine,
    writer: PostgresHistoryWriter,
    history: History,
    when: str,
    dropped: int,
) -> None:
    await recorded(writer, url)
    every = {f"{name}_2026_01" for name in BY_MONTH}
    async with cut_way(url) as (cut, by_it):
        cut.at_commit, cut.passes = when, dropped
        with pytest.raises(UnavailableError):
            await drop_months(by_it, UNTIL, lambda _: None, RETAIN)
        said = await audited(url)
        assert {*said} == every - await months_of(engine)
        assert len(said) == dropped + (when == "after")
        await drop_months(by_it, UNTIL, lambda _: None, RETAIN)
    assert sorted(await audited(url)) == sorted(every)
    assert (await history.gaps()).complete


async def test_facts_of_frames_of_a_wrong_clock_go_with_their_rows(
    url: str, engine: AsyncEngine, writer: PostgresHistoryWriter, history: History
) -> None:
    """Frames of 2099 lie behind every month: only the run that removed their rows knew of them."""
    await recorded(writer, url, make.decision(5, **in_month(5, 1, 2099)))
    later = datetime.now(UTC) + timedelta(days=31)
    async with cut_way(url) as (cut, by_it):
        for passes in range(40):  # a run that is cut at each of its COMMITs in turn
            cut.at_commit, cut.passes = "after", passes
            try:
                await drop_months(by_it, later, lambda _: None, RETAIN)
            except UnavailableError:
                continue
            break
    assert "rows of decision_other" in await audited(url)
    assert await value(engine, "SELECT count(*) FROM part_fact") == 0
    assert (await history.gaps()).complete


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_erased_number_is_told_as_erased_whatever_becomes_of_the_answer(
    url: str, writer: PostgresHistoryWriter, history: History, when: str
) -> None:
    decision = make.decision(1)
    await writer.add_decisions([decision])
    async with cut_way(url) as (cut, by_it):
        store = RetentionStore(by_it)
        cut.at_commit = when
        if when == "before":
            with pytest.raises(UnavailableError):
                await store.erase(decision.part_id, ERASE)
            assert await audited(url) == []
            assert await history.resolve(decision.part_id) == decision.frame_id
        erased = await store.erase(decision.part_id, ERASE)
        await store.close()
    assert (erased.parts, erased.rows) == (1, {"decision": 1})
    assert await audited(url) == [erased.name]
    assert await history.resolve(erased.name) == decision.frame_id


async def test_who_cannot_know_whether_it_is_erased_is_told_where_it_stands(
    url: str, writer: PostgresHistoryWriter
) -> None:
    await writer.add_decisions([make.decision(1)])
    async with cut_way(url) as (cut, by_it):
        store = RetentionStore(by_it)
        cut.at_commit, cut.is_down = "after", True
        with pytest.raises(UnavailableError, match="not known: it was if the audit has") as failed:
            await store.erase(make.decision(1).part_id, ERASE)
        await store.close()
    (name,) = await audited(url)
    assert name in str(failed.value)
