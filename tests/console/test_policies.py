"""Policies in the console: what is shown, applying, a second person."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from console.credentials import secret_hash
from console.second_person import SecondPerson
from history.accounts import Accounts, ConsoleUser, Login
from policies.errors import PolicyError
from tests.console.make import BASE, DEED
from tests.console.policy_bench import HARDER, SOFTER, TEXT, Bench, change, policy


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
@pytest.mark.parametrize("reason", ["", " \n\t ", "ok"])
async def test_blanks_are_no_reason(bench: Bench, reason: str) -> None:
    async with bench.client("engineer") as client:
        body = {"text": HARDER, "replaces": await bench.in_force(), "reason": reason}
        answer = await client.post("/api/policies/tile/changes", json=body)
    assert answer.status_code == 422, answer.text


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
async def test_a_withdrawal_is_no_way_around_the_second_person(bench: Bench) -> None:
    before = await bench.in_force()
    await bench.log.append_audit("tile", before, None, "ada", "all of it is held")
    async with bench.client("engineer", SecondPerson.SOFTENING) as client:
        refused = await change(client, SOFTER, None)
        asked = await change(client, SOFTER, None, allow_softening=True)
        back = await change(client, TEXT, None)
    assert refused.status_code == 409
    assert asked.json()["state"] == "requested"
    assert back.json()["state"] == "in_force", "as it was before"


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


@pytest.mark.asyncio
async def test_a_pin_approves_nothing(bench: Bench, url: str) -> None:
    """A PIN is typed before everybody's eyes: whoever had seen one was the second person, too."""
    before, second = await bench.in_force(), SecondPerson.ALWAYS
    async with bench.client("engineer", second) as client:
        number = (await change(client, HARDER, before)).json()["request"]["number"]
    await new_session(url, "quality", "pin")
    async with bench.client("", second) as client:
        client.cookies.set("andon_session", "session-quality")
        path, headers = f"/policies/tile/requests/{number}", {"Origin": BASE}
        refused = await client.post(path, data={"answer": "approve"}, headers=headers)
        assert (refused.status_code, "no PIN" in refused.text) == (403, True)
        assert await bench.in_force() == before
        no = await client.post(path, data={"answer": "refuse"}, headers=headers)
    assert no.status_code == 303, "what changes nothing may be said so"


@pytest.mark.asyncio
async def test_what_is_withdrawn_while_it_is_approved_does_not_come_into_force(
    bench: Bench, url: str
) -> None:
    before, second = await bench.in_force(), SecondPerson.ALWAYS
    async with bench.client("engineer", second) as asking, bench.client("", second) as client:
        number = (await change(asking, HARDER, before)).json()["request"]["number"]
        path = f"/api/policies/tile/requests/{number}"

        async def withdrawn() -> None:
            answer = await asking.post(path, json={"answer": "withdraw"})
            assert answer.json()["state"] == "closed"

        bench.line.before_it = withdrawn
        await new_session(url, "quality")
        client.cookies.set("andon_session", "session-quality")
        late = await client.post(path, json={"answer": "approve"}, headers={"Origin": BASE})
        assert (late.status_code, await bench.in_force()) == (404, before)
        number = (await change(asking, HARDER, before)).json()["request"]["number"]
        async with bench.log.changing("tile"):
            path = f"/api/policies/tile/requests/{number}"
            early = await asking.post(path, json={"answer": "withdraw"})
        assert early.status_code == 409, "it is being approved"


async def new_session(url: str, role: str, way: str = "password") -> None:
    """A person who is logged in at a browser."""
    accounts = Accounts(url, timeout_s=10.0)
    name = f"person-{role}"
    await accounts.add(ConsoleUser(name=name, role=role), "nothing", DEED)
    ends = datetime.now(UTC) + timedelta(hours=1)
    secret = secret_hash(f"session-{role}")
    login = Login(secret_hash=secret, user_name=name, role=role, way=way, expires_at=ends)
    await accounts.open(login, DEED)
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
    assert refused.status_code == 200, "a browser reports an answer of 409 as an error"
    assert 'class="problem" role="alert"' in refused.text
    assert "severity: negligible, action: pass}\n  stain" in refused.text
    assert (done.status_code, unsaid.status_code) == (303, 200)


@pytest.mark.asyncio
async def test_who_may_change_nothing_sees_the_text(bench: Bench) -> None:
    async with bench.client("operator") as client:
        page = await client.get("/policies/tile", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "data-policy-editor" not in page.text
    assert "looked at by everybody" in page.text


@pytest.mark.asyncio
async def test_a_product_with_a_slash_has_a_page_and_routes(bench: Bench) -> None:
    name, key = "AB/12 ö", "ab-12-o--db51c3d6e6300ad0"
    text = TEXT.replace("product: tile", f"product: {name}")
    said = {"replaces": None, "by": "setup", "reason": "first", "softens": False}
    await bench.line.put(policy(text), source=text, deed=DEED, **said)
    async with bench.client("engineer") as client:
        overview = await client.get("/policies", headers={"Accept": "text/html"})
        assert f'href="/policies/{key}"' in overview.text
        page = await client.get(f"/policies/{key}", headers={"Accept": "text/html"})
        assert f"<h1>{name}</h1>" in page.text
        assert f'action="/policies/{key}"' in page.text
        assert (await client.get(f"/api/policies/{key}")).json()["product"] == name
        form = {"text": text.replace("hold", "scrap"), "replaces": policy(text).policy_hash}
        done = await client.post(f"/policies/{key}", data={**form, "reason": "because"})
        assert done.headers["location"] == f"/policies/{key}?done=in_force"
        assert (await client.get("/api/policies/tile")).json()["key"] == "tile"
        assert (await client.get("/api/policies/nothing--0123456789abcdef")).status_code == 404
