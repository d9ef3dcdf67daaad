"""What Helm makes of the chart: who is confined, who is given which secret, who may call whom."""

from typing import Any

import pytest

from tests.infra.install_tools import CHART, VALUES, chart_with

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
Rows = list[dict[str, Any]]
DATABASE, STORE, SERVE = "ANDON_POSTGRES__URL", "ANDON_S3__SECRET_KEY", "ANDON_SERVE__TOKEN_FILE"
SECRETS_OF = {
    "gateway-l1-s1": {STORE},
    "inspect": {STORE, SERVE},
    "classify": {STORE, SERVE},
    "record": {DATABASE, STORE},
    "limits": set(),
    "join": set(),
    "console": {DATABASE, STORE, SERVE},
    "migrate": {DATABASE},
    "retain": {DATABASE, STORE},
    "serve": {STORE, SERVE},
}
"""Component -> what it is told of; nobody else needs it."""


@pytest.fixture(scope="module")
def rendered() -> Rows:
    return chart_with(VALUES)


def of_kind(rows: Rows, kind: str) -> Rows:
    return [one for one in rows if one["kind"] == kind]


def pods(rows: Rows) -> list[tuple[str, dict[str, Any]]]:
    """The component and the specification of every pod of Andon's own."""
    templates = []
    for one in rows:
        spec = one.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "spec" in spec.get("template", {}):
            templates.append(spec["template"])
    (serve,) = (one["spec"]["rayClusterConfig"] for one in of_kind(rows, "RayService"))
    templates += [serve["headGroupSpec"]["template"]]
    templates += [group["template"] for group in serve["workerGroupSpecs"]]
    return [
        (template["metadata"]["labels"]["app.kubernetes.io/component"], template["spec"])
        for template in templates
    ]


def policy(rows: Rows, name: str) -> dict[str, Any]:
    (found,) = (one for one in of_kind(rows, "NetworkPolicy") if one["metadata"]["name"] == name)
    spec: dict[str, Any] = found["spec"]
    return spec


def ports(rules: Rows) -> set[int]:
    return {one["port"] for rule in rules for one in rule.get("ports", [])}


def test_every_pod_is_confined(rendered: Rows) -> None:
    found = pods(rendered)
    assert {component for component, _ in found} == SECRETS_OF.keys()
    for _, pod in found:
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_nobody_has_a_secret_that_he_does_not_need(rendered: Rows) -> None:
    for component, pod in pods(rendered):
        (container,) = pod["containers"]
        named = {row["name"] for row in container["env"]}
        assert named & {DATABASE, STORE, SERVE} == SECRETS_OF[component], component


def test_a_role_may_have_a_login_of_its_own() -> None:
    postgres = {
        "urlSecret": {"name": "andon-postgres", "key": "url"},
        "keys": {"record": "record-url"},
    }
    keys = {}
    for component, pod in pods(chart_with({**VALUES, "postgres": postgres})):
        for row in pod["containers"][0]["env"]:
            if row["name"] == DATABASE:
                keys[component] = row["valueFrom"]["secretKeyRef"]["key"]
    assert keys == {"record": "record-url", "console": "url", "migrate": "url", "retain": "url"}


def test_what_works_for_long_is_looked_after(rendered: Rows) -> None:
    """Probes; a budget for whatever has several pods; the service that a StatefulSet names."""
    several = {}
    for one in [*of_kind(rendered, "Deployment"), *of_kind(rendered, "StatefulSet")]:
        (container,) = one["spec"]["template"]["spec"]["containers"]
        assert {"readinessProbe", "livenessProbe"} <= container.keys()
        several[one["metadata"]["name"]] = one["spec"]["replicas"] > 1
    budgets = {one["metadata"]["name"] for one in of_kind(rendered, "PodDisruptionBudget")}
    assert budgets == {name for name, is_so in several.items() if is_so} | {"line-models"}
    services = {one["metadata"]["name"] for one in of_kind(rendered, "Service")}
    assert {one["spec"]["serviceName"] for one in of_kind(rendered, "StatefulSet")} <= services


def test_the_policies_name_the_ports_that_are_used(rendered: Rows) -> None:
    listening = {
        port["name"]: port["containerPort"]
        for _, pod in pods(rendered)
        for container in pod["containers"]
        for port in container.get("ports", [])
    }
    assert ports(policy(rendered, "line-metrics")["ingress"]) == {listening["metrics"]}
    assert ports(policy(rendered, "line-console")["ingress"]) == {listening["http"]}
    assert listening["ingress"] in ports(policy(rendered, "line-serve")["ingress"])
    calls = policy(rendered, "line-calls")
    assert ports(calls["egress"]) == {53, 9093, 9000, 4318, 5432, 443}
    assert policy(rendered, "line-closed") == {
        "podSelector": calls["podSelector"],
        "policyTypes": ["Ingress"],
    }
    for one in of_kind(rendered, "NetworkPolicy"):
        chosen = one["spec"]["podSelector"]["matchLabels"]
        assert chosen["app.kubernetes.io/instance"] == "line"


def test_ports_follow_from_the_values() -> None:
    other = {
        "s3": {
            "endpoint": "s3.plant",
            "secure": False,
            "keySecret": {"name": "s3", "accessKey": "a", "secretKey": "b"},
        },
        "settings": {"ANDON_MQTT__URL": "mqtts://broker.plant"},
        "networkPolicy": {"calls": [15432]},
    }
    assert ports(policy(chart_with(other), "line-calls")["egress"]) == {53, 9093, 80, 8883, 15432}


def test_brokers_are_reached_by_andon_alone_and_from_the_edge(rendered: Rows) -> None:
    (kafka,) = of_kind(rendered, "Kafka")
    inside, outside = kafka["spec"]["kafka"]["listeners"]
    (peer,) = inside["networkPolicyPeers"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "line"
    assert (outside["type"], outside["tls"]) == ("loadbalancer", True)
    assert outside["authentication"] == inside["authentication"] == {"type": "scram-sha-512"}


def test_the_schema_is_there_before_anything_needs_it(rendered: Rows) -> None:
    """A hook before the installation may only need what is there before it."""
    (job,) = of_kind(rendered, "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]["spec"]
    assert all("emptyDir" in volume for volume in pod["volumes"])
    secrets = {
        row["valueFrom"]["secretKeyRef"]["name"]
        for row in pod["containers"][0]["env"]
        if "valueFrom" in row
    }
    assert secrets == {"andon-postgres"}


@pytest.mark.parametrize(("gpus", "name"), [(0, "serve.yaml"), (1, "serve-gpu.yaml")])
def test_gpus_choose_the_models_that_use_them(gpus: int, name: str) -> None:
    workers = {"replicas": 2, "cpu": "4", "memory": "8Gi", "gpus": gpus}
    (serve,) = of_kind(chart_with({"ray": {"workers": workers}}), "RayService")
    told = (CHART.parent / name).read_text(encoding="utf-8")
    assert serve["spec"]["serveConfigV2"].strip() == told.strip()
    (group,) = serve["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits.get("nvidia.com/gpu", 0) == gpus
