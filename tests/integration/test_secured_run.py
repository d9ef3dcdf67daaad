"""A whole secured line: no socket serves a stranger, and no secret is written anywhere.

The line is that of ``make demo`` with ``ANDON_SECURE=1``, with models that need no training.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from lab.demo.report import write_report
from lab.demo.run import severities
from lab.demo.summary import summarise, tell
from lab.harness.balance import Balance
from lab.harness.line import LineOptions, SimulatedLine
from lab.harness.plan import cycle
from lab.harness.settle import run_seconds, settle
from lab.plc.ledger import read_ledger
from streams.principals import Role
from tests.infra.needs import need_kafka
from tests.integration.conftest import ROOT, Plant, start_plant, tiny
from tests.integration.leaks import leaks, secrets_of
from tests.integration.namespace import NetworkNamespace
from tests.integration.sockets import Listening, listening, processes_with, served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
MARK = "ANDON_TEST_RUN"
PARTS = 16
POLICY = ROOT / "policies" / "products" / "textile.yaml"
COMMANDS: Mapping[str, Role] = {
    "doctor kafka postgres s3 serve policies workers exposure": Role.ADMIN,
    "topics acl --check": Role.ADMIN,
    "topics check": Role.ADMIN,
    "doctor s3 state": Role.GATEWAY,
    "policy key show": Role.PROCESS,
    f"policy apply {POLICY} --yes --skip-backtest --reason again --json": Role.PROCESS,
    "policy log": Role.PROCESS,
    "history list": Role.PROCESS,
    "history check": Role.PROCESS,
    "history stats --since 30d": Role.PROCESS,
}
"""What people run beside the line, with the credentials of whom."""
MISTAKEN = "doctor postgres"
"""With the address of a database that is not there, and a password in it."""
ROLES = ("inspect", "classify", "record", "limits")


@dataclass
class SecuredRun:
    """What was seen while the line played."""

    plant: Plant
    folder: Path
    line: SimulatedLine
    sockets: list[Listening] = field(default_factory=list)
    served: dict[str, dict[str, str]] = field(default_factory=dict)
    beyond: dict[int, dict[str, str]] = field(default_factory=dict)
    """What a socket did for a client in another network namespace; refused ones are empty."""
    no_namespace: str = ""
    """Why there was no other network namespace."""
    ran: Path = Path()
    said: list[str] = field(default_factory=list)
    """Command lines of the run's processes, and what commands printed."""
    balance: Balance | None = None
    codes: dict[str, int] = field(default_factory=dict)
    """Exit code of each command that was run."""

    def look(self, mark: str) -> None:
        """List and try every socket while all processes run."""
        for process in processes_with(MARK, mark):
            self.sockets += listening(process)
            try:
                self.said.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        for one in self.sockets:
            host = "::1" if one.host == "::1" else "127.0.0.1"
            self.served[str(one)] = served(one.port, self.ran, host)
        ports = sorted({one.port for one in self.sockets})
        try:
            with NetworkNamespace() as namespace:
                self.beyond = namespace.served(self.ran, ports)
        except (OSError, subprocess.SubprocessError) as error:
            self.no_namespace = f"no network namespace here: {error}"

    def ask(self, words: str, role: Role = Role.ADMIN, **more: str) -> None:
        """Run a command with a role's credentials, and keep what it says."""
        command = [sys.executable, "-m", "andon", *words.split()]
        environment = {**os.environ, **self.line.environment_of(role), **more}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=180, check=False
        )
        self.said.append(done.stdout + done.stderr)
        self.codes[words] = done.returncode

    def play(self, mark: str) -> None:
        self.line.start(ROLES)
        self.line.start_plc()
        looked = False

        def on_part(done: int) -> None:
            nonlocal looked
            if done and not looked:
                looked = True
                self.look(mark)

        self.line.wait_plc(on_part)
        ledger = read_ledger(self.line.ledger)
        settings = self.plant.stack.settings()
        kafka, self.balance = asyncio.run(settle(settings, ledger, PARTS))
        stories = tell(self.line.plan, severities(self.plant.policy), ledger, kafka, self.balance)
        extra = {
            "product": self.line.plan.product,
            "expert": "tiny",
            "policy": self.plant.policy.policy_hash,
            "dead_letters": kafka.dead_letters,
            "alerts": [],
        }
        run_s = run_seconds(self.line.ledger)
        summary = summarise(self.balance, stories, run_s, extra)
        write_report(self.folder / "report.html", summary, stories, "a secured line")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredRun]:
    need_kafka()
    folder, mark = tmp_path_factory.mktemp("secured"), uuid.uuid4().hex
    os.environ[MARK] = mark
    plant = start_plant(folder, models=tiny, secure=True)
    # a long takt: every part waits for as long as its sockets are looked at
    line = plant.line(folder / "line", cycle(plant.plan, PARTS), LineOptions(0.5, 10.0))
    made = SecuredRun(plant, folder, line, ran=folder / "ran")
    try:
        made.play(mark)
        for words, role in COMMANDS.items():
            made.ask(words, role)
        made.ask(MISTAKEN, ANDON_POSTGRES__URL=_mistaken(plant))
        if plant.stack.ray_logs is not None:
            shutil.copytree(plant.stack.ray_logs, folder / "ray", symlinks=True)
        yield made
    finally:
        del os.environ[MARK]
        line.stop()
        plant.stack.stop()


def _mistaken(plant: Plant) -> str:
    """The address of a database that does not answer, with a password in it."""
    url = plant.stack.settings(Role.RECORD).postgres.url.get_secret_value()
    return url.replace("127.0.0.1", "127.0.0.2")


def test_nothing_is_lost_with_security_on(run: SecuredRun) -> None:
    assert run.balance is not None
    assert run.balance.balanced, run.balance
    assert len(read_ledger(run.line.ledger)) == PARTS


def test_no_socket_serves_a_client_without_a_credential(run: SecuredRun) -> None:
    names = {one.process for one in run.sockets}
    assert len(run.sockets) > 12, "a line listens on more"
    for expected in ("postgres", "java", "gcs_server", "raylet"):
        assert any(expected in name for name in names), f"{expected} is not among {names}"
    plc = run.line.plc_port
    assert plc in {one.port for one in run.sockets}, "the controller listened, and was not seen"
    open_to_all = {one: what for one, what in run.served.items() if what}
    assert not open_to_all
    assert not run.ran.exists(), "a replica ran a stranger's command"


def test_no_socket_serves_another_network_namespace(run: SecuredRun) -> None:
    if run.no_namespace:
        pytest.skip(run.no_namespace)
    reached = {one.port for one in run.sockets if not one.is_on_loopback}
    assert reached, "Serve's replicas listen on every interface: this test must reach them"
    assert set(run.beyond) == reached, "what is on loopback must not be reached"
    assert not {port: what for port, what in run.beyond.items() if what}


def test_no_secret_is_written_or_said(run: SecuredRun) -> None:
    secrets = secrets_of(run.plant.stack)
    assert len(secrets) > 2 * len(Role)
    found = leaks(run.folder, secrets)
    assert not found
    said = "\n".join(run.said)
    assert len(said) > 1000
    assert not {name for name, secret in secrets.items() if secret in said}


def test_people_do_their_work_with_the_rights_of_their_role(run: SecuredRun) -> None:
    failed = {words: code for words, code in run.codes.items() if code}
    assert set(failed) == {MISTAKEN}, run.said
