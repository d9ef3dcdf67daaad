"""What a worker is told, from the settings."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from andon.processes.worker import READ, Started, role_config
from andon.settings import Settings, WorkerSettings
from streams.roles.config import RoleName
from tests.waiting import until

SETTINGS = Settings.model_validate(
    {
        "kafka": {"bootstrap_servers": "broker:9092", "fetch_max_wait_ms": 100},
        "worker": {"batch_wait_ms": 20, "fallback_margin_ms": 300, "in_flight_mib": 32},
        "serve": {"timeout_s": 7.0},
        "paths": {"state": "/var/lib/andon"},
    }
)


def test_units_become_seconds_and_bytes() -> None:
    config = role_config("inspect", SETTINGS)
    assert config.flow.batch_wait_s == 0.02
    assert config.flow.margin_s == 0.3
    assert config.flow.in_flight_bytes == 32 << 20
    assert config.flow.call_timeout_s == 7.0
    assert config.bus.state == Path("/var/lib/andon")
    assert config.bus.connection.bootstrap_servers == "broker:9092"


@pytest.mark.parametrize(
    ("role", "waits_ms", "for_bytes"),
    [("classify", 100, 1), ("limits", 1000, 1), ("record", 1000, 65536)],
)
def test_no_part_waits_for_what_is_only_recorded(
    role: RoleName, waits_ms: int, for_bytes: int
) -> None:
    connection = role_config(role, SETTINGS).bus.connection
    assert connection.fetch_max_wait_ms == waits_ms
    assert connection.fetch_min_bytes == for_bytes


def test_every_role_reads_something() -> None:
    assert all(READ.values())
    assert sorted(READ) == ["classify", "inspect", "join", "limits", "mqtt", "record"]


@pytest.mark.parametrize(
    ("given", "margin_s"),
    [({}, 0.1), ({"fallback_margin_ms": 600}, 0.4), ({"join_margin_ms": 120}, 0.12)],
)
def test_parts_are_joined_after_the_fallbacks(given: dict[str, int], margin_s: float) -> None:
    settings = Settings(worker=WorkerSettings(**given))
    config = role_config("join", settings)
    assert config.join.margin_s == pytest.approx(margin_s)
    assert config.join.margin_s < config.flow.margin_s


def test_a_join_before_the_fallbacks_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"200 is not less than fallback_margin_ms \(150\)"):
        WorkerSettings(join_margin_ms=200)


class Refusing:
    """An ingress that is there, and does not know the worker's token."""

    async def start(self) -> None: ...
    async def wait_connected(self, timeout_s: float) -> bool:
        return True

    async def refusal(self, timeout_s: float) -> str:
        return "Invalid authentication token"


@pytest.mark.asyncio
async def test_a_worker_whose_token_is_refused_says_so_and_is_ready_to_fall_back() -> None:
    """Parts get their fallback in time, so it works; nobody was told why before the first part."""
    started = Started(role_config("inspect", SETTINGS))
    await started.connecting(Refusing())
    with capture_logs() as logged:
        started.announce()
        await until(lambda: bool(logged), what="the refusal is said")
    await started.close()
    assert [(line["log_level"], line["error"], line["setting"]) for line in logged] == [
        ("error", "Invalid authentication token", "ANDON_SERVE__TOKEN_FILE")
    ]
