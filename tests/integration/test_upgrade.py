"""A line is upgraded while it runs, role by role: the released version beside this one."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.stack.local import LocalStack, StackPorts
from lab.datasets.textile import textile_dataset
from lab.harness.line import READY_TIMEOUT_S, ROLES, LineOptions, SimulatedLine, TriggerCount
from lab.harness.plan import cycle, make_plan
from lab.harness.processes import RoleProcess
from lab.harness.settle import settle
from lab.plc.ledger import read_ledger
from policies.authoring.loading import load_policy
from serving.ray.deploy import deploy
from streams.codes import DecisionSource
from tests.integration.conftest import DEPLOY_TIMEOUT_S, TRAIN, Plant, tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
RELEASE = "v0.2.0"
"""The version before: one apart is what may run side by side."""
PARTS = 200


PREPARE = """
import asyncio, sys
from pathlib import Path
from andon.settings import load_settings
from andon.stack.prepare import prepare
from policies.authoring.loading import load_policy
asyncio.run(prepare(load_settings(), [load_policy(Path(sys.argv[1]))], "test"))
"""
"""Topics, schema, bucket and policy in force, by the code that runs it."""


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the released version: its ``source`` and the modules of its ``wheel``."""
    folder = tmp_path_factory.mktemp("released")
    take = ["git", "-C", str(ROOT), "archive", "-o", str(folder / "source.tar"), RELEASE]
    if subprocess.run(take, capture_output=True).returncode:
        pytest.skip(f"this clone has no tag {RELEASE}: git fetch --tags")
    shutil.unpack_archive(folder / "source.tar", folder / "source")
    uv = shutil.which("uv", path=f"{os.environ['PATH']}{os.pathsep}{sys.prefix}-tools/bin")
    if uv is None:
        pytest.skip("uv is not installed; infra/setup.sh fetches it")
    build = [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(folder / "source")]
    built = subprocess.run(build, capture_output=True, text=True)
    if built.returncode:
        pytest.skip(f"the released wheel cannot be built here: {built.stderr[-300:]}")
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "wheel")
    return folder


def by(released: Path) -> dict[str, str]:
    """The environment in which Python imports Andon from the released wheel."""
    return {"PYTHONPATH": str(released / "wheel"), "PYTHONSAFEPATH": "1"}


@pytest.fixture
def plant(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """What the released version left: its topics, schema and policy. Serve is upgraded already."""
    folder = tmp_path_factory.mktemp("plant")
    file = released / "source/policies/products/textile.yaml"
    policy = load_policy(ROOT / "policies/products/textile.yaml")
    images = textile_dataset()
    classes = set(policy.document.classes)
    plan = make_plan(policy.product_id, images.train[:TRAIN], images.test, classes, None)
    config = tiny(plan, folder)
    stack = LocalStack(folder / "stack", StackPorts.free())
    stack.start()
    try:
        environment = os.environ | stack.environment() | by(released)
        prepare = [sys.executable, "-c", PREPARE, str(file)]
        done = subprocess.run(prepare, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        serve = stack.settings().serve
        deploy(config, serve.address, DEPLOY_TIMEOUT_S, serve.token_file)
        yield Plant(stack, plan, policy)
    finally:
        stack.stop()


def role_of(line: SimulatedLine, name: str, version: str, code: dict[str, str]) -> RoleProcess:
    """A process of the line; ``code`` says whose modules it imports."""
    words = ["gateway"] if name == "gateway" else ["worker", name]
    own = {"ANDON_WORKER__INSTANCE": f"{name}-{version}"} | code
    return RoleProcess(f"{name}-{version}", words, line.folder, line.environment | own)


@pytest.fixture(params=[RELEASE])
def line(
    plant: Plant, scratch: Path, released: Path, request: pytest.FixtureRequest
) -> Iterator[SimulatedLine]:
    """A line whose every process is of one version: the released one, or this one."""
    options = LineOptions(takt_s=0.5, window_s=3.0)
    running = plant.line(scratch, cycle(plant.plan, PARTS), options)
    running.write_plan()
    code = by(released) if request.param == RELEASE else {}
    try:
        for name in (*ROLES, "gateway"):
            running.roles[name] = role_of(running, name, request.param, code)
        for name in ROLES:
            running.roles[name].wait_ready(READY_TIMEOUT_S)
        running.start_plc()
        yield running
    finally:
        running.stop()


def wait_parts(line: SimulatedLine, parts: int) -> None:
    """Until the controller has triggered so many parts."""
    done, deadline = TriggerCount(line.ledger), time.monotonic() + 180
    while done.count() < parts:
        assert time.monotonic() < deadline, f"{done.count()} parts of {parts}"
        assert line.plc_runs
        time.sleep(0.1)


def test_a_line_is_upgraded_role_by_role_while_it_runs(plant: Plant, line: SimulatedLine) -> None:
    for number, name in enumerate(ROLES[::-1], 1):
        wait_parts(line, number * 40)
        before, new = line.roles[name], role_of(line, name, "new", {})
        line.roles[f"{name}-new"] = new
        new.wait_ready(READY_TIMEOUT_S)
        wait_parts(line, number * 40 + 20)
        assert before.process.running, before.process.tail()
        before.stop()
    line.roles["gateway"].stop()
    line.roles["gateway"] = role_of(line, "gateway", "new", {})
    line.wait_plc()
    ledger = read_ledger(line.ledger)
    _, balance = asyncio.run(settle(plant.stack.settings(), ledger, PARTS))
    assert (balance.lost, balance.acted_twice) == ((), ())
    assert balance.decided == balance.parts == PARTS
    own = (DecisionSource.EXPERT, DecisionSource.CLASSIFIER)
    assert any(part.source in own for part in ledger[-20:]), "the new line decides by itself"


@pytest.mark.parametrize("line", ["new"], indirect=True)
def test_a_line_goes_back_one_version_but_for_record(
    plant: Plant, line: SimulatedLine, released: Path
) -> None:
    """Journal, spool and messages of this version are read by the one before. Its record does not
    know the schema of this one, and stays."""
    wait_parts(line, 40)
    line.roles["gateway"].stop()
    line.roles["gateway"] = role_of(line, "gateway", RELEASE, by(released))
    for number, name in enumerate(("inspect", "classify"), 1):
        wait_parts(line, 40 + number * 50)
        before, old = line.roles[name], role_of(line, name, RELEASE, by(released))
        line.roles[f"{name}-old"] = old
        old.wait_ready(READY_TIMEOUT_S)
        before.stop()
    line.wait_plc()
    _, balance = asyncio.run(settle(plant.stack.settings(), read_ledger(line.ledger), PARTS))
    assert (balance.lost, balance.acted_twice) == ((), ())
    assert balance.decided == balance.parts == PARTS
