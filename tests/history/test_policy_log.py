"""Versions and audit of policies."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from history.console_audit import ConsoleAudit, Deed
from history.errors import ChangingNowError, NotInHistoryError, RefusedRowError
from history.policy_log import PolicyLog
from streams.errors import UnavailableError

BODY = {"product": "tile", "classes": {"zebra": 1, "ant": 2}, "odd": "a\x00b'; --🧱", "mm": 0.1}


@pytest_asyncio.fixture
async def log(url: str) -> AsyncIterator[PolicyLog]:
    made = PolicyLog(url)
    yield made
    await made.close()


@pytest.mark.asyncio
async def test_a_version_is_kept_as_it_was_and_never_replaced(log: PolicyLog) -> None:
    await log.store_version("abc123", "tile", BODY)
    await log.store_version("abc123", "tile", {"other": 1})
    found = await log.get_version("abc123")
    assert found.body == {**BODY, "odd": "a\N{REPLACEMENT CHARACTER}b'; --🧱"}
    assert list(found.body["classes"]) == ["zebra", "ant"]


@pytest.mark.asyncio
async def test_a_version_by_the_beginning_of_its_hash(log: PolicyLog) -> None:
    for policy_hash in ("abc", "abcdef", "b00"):
        await log.store_version(policy_hash, "tile", {"hash": policy_hash})
    assert (await log.get_version("b")).policy_hash == "b00"
    assert (await log.get_version("abc")).policy_hash == "abc"
    for words, says in (("ab", "several"), ("x", "no stored"), ("", "several"), ("%", "no stored")):
        with pytest.raises(NotInHistoryError, match=says):
            await log.get_version(words)


@pytest.mark.asyncio
async def test_the_log_says_who_put_what_in_force(log: PolicyLog) -> None:
    assert await log.in_force("tile") is None
    for policy_hash in ("one", "two"):
        await log.store_version(policy_hash, "tile", {})
    first = await log.append_audit("tile", None, "one", "Ada", "first")
    second = await log.append_audit("tile", "one", "two", "Bob", "tighter", softening=True)
    await log.append_audit("tile", "two", "one", "Ada", "back")
    await log.append_audit("wood", None, "one", "Ada", "other")
    found = await log.list_log("tile")
    assert [(e.from_hash, e.to_hash, e.applied_by) for e in found] == [
        ("two", "one", "Ada"),
        ("one", "two", "Bob"),
        (None, "one", "Ada"),
    ]
    assert found[1] == second
    assert second.softening
    assert first.applied_at.tzinfo is not None
    assert first.applied_at < second.applied_at
    in_force = await log.in_force("tile")
    assert in_force is not None
    assert in_force.to_hash == "one"
    assert len(await log.list_log()) == 4


@pytest.mark.asyncio
async def test_a_version_that_was_never_stored_cannot_be_in_force(log: PolicyLog) -> None:
    with pytest.raises(RefusedRowError, match="policy_audit_to_hash_fkey"):
        await log.append_audit("tile", None, "nothing", "Ada", "")
    assert await log.list_log() == []


@pytest.mark.asyncio
async def test_down_is_unavailable() -> None:
    log = PolicyLog("postgresql+asyncpg://postgres@127.0.0.1:1/andon", timeout_s=2)
    with pytest.raises(UnavailableError):
        await log.store_version("a", "tile", {})
    await log.close()


@pytest.mark.asyncio
async def test_a_version_keeps_its_text_and_the_first_one_stays(log: PolicyLog) -> None:
    await log.store_version("abc", "tile", {}, "# why\nproduct: tile\n")
    await log.store_version("abc", "tile", {}, "product: tile\n")
    await log.store_version("def", "tile", {})
    assert (await log.get_version("abc")).source == "# why\nproduct: tile\n"
    assert (await log.get_version("def")).source is None


@pytest.mark.asyncio
async def test_the_latest_change_of_each_product(log: PolicyLog) -> None:
    for policy_hash in ("one", "two"):
        await log.store_version(policy_hash, "tile", {})
    await log.append_audit("wood", None, "one", "Ada", "first")
    await log.append_audit("tile", None, "one", "Ada", "first")
    await log.append_audit("tile", "one", "two", "Bob", "second")
    found = await log.latest_of_each()
    assert [(e.product_id, e.to_hash) for e in found] == [("tile", "two"), ("wood", "one")]


@pytest.mark.asyncio
async def test_a_change_has_its_row_in_both_audits_or_in_none(log: PolicyLog, url: str) -> None:
    deed = Deed(actor="Ada", action="policy.apply", object="tile", after="one")
    with pytest.raises(RefusedRowError):
        await log.append_audit("tile", None, "never stored", "Ada", "first", deed=deed)
    await log.store_version("one", "tile", {})
    await log.append_audit("tile", None, "one", "Ada", "first", deed=deed)
    audit = ConsoleAudit(url)
    rows = await audit.of_actions(["policy.apply"], datetime(2020, 1, 1, tzinfo=UTC))
    await audit.close()
    assert [(row.number, row.actor, row.object) for row in rows] == [(1, "Ada", "tile")]


@pytest.mark.asyncio
async def test_of_two_who_change_one_policy_one_is_refused(log: PolicyLog, url: str) -> None:
    other = PolicyLog(url)
    async with log.changing("tile"):
        async with other.changing("wood"):
            pass
        with pytest.raises(ChangingNowError, match="at this moment"):
            async with other.changing("tile"):
                pytest.fail("two at once")
    async with other.changing("tile"):
        pass
    await other.close()
