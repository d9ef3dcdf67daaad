"""Changes of the recipe as one story each: how they ended, and how long each stage took."""

import asyncio
import json
from datetime import timedelta
from uuid import UUID

import pytest
from typer.testing import CliRunner

from andon.__main__ import app
from andon.settings import load_settings
from history.changeovers import ChangeoverEnd, ChangeoverRecord, RecordedStep, to_changeovers
from history.queries import History
from history.writer import PostgresHistoryWriter
from streams.changeovers import ChangeoverPhase, ChangeoverStep, step_id
from streams.codes import FaultCode, Stage
from tests.history import make


def step(
    number: int,
    phase: str,
    after_ms: float,
    stage: Stage = Stage.GATEWAY,
    code: FaultCode = FaultCode.NONE,
    **changes: object,
) -> ChangeoverStep:
    """A step ``after_ms`` after the request of the change-over; each begins a minute later."""
    began = make.START + timedelta(minutes=number)
    identity, named = UUID(int=number), ChangeoverPhase(phase)
    fields = {
        "step_id": step_id(identity, stage, named),
        "changeover_id": identity,
        "phase": named,
        "stage": stage,
        "line": "line-1",
        "station": "station-1",
        "recipe": number,
        "recipe_name": f"recipe {number}",
        "recipe_before": number - 1,
        "product_id": "tile",
        "fault_code": code,
        "reason": code.name if code else "",
        "deadline": began + timedelta(seconds=30),
        "at": began + timedelta(milliseconds=after_ms),
        "took_ms": after_ms,
        **changes,
    }
    return ChangeoverStep.model_validate(fields)


WHOLE = [
    step(1, "requested", 12),
    step(1, "prepared", 52, Stage.INSPECT, policy_hash="p1", expert_version="e1"),
    step(1, "prepared", 60),
    step(1, "acknowledged", 300),
]
OTHERS = [
    step(2, "requested", 5),
    step(2, "refused", 45, Stage.INSPECT, FaultCode.RECIPE_EXPERT),
    step(2, "refused", 50, code=FaultCode.RECIPE_EXPERT),
    step(3, "requested", 5),
    step(3, "refused", 20, reason="another one was asked for"),
    step(4, "refused", 0, code=FaultCode.UNKNOWN_RECIPE),
    step(5, "requested", 5),
    step(6, "requested", 5, line="line-2"),
]


@pytest.mark.asyncio
async def test_each_change_over_is_one_story_with_its_time_by_stage(
    writer: PostgresHistoryWriter, history: History
) -> None:
    await writer.add_changeovers(list(reversed([*WHOLE, *OTHERS])))
    found = {one.recipe: one for one in await history.changeovers("line-1")}
    assert [(n, one.ended.value, one.fault, one.took_ms) for n, one in found.items()] == [
        (5, "open", "NONE", None),
        (4, "refused", "UNKNOWN_RECIPE", 0.0),
        (3, "superseded", "NONE", 20.0),
        (2, "refused", "RECIPE_EXPERT", 50.0),
        (1, "acknowledged", "NONE", 300.0),
    ]
    whole = found[1]
    assert (whole.recipe_before, whole.recipe_name, whole.product_id) == (0, "recipe 1", "tile")
    assert (whole.policy_hash, whole.expert_version) == ("p1", "e1")
    assert whole.requested_at == make.START + timedelta(minutes=1)
    assert whole.ended_at == whole.requested_at + timedelta(milliseconds=300)
    stages = {n: [(s.stage, s.took_ms) for s in one.stages] for n, one in found.items()}
    assert stages[1] == [("exposure", 12.0), ("inspect", 40.0), ("camera", 8.0), ("drain", 240.0)]
    assert stages[2] == [("exposure", 5.0), ("inspect", 40.0)]
    assert stages[4] == []


@pytest.mark.asyncio
async def test_change_overs_are_chosen_by_place_and_time(
    writer: PostgresHistoryWriter, history: History
) -> None:
    await writer.add_changeovers([*WHOLE, *OTHERS])

    def numbers(found: tuple[ChangeoverRecord, ...]) -> list[int]:
        return [one.recipe for one in found]

    third = make.START + timedelta(minutes=3)
    assert numbers(await history.changeovers()) == [6, 5, 4, 3, 2, 1]
    assert numbers(await history.changeovers(line="line-2")) == [6]
    assert numbers(await history.changeovers(station="another")) == []
    assert numbers(await history.changeovers(limit=2)) == [6, 5]
    assert numbers(await history.changeovers(line="line-1", since=third)) == [5, 4, 3]
    assert numbers(await history.changeovers(line="line-1", until=third)) == [2, 1]


def test_a_code_of_a_newer_version_is_told_as_its_number() -> None:
    event = step(2, "refused", 5, code=FaultCode.RECIPE_EXPERT).model_dump(mode="json")
    known = {name: event[name] for name in RecordedStep.model_fields} | {"fault_code": 99}
    (found,) = to_changeovers([RecordedStep.model_validate(known)])
    assert (found.ended, found.fault) == (ChangeoverEnd.REFUSED, "99")


@pytest.mark.asyncio
async def test_the_command_prints_a_table_and_json(
    url: str, writer: PostgresHistoryWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    await writer.add_changeovers(WHOLE)
    await writer.add_changeovers([step(2, "refused", 5, code=FaultCode.RECIPE_EXPERT)])
    monkeypatch.setenv("ANDON_POSTGRES__URL", url)
    load_settings.cache_clear()

    async def run(*words: str) -> tuple[int, str]:
        asked = ["history", "changeovers", *words]
        found = await asyncio.to_thread(CliRunner().invoke, app, asked)
        return found.exit_code, found.output

    code, shown = await run()
    assert code == 0, shown
    for words in (
        "line-1/station-1",
        "1 recipe 1",
        "acknowledged",
        "drain 240",
        "refused RECIPE_EXPERT",
    ):
        assert words in shown
    _, body = await run("--line", "line-1", "--until", "2100-01-01", "--json")
    whole = json.loads(body)[1]
    assert (whole["ended"], whole["took_ms"]) == ("acknowledged", 300.0)
    assert whole["stages"][0] == {"stage": "exposure", "took_ms": 12.0}
    assert "no change of the recipe" in (await run("--line", "x"))[1]
    assert (await run("--since", "soon"))[0] == 2
