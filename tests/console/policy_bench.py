"""A console over a database with one policy in force, and a line that follows it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx

from console.access import ConsoleRole
from console.app import build_app
from console.policies.answers import PolicyDifference
from console.policies.backtests import Backtests
from console.policies.desk import PolicyDesk
from console.policies.judged import difference_of
from console.second_person import SecondPerson
from history.accounts import Accounts
from history.console_audit import ConsoleAudit, Deed
from history.policy_log import AuditEntry, PolicyLog
from history.queries import History
from policies.authoring.loading import check_text
from policies.evaluate import ResolvedPolicy
from tests.console.make import client_of, new_token, parts_of

TEXT = """\
# looked at by everybody
policy: 1
product: tile
classes:
  crack: {severity: defect, action: hold}
  stain: {severity: negligible, action: pass}
"""
HARDER = TEXT.replace("action: hold", "action: scrap")
SOFTER = TEXT.replace("{severity: defect, action: hold}", "{severity: negligible, action: pass}")


async def nothing() -> None:
    """Nothing happens in between."""


class TheLine:
    """What a line would follow; puts a version in force as the broker would."""

    def __init__(self, log: PolicyLog) -> None:
        self._log = log
        self.known: dict[str, str] = {}
        self.error: Exception | None = None
        self.before_it: Callable[[], Awaitable[object]] = nothing
        """What happens before nobody else may change the policy."""

    def versions(self) -> dict[str, str]:
        return self.known

    def refused(self) -> dict[str, str]:
        return {}

    def signed_by(self) -> dict[str, str]:
        return dict.fromkeys(self.known, "0123456789abcdef")

    @asynccontextmanager
    async def followed(self) -> AsyncIterator["TheLine"]:
        yield self

    async def put(self, policy: ResolvedPolicy, **said: Any) -> AuditEntry:
        if self.error is not None:
            raise self.error
        await self.before_it()
        if (still_wanted := said.get("still_wanted")) is not None:
            await still_wanted()
        body = dict(policy.body)
        product, name = policy.product_id, policy.policy_hash
        await self._log.store_version(name, product, body, said["source"])
        self.known[product] = name
        return await self._log.append_audit(
            product,
            said["replaces"],
            name,
            said["by"],
            said["reason"],
            said["softens"],
            said["deed"],
        )


class ComparedHere:
    """Compares in this process: starting another takes seconds."""

    def warm(self) -> None: ...

    def close(self) -> None: ...

    async def between(
        self, before: ResolvedPolicy | None, after: ResolvedPolicy
    ) -> PolicyDifference:
        return difference_of(before, after)


class Bench:
    """A console over a database with one policy in force."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.log, self.audit = PolicyLog(url), ConsoleAudit(url)
        self.line = TheLine(self.log)
        self.history = History(url)
        self.tests = Backtests(partial(History, url), partial(PolicyLog, url))
        self.differences: Any = ComparedHere()
        self._desks: list[PolicyDesk] = []

    def client(self, user: str, second: SecondPerson = SecondPerson.NEVER) -> httpx.AsyncClient:
        """A program with the token of a person who is named after their role."""
        desk = PolicyDesk(
            self.log,
            self.audit,
            self.line.followed,
            self.line.put,
            second,
            self.tests,
        )
        desk._followed = self.line
        desk.differences.close()
        desk.differences = self.differences
        self._desks.append(desk)
        accounts = Accounts(self.url, timeout_s=10.0)
        given = {"history": self.history, "audit": self.audit, "accounts": accounts}
        app = build_app(parts_of(**given, policies=desk))
        return client_of(app, user)

    async def close(self) -> None:
        for desk in self._desks:
            await desk.close()
        for part in (self.log, self.audit, self.history):
            await part.close()

    async def in_force(self) -> str:
        entry = await self.log.in_force("tile")
        assert entry is not None
        return entry.to_hash or ""


def policy(text: str) -> ResolvedPolicy:
    found = check_text(text).policy
    assert found is not None
    return found


@asynccontextmanager
async def open_bench(url: str) -> AsyncIterator[Bench]:
    """The bench with the first version in force, and a token of each role."""
    made = Bench(url)
    deed = Deed(actor="setup", action="policy.apply", object="tile")
    await made.line.put(
        policy(TEXT),
        source=TEXT,
        replaces=None,
        by="setup",
        reason="the first",
        softens=False,
        deed=deed,
    )
    for role in ConsoleRole:
        await new_token(url, role, role.value)
    yield made
    await made.close()


async def change(
    client: httpx.AsyncClient, text: str, replaces: str | None, **more: Any
) -> httpx.Response:
    body = {"text": text, "replaces": replaces, "reason": "because of the test", **more}
    return await client.post("/api/policies/tile/changes", json=body)
