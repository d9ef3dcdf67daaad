"""Two workers of a role on Apache Kafka: both get to work, and one that was killed comes back."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from andon.processes.instance import workers_here
from infra.stack.kafka_local import start_kafka
from infra.stack.process import free_port
from streams.kafka.connection import KafkaConnection
from streams.kafka.groups import count_members
from tests.infra.needs import need_kafka
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@contextmanager
def worker(servers: str, state: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "ANDON_KAFKA__BOOTSTRAP_SERVERS": servers,
        "ANDON_PATHS__STATE": str(state),
        "ANDON_SERVE__INGRESS": f"127.0.0.1:{free_port()}",
        **settings,
    }
    command = [sys.executable, "-m", "andon", "worker", "inspect"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def at_work(state: Path) -> int:
    here = workers_here(state)
    return here["inspect"].at_work if "inspect" in here else 0


@pytest.mark.asyncio
async def test_both_get_to_work_and_a_killed_one_comes_back(tmp_path: Path) -> None:
    need_kafka()
    state = tmp_path / "state"
    with start_kafka(tmp_path / "kafka") as kafka:
        servers = kafka.bootstrap_servers
        with worker(servers, state):
            await until(lambda: at_work(state) == 1, 120)
            with worker(servers, state) as second:
                await until(lambda: at_work(state) == 2, 120)
                counted = await count_members(KafkaConnection(servers))
                assert counted is not None
                assert (counted["inspect"], counted["classify"]) == (2, 0)
                second.kill()
                await asyncio.to_thread(second.wait)
                assert at_work(state) == 1
            with worker(servers, state):
                await until(lambda: at_work(state) == 2, 120)


def test_a_name_that_is_taken_ends_the_second_with_its_setting(tmp_path: Path) -> None:
    own = {"ANDON_WORKER__INSTANCE": "left"}
    nowhere = f"127.0.0.1:{free_port()}"
    with worker(nowhere, tmp_path, **own) as first:
        while not workers_here(tmp_path):  # it holds its name before it looks for the broker
            assert first.poll() is None
        with worker(nowhere, tmp_path, **own) as second:
            _, said = second.communicate(timeout=120)
            assert second.returncode == 1
            assert b"ANDON_WORKER__INSTANCE: another `andon worker inspect`" in said
