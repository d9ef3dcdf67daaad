"""Policies in the console: what is shown, what an edit would do, applying, a second person."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest
import pytest_asyncio

from console.access import ConsoleRole
from console.app import build_app
from console.credentials import secret_hash
from console.policies.answers import PolicyDifference, SecondPerson
from console.policies.backtests import MOST_AT_ONCE, Backtests
from console.policies.beside import Differences
from console.policies.desk import PolicyDesk
from console.policies.judged import difference_of
from history.accounts import Accounts, ConsoleUser, Login
from history.console_audit import ConsoleAudit, Deed
from history.policy_log import AuditEntry, PolicyLog
from history.queries import History
from history.writer import PostgresHistoryWriter
from policies.authoring.loading import check_text
from policies.errors import PolicyError
from policies.evaluate import ResolvedPolicy
from streams.codes import Action, DecisionSource
from streams.events import Decision
from tests.console.make import BASE, DEED, app_of, client_of, new_token, parts_of
from tests.history.make import classification, decision, inspection

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


class TheLine:
    """What a line would follow; puts a version in force as the broker would."""

    def __init__(self, log: PolicyLog) -> None:
        self._log = log
        self.known: dict[str, str] = {}
        self.error: Exception | None = None

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


@pytest_asyncio.fixture
async def bench(url: str) -> AsyncIterator[Bench]:
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
    client: httpx.AsyncClient, text: str, replaces: str, **more: Any
) -> httpx.Response:
    body = {"text": text, "replaces": replaces, "reason": "because of the test", **more}
    return await client.post("/api/policies/tile/changes", json=body)


@pytest.mark.asyncio
async def test_what_is_in_force_is_listed_and_its_text_is_as_written(bench: Bench) -> None:
    async with bench.client("operator") as client:
        answer = await client.get("/api/policies")
        assert answer.status_code == 200, answer.text
        (listed,) = answer.json()
        text = (await client.get("/api/policies/tile/text")).json()
        page = await client.get("/policies", headers={"Accept": "text/html"})
    assert (listed["policy_hash"], listed["by"]) == (policy(TEXT).policy_hash, "setup")
    assert (listed["on_line"], listed["signed_by"]) == (listed["policy_hash"], "0123456789abcdef")
    assert (text["text"], text["is_as_written"]) == (TEXT, True)
    assert "tile" in page.text
    assert "0123456789abcdef" in page.text


@pytest.mark.asyncio
async def test_a_version_without_a_text_is_written_from_its_body(bench: Bench) -> None:
    found = policy(HARDER)
    await bench.log.store_version(found.policy_hash, "tile", dict(found.body))
    async with bench.client("operator") as client:
        path = f"/api/policies/tile/text?version={found.policy_hash[:12]}"
        text = (await client.get(path)).json()
        other = await client.get(f"/api/policies/other/text?version={found.policy_hash}")
    assert policy(text["text"]).policy_hash == found.policy_hash
    assert not text["is_as_written"]
    assert other.status_code == 404


@pytest.mark.asyncio
async def test_an_edit_is_put_in_force_with_both_audits(bench: Bench) -> None:
    before = await bench.in_force()
    async with bench.client("engineer") as client:
        answer = await change(client, HARDER, before)
        text = (await client.get("/api/policies/tile/text")).json()
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "in_force"
    assert await bench.in_force() == policy(HARDER).policy_hash
    assert text["text"] == HARDER
    (entry, _) = await bench.log.list_log("tile")
    assert (entry.applied_by, entry.reason) == (
        "who-gives-engineer (token a test)",
        "because of the test",
    )
    row = (await bench.audit.latest())[0]
    assert (row.action, row.object, row.via) == ("policy.apply", "tile", "api")
    assert (row.actor, row.before, row.after) == (entry.applied_by, before, entry.to_hash)
    assert (await bench.audit.verify()).is_whole


@pytest.mark.asyncio
async def test_a_version_that_was_not_looked_at_is_not_replaced(bench: Bench) -> None:
    before = await bench.in_force()
    async with bench.client("engineer") as client:
        assert (await change(client, HARDER, before)).status_code == 200
        late = await change(client, TEXT, before)
    assert late.status_code == 409
    assert "changed meanwhile" in late.json()["detail"]
    assert await bench.in_force() == policy(HARDER).policy_hash


@pytest.mark.asyncio
async def test_a_softening_must_be_meant_and_a_rollback_is_a_change(bench: Bench) -> None:
    before = await bench.in_force()
    async with bench.client("admin") as client:
        refused = await change(client, SOFTER, before)
        done = await change(client, SOFTER, before, allow_softening=True)
        body = {"policy_hash": before, "replaces": done.json()["policy_hash"], "reason": "back"}
        back = await client.post("/api/policies/tile/changes", json=body)
    assert (refused.status_code, done.status_code) == (409, 200)
    assert done.json()["entry"]["softening"]
    assert back.json()["policy_hash"] == before
    assert await bench.in_force() == before


@pytest.mark.asyncio
async def test_what_is_wrong_with_a_text_is_said_with_its_place(bench: Bench) -> None:
    before = await bench.in_force()
    async with bench.client("engineer") as client:
        answer = await change(client, TEXT + "clases: {}\n", before)
        other = await change(client, TEXT.replace("tile", "brick"), before)
        neither = await client.post(
            "/api/policies/tile/changes", json={"replaces": before, "reason": "nothing"}
        )
    (found,) = answer.json()["detail"]
    assert (answer.status_code, found["type"], found["loc"]) == (
        422,
        "E201",
        ["body", "text", 7, 1],
    )
    assert (other.status_code, neither.status_code) == (422, 422)


@pytest.mark.asyncio
async def test_a_key_that_is_missing_is_said(bench: Bench) -> None:
    bench.line.error = PolicyError("policies must be signed here")
    async with bench.client("engineer") as client:
        answer = await change(client, HARDER, await bench.in_force())
    assert (answer.status_code, answer.json()["detail"]) == (409, "policies must be signed here")


@pytest.mark.asyncio
async def test_a_second_person_approves_and_nobody_their_own(bench: Bench) -> None:
    before, second = await bench.in_force(), SecondPerson.SOFTENING
    async with bench.client("engineer", second) as client:
        asked = await change(client, SOFTER, before, allow_softening=True)
        number = asked.json()["request"]["number"]
        path = f"/api/policies/tile/requests/{number}"
        own = await client.post(path, json={"answer": "approve"})
        assert (asked.json()["state"], own.status_code) == ("requested", 403)
        assert await bench.in_force() == before
        withdrawn = await client.post(path, json={"answer": "withdraw"})
        again = await client.post(path, json={"answer": "withdraw"})
        assert (withdrawn.json()["state"], again.status_code) == ("closed", 404)
        asked = await change(client, SOFTER, before, allow_softening=True)
        number = asked.json()["request"]["number"]
    async with bench.client("quality", second) as client:
        program = await client.post(
            f"/api/policies/tile/requests/{number}", json={"answer": "approve"}
        )
        assert program.status_code == 403
        refused = await client.post(
            f"/api/policies/tile/requests/{number}", json={"answer": "refuse", "reason": "no"}
        )
        assert refused.json()["state"] == "closed"
        (listed,) = (await client.get("/api/policies")).json()
    assert listed["request"] is None
    assert await bench.in_force() == before


@pytest.mark.asyncio
async def test_a_person_approves_at_the_console(bench: Bench, url: str) -> None:
    before, second = await bench.in_force(), SecondPerson.ALWAYS
    async with bench.client("engineer", second) as client:
        number = (await change(client, HARDER, before)).json()["request"]["number"]
    await new_session(url, "quality")
    async with bench.client("", second) as client:
        client.cookies.set("andon_session", "session-quality")
        headers = {"Origin": BASE}
        path = f"/policies/tile/requests/{number}"
        done = await client.post(path, data={"answer": "approve"}, headers=headers)
    assert (done.status_code, done.headers["location"]) == (303, "/policies/tile?done=in_force")
    (entry, _) = await bench.log.list_log("tile")
    assert entry.to_hash == policy(HARDER).policy_hash
    assert entry.applied_by.startswith("who-gives-engineer")
    assert "approved by person-quality" in entry.reason
    assert (await bench.audit.latest())[0].action == "policy.approve"


async def new_session(url: str, role: str) -> None:
    """A person who is logged in at a browser."""
    accounts = Accounts(url, timeout_s=10.0)
    name = f"person-{role}"
    await accounts.add(ConsoleUser(name=name, role=role), "nothing", DEED)
    ends = datetime.now(UTC) + timedelta(hours=1)
    secret = secret_hash(f"session-{role}")
    await accounts.open(Login(secret_hash=secret, user_name=name, role=role, expires_at=ends), DEED)
    await accounts.close()


@pytest.mark.asyncio
async def test_the_page_keeps_a_text_that_is_refused(bench: Bench) -> None:
    page = {"Accept": "text/html"}
    async with bench.client("engineer") as client:
        shown = await client.get("/policies/tile", headers=page)
        form = {"text": SOFTER, "replaces": await bench.in_force(), "reason": "why not"}
        refused = await client.post("/policies/tile", data=form, headers=page)
        done = await client.post("/policies/tile", data={**form, "softening": "yes"})
        unsaid = await client.post("/policies/tile", data={**form, "reason": " "}, headers=page)
    nonce = re.search(
        r"style-src 'self' 'nonce-([\w-]+)'", shown.headers["content-security-policy"]
    )
    assert nonce is not None
    assert f'nonce="{nonce[1]}"' in shown.text
    assert "looked at by everybody" in shown.text
    assert refused.status_code == 409
    assert "severity: negligible, action: pass}\n  stain" in refused.text
    assert (done.status_code, unsaid.status_code) == (303, 409)


@pytest.mark.asyncio
async def test_who_may_change_nothing_sees_the_text(bench: Bench) -> None:
    async with bench.client("operator") as client:
        page = await client.get("/policies/tile", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "data-policy-editor" not in page.text
    assert "looked at by everybody" in page.text


@pytest.mark.asyncio
async def test_an_edit_is_explained_on_real_parts(
    bench: Bench, writer: PostgresHistoryWriter
) -> None:
    await writer.add_decisions(recorded(8))
    async with bench.client("quality") as client:
        body = {"text": TEXT + "rules:\n- {name: r, when: confidence < 0.6, action: rework}\n"}
        found = (await client.post("/api/policies/tile/parts", json=body)).json()
        told = (await client.post("/api/policies/tile/difference", json=body)).json()
        piece = await client.post("/policies/tile/parts", data=body)
        broken = await client.post("/policies/tile/parts", data={"text": "a: ["})
    assert (len(found["parts"]), found["changed"]) == (8, 4)
    first, second = found["parts"][:2]
    assert (first["part_id"], first["changes"]) == ("P0000007", True)
    assert (first["before"]["rule"], first["after"]["rule"]) == ("class:crack", "rule:r")
    assert "rule r: confidence < 0.6 is true" in first["after"]["steps"]
    assert not second["changes"]
    assert told["changes"][0]["text"] == "new rule r: rework when confidence < 0.6"
    assert told["softenings"] == []
    assert "rule:r" in piece.text
    assert broken.status_code == 204


async def until(client: httpx.AsyncClient, path: str, state: str) -> dict[str, Any]:
    """What is answered once the state is another one."""
    async with asyncio.timeout(60):
        while True:
            status: dict[str, Any] = (await client.get(path)).json()
            if status["state"] != state:
                return status
            await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_a_backtest_is_watched_to_its_end(
    bench: Bench, writer: PostgresHistoryWriter
) -> None:
    await writer.add_decisions(recorded(30))
    async with bench.client("quality") as client:
        wanted = {"text": HARDER, "days": 3650}
        started = (await client.post("/api/policies/tile/backtests", json=wanted)).json()
        path = f"/api/policies/tile/backtests/{started['id']}"
        status = await until(client, path, "running")
        gone = await client.get("/api/policies/other/backtests/" + started["id"])
        piece = await client.get(path.removeprefix("/api"))
    assert status["state"] == "done", status["problem"]
    result = status["result"]
    assert (result["decisions"], result["total_changed"]) == (30, 30)
    assert result["changed"] == [["crack", "hold", "scrap", 30]]
    assert len(result["changes"]["parts"]) == 30
    assert gone.status_code == 404
    assert "P0000007" in piece.text


@pytest.mark.asyncio
async def test_a_backtest_is_ended_and_so_many_run_at_once(bench: Bench) -> None:
    async with bench.client("engineer") as client:
        wanted = {"text": HARDER}
        started = [
            (await client.post("/api/policies/tile/backtests", json=wanted)).json()["id"]
            for _ in range(MOST_AT_ONCE)
        ]
        many = await client.post("/api/policies/tile/backtests", json=wanted)
        ended = [
            (await client.post(f"/api/policies/tile/backtests/{name}/cancel")).json()["state"]
            for name in started
        ]
        more = await client.post("/api/policies/tile/backtests", json=wanted)
        await client.post(f"/api/policies/tile/backtests/{more.json()['id']}/cancel")
    assert (many.status_code, more.status_code) == (409, 202)
    assert ended == ["cancelled"] * MOST_AT_ONCE


def recorded(count: int) -> list[Decision]:
    """Cracks that were held under the policy in force, every second one unsure."""
    return [
        decision(
            number,
            DecisionSource.CLASSIFIER,
            Action.HOLD,
            "crack",
            inspection=inspection(),
            classification=classification(confidence=0.5 if number % 2 else 0.9),
            policy_hash=policy(TEXT).policy_hash,
            rule="class:crack",
        )
        for number in range(count)
    ]


@pytest.mark.asyncio
async def test_problems_and_offers_come_for_every_text() -> None:
    async with client_of(app_of(), "engineer") as client:
        report = (await client.post("/api/policies/check", json={"text": "a: ["})).json()
        good = (await client.post("/api/policies/check", json={"text": TEXT})).json()
        alike = TEXT.replace("stain: {", "stain: {display_name: Crack, ")
        prompt = (await client.post("/api/policies/check", json={"text": alike})).json()
        body = {"text": "product: tile\nc", "offset": 15}
        offered = (await client.post("/api/policies/complete", json=body)).json()
        more = await client.post("/api/policies/check", json={"text": TEXT, "file": "x"})
    assert [p["code"] for p in report["problems"]] == ["E103"]
    assert (good["ok"], good["policy_hash"]) == (True, policy(TEXT).policy_hash)
    assert [p["code"] for p in prompt["problems"] if p["is_error"]] == ["E401"]
    assert (offered["start"], [o["label"] for o in offered["offers"]]) == (
        14,
        ["classes", "certificate"],
    )
    assert more.status_code == 422


@pytest.mark.asyncio
async def test_policies_are_compared_in_another_process() -> None:
    differences = Differences()
    try:
        found = await differences.between(policy(TEXT), policy(SOFTER))
        assert found == difference_of(policy(TEXT), policy(SOFTER))
        assert found.softenings
        assert not (await differences.between(None, policy(TEXT))).changes
    finally:
        differences.close()
