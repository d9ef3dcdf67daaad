"""What a plant installs, read by the tools that it is meant for."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.infra.install_tools import CHART, VALUES, chart_with, helm, output_of, python_tools

ROOT = Path(__file__).parents[2]
KUBERNETES = "1.33"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_hadolint_finds_nothing_in_the_image() -> None:
    assert output_of(python_tools() / "hadolint", ROOT / "infra/image/Dockerfile") == ""


def test_the_composition_is_one() -> None:
    text = (ROOT / "infra/compose/compose.yaml").read_text(encoding="utf-8")
    told = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))  # merged, filled in
    read = (
        "import sys, compose_spec as c; "
        "print(*c.PyCompose.from_yaml(sys.stdin.read()).service_names())"
    )
    names = output_of(python_tools() / "python", "-c", read, text=yaml.safe_dump(told)).split()
    assert set(names) == set(told["services"])


@pytest.fixture(scope="module")
def rendered() -> list[dict]:
    assert "0 chart(s) failed" in output_of(helm(), "lint", CHART)
    return chart_with(VALUES, KUBERNETES)


def test_kubernetes_takes_what_is_rendered(rendered: list[dict], tmp_path: Path) -> None:
    own = [
        one
        for one in rendered
        if "." not in one["apiVersion"].partition("/")[0].removesuffix(".k8s.io")
    ]
    assert {one["kind"] for one in own} >= {"Deployment", "StatefulSet", "Job", "NetworkPolicy"}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump_all(own))
    output_of(python_tools() / "kubernetes-validate", "--strict", "--version", KUBERNETES, path)


@pytest.mark.shared
def test_the_operators_take_what_is_rendered(rendered: list[dict], shared: Path) -> None:
    """By the schemas of KubeRay's and Strimzi's custom resources, with unknown fields refused."""
    schemas = {}
    for path in sorted((shared / "k8s").glob("*.yaml")):
        for crd in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            for version in crd["spec"]["versions"]:
                kind = (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])
                schemas[kind] = _closed(version["schema"]["openAPIV3Schema"])
    checked = set()
    for one in rendered:
        schema = schemas.get((one["apiVersion"], one["kind"]))
        if schema is not None:
            jsonschema.Draft4Validator(schema).validate({"spec": one["spec"]})
            checked.add(one["kind"])
    assert checked == {"RayService", "Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser"}


def _closed(schema: dict) -> dict:
    """The schema with every object closed that does not say that it is open."""
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    for name in ("allOf", "anyOf", "oneOf"):
        closed |= {name: [_closed(part) for part in schema[name]]} if name in schema else {}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    if (
        isinstance(schema.get("properties"), dict)
        and schema.get("type") == "object"
        and not is_open
    ):
        closed["additionalProperties"] = False
    return closed
