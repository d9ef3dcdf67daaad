"""The units of ``infra/systemd`` started by a real systemd: ready when they say so, confined, back
after a kill, with a line that plays through them."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from infra.stack.broker import Broker
from infra.stack.postgres_local import LocalPostgres
from infra.stack.process import answers_http, free_port, port_is_open
from infra.stack.s3_local import LocalS3
from lab.plc.ledger import read_ledger
from tests.history.conftest import admin
from tests.infra.systemd_here import Machine, booted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
PARTS = 8
INSTALL = Path(__file__).parents[2] / "docs" / "install.md"
GATEWAY, RECORD = "andon-gateway@L1-S1.service", "andon-worker@record.service"
ANOTHER = "andon-worker@record-2.service"
CONSOLE, RETAIN = "andon-console.service", "andon-retain.service"


def until(state: Callable[[], bool], timeout_s: float = 240.0) -> None:
    """Return once ``state()``; fail where that does not come in time."""
    deadline = time.monotonic() + timeout_s
    while not state():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        time.sleep(0.2)


class Plant:
    """A machine whose units know a stack on loopback, with ports of their own."""

    def __init__(self, machine: Machine, shared: dict[str, str], database: dict[str, str]) -> None:
        self.machine = machine
        self.plc, self.console = free_port(), free_port()
        self.write("andon.env", shared)
        self.write("worker-record.env", database)
        self.write("worker-record-2.env", database | {"WORKER_ROLE": "record"})
        self.write("console.env", database | {"ANDON_CONSOLE__METRICS_PORT": str(self.console)})
        self.write("retain.env", database)
        own = {"LINE": "L1", "STATION": "S1", "CAMERA": "synthetic:seed=0"}
        own |= {"PLC_URL": f"opc.tcp://127.0.0.1:{self.plc}", "IS_SIMULATED": "true"}
        own |= {"RESULT_WINDOW_MS": "6000"}
        self.write("gateway-L1-S1.env", {f"ANDON_GATEWAY__{k}": v for k, v in own.items()})
        self.andon("topics", "mend")
        self.andon("history", "migrate")

    def write(self, name: str, values: dict[str, str]) -> None:
        """A file of settings, as ``install`` leaves it."""
        path = self.machine.files / "etc/andon" / name
        path.write_text("".join(f"{key}={value}\n" for key, value in values.items()))

    def andon(self, *words: str) -> None:
        """A command at a prompt of the machine, as the page on installing gives it."""
        found = re.search(r"^(systemd-run .*?) doctor$", INSTALL.read_text("utf-8"), re.M | re.S)
        assert found is not None
        self.machine.run(*found[1].replace("\\\n", " ").split(), *words)

    def start(self, *units: str) -> None:
        """Returns once systemd counts them as started: with Type=notify, when they said so."""
        self.machine.run("systemctl", "start", *units)

    def is_active(self, unit: str) -> bool:
        return self.machine.shown(unit, "ActiveState") == "active"

    def status_of(self, unit: str) -> dict[str, str]:
        """``/proc/PID/status`` of the unit's process."""
        pid = self.machine.shown(unit, "MainPID")
        text = self.machine.run("cat", f"/proc/{pid}/status").stdout
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


@pytest.fixture(scope="module")
def plant(
    tmp_path_factory: pytest.TempPathFactory, broker: Broker, postgres: LocalPostgres, s3: LocalS3
) -> Iterator[Plant]:
    database = f"units_{uuid4().hex}"
    admin(postgres, f"CREATE DATABASE {database}")
    shared = {
        "ANDON_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "ANDON_S3__ENDPOINT": s3.endpoint,
        "ANDON_S3__ACCESS_KEY": s3.access_key,
        "ANDON_S3__SECRET_KEY": s3.secret_key,
        "ANDON_S3__BUCKET": "units",
        "ANDON_LOG_JSON": "true",
    }
    with booted(tmp_path_factory.mktemp("systemd")) as machine:
        own = {"ANDON_POSTGRES__URL": f"{postgres.database_url(database)}?sslmode=disable"}
        made = Plant(machine, shared, own)
        yield made


def test_gateway_and_worker_start_confined_and_come_back(plant: Plant) -> None:
    plant.start(GATEWAY, RECORD)
    for unit in (GATEWAY, RECORD):
        assert plant.is_active(unit)
        status = plant.status_of(unit)
        user = plant.machine.run("id", "-u", "andon").stdout.strip()
        assert set(status["Uid"].split()) == {user}
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    owned = plant.machine.run("stat", "-c", "%U %a", "/var/lib/andon/gateway-L1-S1").stdout
    assert owned.split() == ["andon", "750"]
    pid = plant.machine.shown(GATEWAY, "MainPID")
    plant.machine.run("kill", "-KILL", pid)
    until(lambda: plant.machine.shown(GATEWAY, "NRestarts") == "1" and plant.is_active(GATEWAY))
    assert plant.machine.shown(GATEWAY, "MainPID") != pid


def test_a_line_plays_through_the_units(plant: Plant, tmp_path: Path) -> None:
    """Nothing scores here, so that the gateway's watchdog decides, or on a busy machine the PLC."""
    plant.start(GATEWAY, RECORD)
    ledger = tmp_path / "ledger.jsonl"
    play = [sys.executable, "-m", "andon", "plc", "simulate", "--ledger", str(ledger), "--json"]
    play += ["--parts", str(PARTS), "--takt", "3", "--window", "6"]
    play += ["--url", f"opc.tcp://127.0.0.1:{plant.plc}", "--ready-timeout", "240"]
    done = subprocess.run(play, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr + plant.machine.log()
    entries = read_ledger(ledger)
    assert len(entries) == PARTS
    assert {entry.action for entry in entries} == {"hold"}
    assert max(entry.results_in_window for entry in entries) == 1
    assert any(entry.acknowledged and entry.source == "watchdog" for entry in entries)


def test_another_worker_of_a_role_on_the_same_host(plant: Plant) -> None:
    plant.start(RECORD, ANOTHER)
    pids = {plant.machine.shown(unit, "MainPID") for unit in (RECORD, ANOTHER)}
    calls = {plant.machine.run("cat", f"/proc/{pid}/cmdline").stdout for pid in pids}
    assert len(pids) == 2
    assert all(call.endswith("worker\0record\0") for call in calls)
    assert plant.machine.run("ls", "/var/lib/andon/worker-record-2").returncode == 0
    plant.machine.run("systemctl", "stop", ANOTHER)


def test_a_command_at_a_prompt_has_the_settings_of_a_process(plant: Plant) -> None:
    plant.andon("doctor", "kafka", "postgres", "s3")
    plant.andon("history", "check")


def test_the_console_and_the_schedule_work(plant: Plant) -> None:
    plant.start(CONSOLE, RETAIN)
    until(lambda: port_is_open(plant.console))
    assert answers_http(plant.console, "/metrics")
    assert plant.machine.shown(RETAIN, "Result") == "success"
    plant.start("andon-retain.timer")
    assert plant.machine.shown("andon-retain.timer", "NextElapseUSecRealtime")


def test_they_end_when_they_are_asked_to(plant: Plant) -> None:
    plant.start(GATEWAY, RECORD)
    plant.machine.run("systemctl", "stop", GATEWAY, RECORD)
    for unit in (GATEWAY, RECORD):
        assert plant.machine.shown(unit, "ActiveState") == "inactive"
        assert plant.machine.shown(unit, "Result") == "success"
