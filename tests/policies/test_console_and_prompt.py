"""A policy is put in force at the console by the same steps as at the prompt."""

import asyncio
import getpass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from andon.cli.policy.database import put_in_force
from andon.settings import load_settings
from andon.wiring import opened
from andon.wiring.console import console_audit, console_parts
from console.policies.desk import PolicyActor, PolicyWish
from history.console_audit import AuditFinding, Deed, WrittenDeed
from history.errors import RefusedRowError
from history.policy_log import PolicyLog
from infra.stack.broker import Broker
from policies.authoring.loading import check_text, load_policy
from policies.errors import ChangedMeanwhileError, SecondPersonError
from streams.codes import Action
from streams.failures import Cause
from tests.policies.commands import andon, answer_of, in_force, write


def test_the_console_puts_in_force_what_the_prompt_does(
    tmp_path: Path, configured: None, broker: Broker
) -> None:
    product = "from_console"
    first = write(tmp_path, product, "rework")
    assert andon("apply", first, "--yes", "--by", "ada", "--reason", "the first").exit_code == 0
    hash_one = load_policy(first).policy_hash
    words = first.read_text().replace("rework", "scrap")
    found = asyncio.run(_at_the_console(product, words, hash_one))
    assert asyncio.run(in_force(broker.bootstrap_servers, product)) == (found, Action.SCRAP)
    last, before = answer_of(andon("log", product, "--json"))
    assert (last["applied_by"], last["from_hash"], last["to_hash"]) == ("bo", hash_one, found)
    assert before["applied_by"] == "ada"
    with pytest.raises(ChangedMeanwhileError, match="by bo"):
        asyncio.run(put_in_force(load_policy(first), hash_one, "eve", "late", False))
    assert asyncio.run(in_force(broker.bootstrap_servers, product))[0] == found


def test_a_prompt_adds_to_the_same_chain_and_says_why(
    tmp_path: Path, configured: None, broker: Broker
) -> None:
    product = "chained"
    first, harder = write(tmp_path, product, "rework"), write(tmp_path, product, "scrap", "h.yaml")
    for given in ((), ("--reason", "  "), ("--reason", " x ")):
        refused = andon("apply", first, "--yes", *given)
        assert (refused.exit_code, "say why" in refused.output) == (2, True)
    said = ("--yes", "--by", "ada", "--reason")
    assert andon("apply", first, *said, "the first").exit_code == 0
    assert andon("apply", harder, *said, "cracks grow").exit_code == 0
    one, two = (load_policy(path).policy_hash for path in (first, harder))
    assert andon("rollback", one[:12], *said, "too hard").exit_code == 0
    assert andon("withdraw", product, *said, "no more").exit_code == 0
    rows, finding = asyncio.run(_audit_of(product))
    assert [(row.action, row.before, row.after, row.reason) for row in rows] == [
        ("policy.apply", "", one, "the first"),
        ("policy.apply", one, two, "cracks grow"),
        ("policy.apply", two, one, "too hard"),
        ("policy.take-out", one, "", "no more"),
    ]
    known = {(row.actor, row.login, row.via, row.agent) for row in rows}
    assert known == {("ada", "declared", "cli", f"host user {getpass.getuser()}")}
    assert finding.is_whole


def test_nothing_changes_where_the_audits_may_not_be_written(
    tmp_path: Path, configured: None, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, said = "unwritten", ("--yes", "--skip-backtest", "--reason", "a try")
    first, harder = write(tmp_path, product, "rework"), write(tmp_path, product, "scrap", "h.yaml")
    assert andon("apply", first, *said).exit_code == 0

    async def refused(log: PolicyLog) -> None:
        raise RefusedRowError(Cause.NOT_ALLOWED, "this login may not write console_audit")

    monkeypatch.setattr(PolicyLog, "require_audits", refused)
    for asked in (("apply", harder, *said), ("withdraw", product, "--yes", *said[2:])):
        assert isinstance(andon(*asked).exception, RefusedRowError)
        assert asyncio.run(in_force(broker.bootstrap_servers, product))[1] is Action.REWORK


async def _audit_of(product: str) -> tuple[list[WrittenDeed], AuditFinding]:
    async with opened(console_audit, load_settings()) as audit:
        since = datetime(2020, 1, 1, tzinfo=UTC)
        rows = await audit.of_actions(["policy.apply", "policy.take-out"], since)
        return [row for row in rows if row.object == product], await audit.verify()


def test_a_prompt_is_no_way_around_the_second_person(
    tmp_path: Path, configured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, said = "two_people", ("--yes", "--skip-backtest", "--reason", "a try")
    first = write(tmp_path, product, "rework")
    softer, harder = (write(tmp_path, product, a, f"{a}.yaml") for a in ("pass", "scrap"))

    def asks(when: str) -> None:
        monkeypatch.setenv("ANDON_CONSOLE__SECOND_PERSON", when)
        load_settings.cache_clear()

    asks("always")
    assert andon("apply", first, *said).exit_code == 0, "the first policy of a product"
    assert andon("apply", first, *said).exit_code == 0, "nothing changes"
    assert isinstance(andon("apply", harder, *said).exception, SecondPersonError)
    asks("softening")
    refused = andon("apply", softer, *said, "--allow-softening")
    assert isinstance(refused.exception, SecondPersonError)
    assert andon("withdraw", product, *said[:1], *said[2:]).exit_code == 0
    refused = andon("apply", softer, *said, "--allow-softening")
    assert isinstance(refused.exception, SecondPersonError), "a withdrawal is no way around it"
    assert andon("apply", harder, *said).exit_code == 0


async def _at_the_console(product: str, words: str, replaces: str) -> str:
    """Change a policy as the console's pages do; the hash that is in force then."""
    parts = console_parts(load_settings())
    desk = parts.policies
    policy = check_text(words).policy
    assert policy is not None
    assert (await desk.text(product)).text == words.replace("scrap", "rework")

    def deed(action: str, object: str, **said: str) -> Deed:
        return Deed(actor="bo", action=action, object=object, **said)

    try:
        wish = PolicyWish(policy, words, replaces, "harder", False)
        done = await desk.change(wish, PolicyActor("bo", "bo", True, deed))
        (row,) = await parts.audit.latest(1)
        assert (row.actor, row.after, row.reason) == ("bo", done.policy_hash, "harder")
        return done.policy_hash
    finally:
        for part in (desk, parts.history, parts.store, parts.accounts, parts.audit):
            await part.close()
