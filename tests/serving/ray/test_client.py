"""The workers' client and the ingress, without Ray."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import grpc
import grpc.aio
import pytest

from infra.stack.process import free_port
from serving.errors import ServeConfigError
from serving.ray.client import CALL_BYTES, ServeClassifier, ServeVisionExpert
from serving.ray.replicas import STATUS, ServeReplicas
from serving.ray.wire import SCORE, SERVICE, pack_inspections, unpack_images
from streams.codes import ReasonCode
from streams.errors import UnavailableError
from streams.events import Inspection
from streams.ports import Failure, InspectionRequest
from tests.serving.ray.local import served

ANSWER = Inspection(score=1, threshold=2, p_value=0.5, anomalous=False, expert_version="v")


@dataclass
class Actor:
    """Answers every image, ``hang`` excepted; ``break`` raises, ``short`` forgets one."""

    calls: list[int] = field(default_factory=list)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def score_many(self, body: bytes, timeout_s: float) -> bytes:
        items = unpack_images(body)
        self.calls.append(len(items))
        if items[0].product == "hang":
            try:
                self.hanging.set()
                await asyncio.sleep(60)
            finally:
                self.ended.set()
        if items[0].product == "break":
            raise RuntimeError("the replica broke")
        return pack_inspections([ANSWER] * (len(items) - (items[0].product == "short")))


def asked(*products: str, image: bytes = b"x") -> list[InspectionRequest]:
    return [InspectionRequest(uuid4(), product, image) for product in products]


@asynccontextmanager
async def expert_over(actor: Actor) -> AsyncIterator[ServeVisionExpert]:
    """A started client of ``actor``."""
    async with served(actor) as address:
        expert = ServeVisionExpert(address)
        await expert.start()
        try:
            yield expert
        finally:
            await expert.close()


def test_a_worker_imports_the_client_and_no_ray() -> None:
    check = "import sys, serving.ray.client; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=60, check=False).returncode == 0


@pytest.mark.asyncio
async def test_large_lists_go_in_several_calls_and_keep_their_order() -> None:
    actor = Actor()
    async with expert_over(actor) as expert:
        assert await expert.wait_connected(10)
        answers = await expert.inspect(asked(*["tile"] * 5, image=b"x" * (CALL_BYTES // 2)), 30)
        assert answers == [ANSWER] * 5
        assert sorted(actor.calls) == [1, 2, 2]
        assert await expert.inspect([], 1) == []


@pytest.mark.asyncio
async def test_what_goes_wrong_behind_the_ingress_is_a_failure_that_may_be_asked_again() -> None:
    actor = Actor()
    async with expert_over(actor) as expert:
        for product, kind, words in (
            ("break", "UNAVAILABLE", "RuntimeError: the replica broke"),
            ("short", "WrongAnswer", "1 answers to 2 requests"),
        ):
            one, other = await expert.inspect(asked(product, product), 10)
            assert one == other
            assert isinstance(one, Failure)
            assert (one.error_type, one.reason_code) == (kind, ReasonCode.EXPERT_UNAVAILABLE)
            assert one.retryable
            assert one.message == words


@pytest.mark.asyncio
async def test_a_call_ends_with_its_time_here_and_in_the_replica() -> None:
    actor = Actor()
    async with expert_over(actor) as expert:
        (late,) = await expert.inspect(asked("hang"), 0.2)
        assert isinstance(late, Failure)
        assert late.error_type == "DEADLINE_EXCEEDED"
        async with asyncio.timeout(10):
            await actor.ended.wait()


@pytest.mark.asyncio
async def test_a_cancelled_caller_is_cancelled_and_a_closed_client_fails_its_calls() -> None:
    actor = Actor()
    async with expert_over(actor) as expert:
        given_up = asyncio.create_task(expert.inspect(asked("hang"), 60))
        await actor.hanging.wait()
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        actor.hanging.clear()
        under_way = asyncio.create_task(expert.inspect(asked("hang"), 60))
        await actor.hanging.wait()
        await expert.close()
        for answers in (await under_way, await expert.inspect(asked("tile"), 60)):
            assert [a.error_type for a in answers if isinstance(a, Failure)] == ["CANCELLED"]


@pytest.mark.asyncio
async def test_a_token_that_the_ingress_refuses_is_told_before_the_first_part(
    tmp_path: Path,
) -> None:
    async def look(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        if dict(context.invocation_metadata() or ()).get("authorization") != "Bearer right":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "Invalid authentication token")
        return b"{}"

    server = grpc.aio.server()
    handlers = {STATUS: grpc.unary_unary_rpc_method_handler(look)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    found = list[str]()
    for name, token in (("right", "right"), ("wrong", "wrong"), ("absent", None)):
        file = tmp_path / name
        if token is not None:
            file.write_text(token)
        expert = ServeVisionExpert(address, file)
        await expert.start()
        found.append(await expert.refusal(10))
        await expert.close()
        if not found[-1]:
            continue
        replicas = ServeReplicas(address, file)
        with pytest.raises(UnavailableError) as asked:
            await replicas.look(10)
        await replicas.close()
        assert found[-1] in str(asked.value), "who deploys and puts in force is told the same"
    await server.stop(None)
    right, wrong, absent = found
    assert right == ""
    assert f"Invalid authentication token (the token in {tmp_path / 'wrong'}; " in wrong
    assert f"no token was sent: there is no {tmp_path / 'absent'}" in absent
    assert "ANDON_SERVE__TOKEN_FILE" in absent


@pytest.mark.asyncio
async def test_without_a_cluster_calls_fail_when_their_time_is_up_and_nothing_is_raised() -> None:
    expert = ServeVisionExpert(f"127.0.0.1:{free_port()}")
    assert not await expert.wait_connected(0.01)
    assert await expert.refusal(1) == "", "who is away refuses nothing"
    (unstarted,) = await expert.inspect(asked("tile"), 1)
    assert isinstance(unstarted, Failure)
    await expert.start()
    assert not await expert.wait_connected(0.1)
    answers = await expert.inspect(asked("tile", "tile"), 0.3)
    failures = [a for a in answers if isinstance(a, Failure)]
    assert [f.error_type for f in failures] == ["UNAVAILABLE"] * 2
    assert "no connection to Serve's ingress at 127.0.0.1:" in failures[0].message
    assert failures[0].retryable
    await expert.close()


@pytest.mark.asyncio
async def test_an_ingress_beyond_this_host_needs_a_token() -> None:
    with pytest.raises(ServeConfigError, match="RAY_AUTH_MODE=token"):
        async with served(Actor(), host="0.0.0.0"):
            pass


@pytest.mark.asyncio
async def test_a_call_without_a_deadline_and_a_classifier_that_is_not_there_are_refused() -> None:
    async with served(Actor()) as address:
        async with grpc.aio.insecure_channel(address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary(f"/{SERVICE}/{SCORE}")(b"")
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert ServeClassifier.method != SCORE
        async with grpc.aio.insecure_channel(address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as absent:
                await channel.unary_unary(f"/{SERVICE}/{ServeClassifier.method}")(b"", timeout=5)
        assert absent.value.code() is grpc.StatusCode.UNIMPLEMENTED
