"""The composition of one machine over days: what ends is started again, what is old is removed."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE = Path(__file__).parents[2] / "infra/compose/compose.yaml"
Services = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def services() -> Services:
    found: Services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    return found


Shell = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def shell(services: Services, tmp_path: Path) -> Iterator[Shell]:
    """Runs a service's own words by a shell; programs of the image are scripts of the test."""

    begun: list[subprocess.Popen[str]] = []

    def run(name: str, **programs: str) -> "subprocess.Popen[str]":
        one = services[name]
        assert one["entrypoint"] == ["sh", "-c"]
        for program, body in programs.items():
            file = tmp_path / program
            file.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
            file.chmod(0o755)
        words = one["command"][0].replace("$$", "$").replace("/tmp/deployed", "deployed")
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        begun.append(
            subprocess.Popen(
                ["sh", "-c", words], cwd=tmp_path, env={**os.environ, "PATH": path}, text=True
            )
        )
        return begun[-1]

    yield run
    for container in begun:
        container.kill()
        container.wait(60)


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def test_a_ray_that_ends_before_its_models_are_deployed_ends_the_container(shell: Shell) -> None:
    """It is started again then; a loop that deploys on nothing would go on for ever."""
    container = shell("ray", ray="exit 1", andon="exit 1", sleep="exec /bin/sleep 0.01")
    assert container.wait(60) != 0


def test_a_ray_that_ends_later_ends_the_container_too(shell: Shell, tmp_path: Path) -> None:
    ray = "until [ -e over ]; do /bin/sleep 0.02; done; exit 7"
    andon = "[ -e tried ] || { touch tried; exit 1; }"
    container = shell("ray", ray=ray, andon=andon, sleep="exec /bin/sleep 0.01")
    until((tmp_path / "deployed").exists)
    assert container.poll() is None
    (tmp_path / "over").touch()
    assert container.wait(60) == 7


def test_pictures_whose_time_is_over_are_removed_day_by_day(
    services: Services, shell: Shell, tmp_path: Path
) -> None:
    """As the timer of systemd and the chart's job do; where a store is away, it is tried again."""
    log = tmp_path / "log"
    andon = f'echo "$@" >>{log}; [ "$(wc -l <{log})" != 1 ]'
    shell("retain", andon=andon, sleep=f'echo "$1" >>{log}; exec /bin/sleep 0.01')
    until(lambda: log.exists() and len(log.read_text().splitlines()) >= 6)
    retain = "history retain --json"
    assert log.read_text().splitlines()[:5] == [retain, "600", retain, "86400", retain]
    assert "postgres_url" in services["retain"]["secrets"]


def test_whoever_waits_for_all_waits_until_each_answers(services: Services) -> None:
    """`up --wait` waits for a health check where there is one, and else only for the start."""
    asked = {name for name, one in services.items() if "healthcheck" in one}
    assert services.keys() - asked == {"prepare", "retain", "backup"}
    database = services["postgres"]["healthcheck"]["test"]
    assert "--host=127.0.0.1" in database, "the server that initdb's image makes has no TCP"


def test_what_writes_to_disk_is_given_time_to_end(services: Services) -> None:
    for name in ("kafka", "postgres", "record", "gateway"):
        assert int(services[name]["stop_grace_period"].rstrip("s")) >= 20, name


def test_the_history_can_be_backed_up_where_its_database_is_reached(services: Services) -> None:
    """No other machine is in that network, and the image has PostgreSQL's tools by an extra."""
    one = services["backup"]
    assert one["command"][:2] == ["history", "backup"]
    (mount,) = one["volumes"]
    assert one["command"][2].startswith(mount.rpartition(":")[2] + "/"), "user 10001 owns it"
    assert one["networks"] == services["postgres"]["networks"]
    assert {"postgres_url", "s3_secret_key"} <= set(one["secrets"])
    image = (COMPOSE.parents[1] / "image/Dockerfile").read_text(encoding="utf-8")
    assert "--extra backup" in image
