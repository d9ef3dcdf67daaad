"""A policy is put in force at the console by the same steps as at the prompt."""

import asyncio
from pathlib import Path

import pytest

from andon.cli.policy.database import put_in_force
from andon.policy_changes import PolicyChange
from andon.settings import load_settings
from andon.wiring.console import console_parts
from console.policies.desk import PolicyActor, PolicyWish
from history.console_audit import Deed
from infra.stack.broker import Broker
from policies.authoring.loading import check_text, load_policy
from policies.errors import ChangedMeanwhileError
from streams.codes import Action
from tests.policies.commands import andon, answer_of, in_force, write


def test_the_console_puts_in_force_what_the_prompt_does(
    tmp_path: Path, configured: None, broker: Broker
) -> None:
    product = "from_console"
    first = write(tmp_path, product, "rework")
    assert andon("apply", first, "--yes", "--by", "ada").exit_code == 0
    hash_one = load_policy(first).policy_hash
    words = first.read_text().replace("rework", "scrap")
    found = asyncio.run(_at_the_console(product, words, hash_one))
    assert asyncio.run(in_force(broker.bootstrap_servers, product)) == (found, Action.SCRAP)
    last, before = answer_of(andon("log", product, "--json"))
    assert (last["applied_by"], last["from_hash"], last["to_hash"]) == ("bo", hash_one, found)
    assert before["applied_by"] == "ada"
    late = PolicyChange(load_policy(first), hash_one, "eve", "late", False)
    with pytest.raises(ChangedMeanwhileError, match="by bo"):
        asyncio.run(put_in_force(late))
    assert asyncio.run(in_force(broker.bootstrap_servers, product))[0] == found


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
        done = await desk.change(wish, PolicyActor("bo", "bo", False, deed))
        (row,) = await parts.audit.latest(1)
        assert (row.actor, row.after, row.reason) == ("bo", done.policy_hash, "harder")
        return done.policy_hash
    finally:
        for part in (desk, parts.history, parts.store, parts.accounts, parts.audit):
            await part.close()
