"""What a plant installs says what the code says: names, roles, secrets, nothing open."""

import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
import yaml

from andon.settings import Settings
from andon.settings_names import nodes_of
from andon.settings_secrets import files_of
from streams.roles.config import RoleName

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
UNITS = sorted((INFRA / "systemd").glob("*.service"))
COMPOSE = INFRA / "compose" / "compose.yaml"
CHART = INFRA / "chart"
NAMED = [*UNITS, COMPOSE, INFRA / "image" / "Dockerfile", *sorted((CHART / "templates").iterdir())]


def environment_names() -> set[str]:
    known = {node.variable for node in nodes_of(Settings)}
    return known | {f"{name}_FILE" for name in known} | {"ANDON_CONFIG"}


@pytest.mark.parametrize("path", NAMED, ids=lambda path: path.name)
def test_every_setting_that_is_named_is_one(path: Path) -> None:
    named = set(re.findall(r"\bANDON_[A-Z0-9_]+", path.read_text(encoding="utf-8")))
    assert not named - environment_names()


def test_the_chart_deploys_the_same_models() -> None:
    for name in ("serve.yaml", "serve-gpu.yaml"):
        assert (CHART / "files" / name).resolve() == INFRA / name


# --- systemd ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units with a program that is there, since systemd looks for it."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    folder = tmp_path_factory.mktemp("units")
    for path in UNITS:
        text = path.read_text(encoding="utf-8").replace("/opt/andon/bin/andon", sys.executable)
        (folder / path.name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", [path.name for path in UNITS])
def test_a_unit_is_one_and_is_confined(units: Path, name: str) -> None:
    unit = str(units / name)
    verify = ["systemd-analyze", "verify", "--man=no", unit]
    found = subprocess.run(verify, capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stderr) == (0, "")
    judge = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit]
    exposed = subprocess.run(judge, capture_output=True, text=True, timeout=60)
    assert exposed.returncode == 0, exposed.stdout.splitlines()[-1]


# --- compose ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))


def test_nothing_listens_beyond_this_machine(compose: dict) -> None:
    published = [port for one in compose["services"].values() for port in one.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert compose["networks"]["line"] == {"internal": True}


def test_every_worker_is_there_and_scraped(compose: dict) -> None:
    workers = {
        name: one["command"][1]
        for name, one in compose["services"].items()
        if one.get("command", [""])[0] == "worker"
    }
    assert set(workers.values()) == set(get_args(RoleName)) - {"mqtt"}
    scrape = yaml.safe_load((INFRA / "compose/prometheus.yaml").read_text(encoding="utf-8"))
    (dns,) = scrape["scrape_configs"][0]["dns_sd_configs"]
    assert set(dns["names"]) == {*workers, "gateway", "console"}
    ports = {
        compose["services"][name]["environment"]["ANDON_WORKER__METRICS_PORT"] for name in workers
    }
    assert ports == {str(dns["port"])}
    for name in workers:  # a container that is made anew has another name than the one before
        told = compose["services"][name]["environment"]
        assert told["ANDON_KAFKA__STATIC_MEMBERSHIP"] == "false"
    console = compose["services"]["console"]["environment"]
    assert console["ANDON_CONSOLE__METRICS_PORT"] == str(dns["port"])


def test_andons_own_processes_are_confined(compose: dict) -> None:
    own = [one for one in compose["services"].values() if "andon" in one["image"]]
    assert len(own) > 7
    for one in own:
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]


def test_every_image_has_a_version(compose: dict) -> None:
    for one in compose["services"].values():
        tag = one["image"].rpartition(":")[2].rstrip("}")
        assert tag not in ("", "latest"), one["image"]


def test_the_secrets_are_made_once(compose: dict, tmp_path: Path) -> None:
    script = ["sh", str(INFRA / "compose/secrets.sh"), str(tmp_path / "secrets")]
    subprocess.run(script, check=True, capture_output=True, timeout=60)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert made.keys() == compose["secrets"].keys()
    assert made["postgres_password"] in made["postgres_url"]
    assert len({made["postgres_password"], made["s3_secret_key"], made["ray_token"]}) == 3
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    subprocess.run(script, check=True, capture_output=True, timeout=60)
    assert made == {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}


def test_a_secret_is_never_a_plain_variable(compose: dict) -> None:
    secret = {name.removesuffix("_FILE") for name in files_of(Settings)}
    assert secret
    for one in compose["services"].values():
        assert not secret & set(one.get("environment", {}))


# --- the image and the chart --------------------------------------------------------------------


def test_the_image_copies_what_is_there_and_ignores_what_is_not_for_it() -> None:
    text = (INFRA / "image/Dockerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE)
    for names in copied:
        assert all((ROOT / name).exists() for name in names.split())
    kept = (INFRA / "image/Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert kept[1] == "*"
    assert kept.index("infra/compose/secrets") > kept.index("!infra")
    assert all((ROOT / name[1:]).exists() for name in kept if name.startswith("!"))


@pytest.fixture(scope="module")
def schema() -> dict:
    return json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


def values() -> dict:
    return yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def test_the_charts_own_values_satisfy_its_schema(schema: dict) -> None:
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(values(), schema)
    assert set(values()["workers"]) == set(get_args(RoleName))


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("workers", "inspekt", {"replicas": 1, "cpu": "1", "memory": "1Gi"}),
        ("workers", "inspect", {"replicas": 1, "cpu": "1", "memory": "1 GB"}),
        ("kafka", "brokers", 1),
        ("settings", "KAFKA__USERNAME", "me"),
        ("console", "hosts", ["An don"]),
        ("s3", "bucket", "B"),
    ],
)
def test_a_mistake_in_the_values_is_refused(
    schema: dict, section: str, name: str, value: object
) -> None:
    wrong = values()
    wrong[section][name] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)


def test_a_gateways_state_is_where_image_compose_and_chart_have_a_volume() -> None:
    image = (INFRA / "image" / "Dockerfile").read_text(encoding="utf-8")
    state = re.search(r"ANDON_PATHS__STATE=(\S+)", image)
    assert state is not None
    assert f'VOLUME ["{state[1]}"]' in image
    gateway = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["gateway"]
    assert [volume.split(":")[1] for volume in gateway["volumes"]] == [state[1]]
    mounts = (CHART / "templates" / "_helpers.tpl").read_text(encoding="utf-8")
    assert f"{{name: state, mountPath: {state[1]}}}" in mounts
