"""What the inspect role answers when a gateway asks for a recipe."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from streams.changeovers import ChangeoverPhase, ChangeoverStep
from streams.codes import FaultCode, Stage
from streams.roles.inspect import InspectRole
from streams.topics import CHANGEOVERS, DEAD
from tests.contracts.twins.policies import TwinPolicies
from tests.contracts.twins.vision_expert import TwinExpert
from tests.streams.conftest import Bench
from tests.streams.made import delivery, recipe_request

pytestmark = pytest.mark.asyncio


async def answers(
    bench: Bench, step: ChangeoverStep, expert: TwinExpert | None = None
) -> list[ChangeoverStep]:
    role = InspectRole(expert or TwinExpert(), TwinPolicies(), bench.results)
    await role.handle(delivery(step))
    return [e for e, _ in bench.publisher.of(CHANGEOVERS.name) if isinstance(e, ChangeoverStep)]


async def test_it_has_the_policy_and_the_expert_is_warm(bench: Callable[..., Bench]) -> None:
    asked, expert = recipe_request(policy_hash="policy-1", expert_version="a" * 8), TwinExpert()
    (said,) = await answers(bench(), asked, expert)
    assert (said.phase, said.stage) == (ChangeoverPhase.PREPARED, Stage.INSPECT)
    assert (said.policy_hash, said.expert_version) == ("policy-1", "a" * 64)
    assert (said.changeover_id, said.recipe) == (asked.changeover_id, asked.recipe)
    assert said.step_id != asked.step_id
    assert expert.warmed == ["tile"]


@pytest.mark.parametrize(
    ("changes", "code", "why"),
    [
        ({"policy_hash": "policy-9"}, FaultCode.RECIPE_POLICY, "policy-1"),
        ({"product_id": "cable"}, FaultCode.RECIPE_POLICY, "no policy is in force"),
        ({"expert_version": "b" * 64}, FaultCode.RECIPE_EXPERT, "OtherVersion"),
    ],
)
async def test_what_it_lacks_is_said_with_a_code(
    bench: Callable[..., Bench],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    code: FaultCode,
    why: str,
) -> None:
    monkeypatch.setattr("streams.policy_read.WAIT_S", 0.1)
    (said,) = await answers(bench(), recipe_request(**changes))
    assert (said.phase, said.fault_code) == (ChangeoverPhase.REFUSED, code)
    assert why in said.reason


async def test_a_product_that_serve_never_saw_is_said(bench: Callable[..., Bench]) -> None:
    (said,) = await answers(bench(), recipe_request(), TwinExpert(versions={}))
    assert said.fault_code == FaultCode.RECIPE_EXPERT
    assert "no expert for product 'tile'" in said.reason


async def test_an_old_request_and_an_answer_are_passed_over(bench: Callable[..., Bench]) -> None:
    b, ago = bench(), datetime.now(UTC) - timedelta(seconds=1)
    assert await answers(b, recipe_request(deadline=ago)) == []
    assert await answers(b, recipe_request(phase=ChangeoverPhase.PREPARED)) == []
    assert b.publisher.of(DEAD.name) == []
