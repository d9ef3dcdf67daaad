"""Whether a server of the local stack answers: one that is frozen keeps its port open."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from infra.stack.answering import FIRST_WORDS, answers
from infra.stack.broker import start_broker
from infra.stack.postgres_local import start_postgres
from infra.stack.process import free_port, port_is_open
from infra.stack.ray_local import start_ray
from infra.stack.s3_local import start_s3
from infra.stack.server import LocalServer

STARTERS: dict[str, Callable[[Path], LocalServer]] = {
    "broker": lambda folder: start_broker(log_path=folder / "broker.log"),
    "s3": lambda folder: start_s3(folder / "s3"),
    "postgres": lambda folder: start_postgres(folder / "postgres"),
    "ray": lambda folder: start_ray(),
}


def serving(server: LocalServer) -> psutil.Process:
    """The process that answers at the port: of Ray, one that the head started."""
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    return next((p for p in family if p.name() == "gcs_server"), family[0])


@pytest.mark.parametrize(
    "component",
    ["broker", "s3", "postgres", pytest.param("ray", marks=pytest.mark.slow)],
)
def test_a_server_answers_until_it_is_frozen(component: str, tmp_path: Path) -> None:
    with STARTERS[component](tmp_path) as server:
        assert answers(component, server.port, 60)
        process = serving(server)
        process.suspend()
        try:
            assert port_is_open(server.port)
            assert not answers(component, server.port, 0.5)
        finally:
            process.resume()
        assert answers(component, server.port, 60)


def test_nobody_answers_where_nothing_listens() -> None:
    assert not answers("broker", free_port())


def test_every_component_has_a_first_word() -> None:
    assert set(FIRST_WORDS) == set(STARTERS)
