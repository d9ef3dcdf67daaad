"""What an edit of a policy would do: explained on parts, back-tested, checked as it is written."""

import asyncio
from typing import Any

import httpx
import pytest

from console.policies.backtests import MOST_AT_ONCE
from console.policies.beside import Differences
from console.policies.judged import difference_of
from history.writer import PostgresHistoryWriter
from streams.codes import Action, DecisionSource
from streams.events import Decision
from tests.console.make import app_of, client_of
from tests.console.policy_bench import (
    HARDER,
    SOFTER,
    TEXT,
    Bench,
    policy,
)
from tests.history.make import classification, decision, inspection


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
