"""What Helm makes of the chart: who is confined, who is given which secret, who may call whom."""

import json
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any, get_args

import pytest

from streams.roles.config import RoleName
from streams.topics import ALL, Wanted
from tests.infra import install_tools
from tests.infra.install_tools import CHART, VALUES, chart_with, helm

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


def test_a_secret_of_the_values_reaches_its_role_alone() -> None:
    secrets = {
        "console": {"ANDON_OIDC__CLIENT_SECRET": {"name": "oidc", "key": "secret"}},
        "serve": {"LLM_KEY": {"name": "llm", "key": "key"}},
        "admin": {"ANDON_S3__REGION": {"name": "s3", "key": "region"}},
        "gateway": {"ANDON_GATEWAY__USER_NAME": {"name": "plc", "key": "user"}},
    }
    password = {"ANDON_GATEWAY__PASSWORD": {"name": "plc", "key": "l1"}}
    gateways = [{**VALUES["gateways"][0], "secrets": password}]
    files = {"mqtt": ["broker-ca"], "serve": ["plant-ca"], "admin": ["plant-ca"]}
    mqtt = {"mqtt": {"replicas": 1, "cpu": "100m", "memory": "512Mi"}}
    rows = chart_with({"secrets": secrets, "files": files, "gateways": gateways, "workers": mqtt})
    given, folders = defaultdict(set), {}
    for component, pod in pods(rows):
        (container,) = pod["containers"]
        for row in container["env"]:
            if row.get("valueFrom", {}).get("secretKeyRef", {}).get("name") in (
                "oidc",
                "llm",
                "s3",
                "plc",
            ):
                given[component].add(row["name"])
        mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
        assert mounted.keys() == {one["name"] for one in pod["volumes"]} | (
            {"state"} & mounted.keys()
        )
        folders[component] = [path for path in mounted.values() if "files" in path]
    assert given == {
        "console": {"ANDON_OIDC__CLIENT_SECRET"},
        "serve": {"LLM_KEY"},
        "migrate": {"ANDON_S3__REGION"},
        "retain": {"ANDON_S3__REGION"},
        "gateway-l1-s1": {"ANDON_GATEWAY__USER_NAME", "ANDON_GATEWAY__PASSWORD"},
    }
    own = {component: paths for component, paths in folders.items() if paths}
    ca = ["/etc/andon/files/plant-ca"]
    assert own == {"mqtt": ["/etc/andon/files/broker-ca"], "serve": ca, "migrate": ca, "retain": ca}


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


@pytest.mark.parametrize("written", [": ", '": '])
def test_ports_of_single_sign_on_webhooks_and_language_models_follow_too(written: str) -> None:
    endpoints = f'[{{name: a, base_url{written}"http://vllm.plant:8000/v1"}}]'
    if written.startswith('"'):
        endpoints = endpoints.replace("base_url", '"base_url')
    settings = {
        "ANDON_OIDC__ISSUER": "https://keycloak.plant:8443/realms/plant",
        "ANDON_WEBHOOK__URL": "https://mes.plant:9443/andon",
        "ANDON_CLASSIFIER__ENDPOINTS": endpoints,
    }
    rows = chart_with({"settings": settings})
    called = ports(policy(rows, "line-calls")["egress"])
    assert called == {53, 9093, 9000, 5432, 443, 8443, 9443, 8000}
    assert ports(policy(chart_with({}), "line-calls")["egress"]) == {53, 9093, 9000, 5432, 443}


def test_ports_of_the_language_models_in_the_file_of_serve_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plant's own file: docs/serving.md writes endpoints there."""
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    with (chart / "files/serve.yaml").open("a", encoding="utf-8") as file:
        file.write('# - {name: llm, base_url: "http://vllm.plant:8000/v1", model: m}\n')
    monkeypatch.setattr(install_tools, "CHART", chart)
    assert 8000 in ports(policy(chart_with({}), "line-calls")["egress"])


def test_partitions_are_those_that_the_processes_want() -> None:
    """As many as lines: docs/sizing.md. A topic that is not keyed by line keeps its one."""
    rows = chart_with({"settings": {"ANDON_KAFKA__PARTITIONS": "32"}})
    asked = {
        one["metadata"]["name"]: one["spec"]["partitions"] for one in of_kind(rows, "KafkaTopic")
    }
    wanted = Wanted(partitions=32)
    assert asked == {topic.name: wanted.partitions_of(topic) for topic in ALL}


def test_a_worker_that_ends_leaves_its_partitions_at_once(rendered: Rows) -> None:
    """Its pod's name does not come back, so that a static member's session would be waited for."""
    for component, pod in pods(rendered):
        told = {row["name"]: row.get("value") for row in pod["containers"][0]["env"]}
        is_worker = component in get_args(RoleName)
        assert (told.get("ANDON_KAFKA__STATIC_MEMBERSHIP") == "false") is is_worker, component


def test_gateways_of_any_line_and_station_have_a_name_each() -> None:
    def names(*gateways: dict[str, str]) -> list[str]:
        rows = chart_with(
            {
                "gateways": [
                    {**one, "plcUrl": "opc.tcp://plc", "camera": "opencv:0"} for one in gateways
                ]
            }
        )
        return [one["metadata"]["name"] for one in of_kind(rows, "StatefulSet")]

    umlaut = {"line": "Prüflinie 1", "station": "a/b"}
    assert names({"line": "L1", "station": "S.1"}) == ["line-gateway-l1-s-1"]
    assert names({"name": "p1", **umlaut}) == ["line-gateway-p1"]
    same = {"line": "l1", "station": "S_1"}, {"line": "L1", "station": "S.1"}
    for wrong in ((umlaut,), same, ({"line": "L" * 40, "station": "S1"},)):
        with pytest.raises(AssertionError, match="give this one a name of its own"):
            names(*wrong)


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


def test_a_variable_stands_once_and_the_plant_has_the_last_word() -> None:
    """Of two of one name Kubernetes keeps neither once one is taken away, and server-side apply
    refuses them."""
    own = {"ANDON_KAFKA__REPLICATION_FACTOR": "1", "ANDON_S3__REGION": "eu"}
    of_gateway = {"ANDON_GATEWAY__METRICS_HOST": "10.0.0.7", "ANDON_S3__REGION": "edge"}
    gateways = [{**VALUES["gateways"][0], "settings": of_gateway}]
    found = set()
    for component, pod in pods(chart_with({**VALUES, "settings": own, "gateways": gateways})):
        rows = pod["containers"][0]["env"]
        names = [row["name"] for row in rows]
        assert len(names) == len(set(names)), component
        told = {row["name"]: row.get("value") for row in rows}
        found |= {(component, name, told[name]) for name in own | of_gateway if name in told}
    assert ("inspect", "ANDON_KAFKA__REPLICATION_FACTOR", "1") in found
    assert ("serve", "ANDON_S3__REGION", "eu") in found
    assert ("gateway-l1-s1", "ANDON_S3__REGION", "edge") in found
    assert ("gateway-l1-s1", "ANDON_GATEWAY__METRICS_HOST", "10.0.0.7") in found


@pytest.mark.parametrize(
    "values",
    [
        {"settings": {"ANDON_KAFKA_PARTITIONS": "8"}},
        {"secrets": {"console": {"ANDON_OIDC_CLIENT_SECRET": {"name": "oidc", "key": "secret"}}}},
        {"gateways": [{**VALUES["gateways"][0], "settings": {"ANDON_GATEWAY_CAMERA": "x"}}]},
    ],
)
def test_a_name_that_is_no_setting_is_refused(values: dict[str, Any]) -> None:
    """Helm took it, and every pod ended with it, the gateways too."""
    words = [helm(), "template", "line", CHART, "-f", "-", "--kube-version", "1.33"]
    done = subprocess.run(words, input=json.dumps(values), capture_output=True, text=True)
    assert done.returncode != 0
    assert "is no setting" in done.stderr
    assert "did you mean ANDON_" in done.stderr


def test_names_of_the_plant_s_own_are_settings(rendered: Rows) -> None:
    named = {
        "ANDON_CLASSIFIER__ENDPOINTS__0__NAME": "llm",
        "ANDON_GATEWAY__SHOTS": "[]",
        "ANDON_KAFKA__PASSWORD_FILE": "/etc/andon/files/kafka/password",
        "ANDON_EVENT_LOOP": "asyncio",
        "OTEL_SERVICE_NAME": "line",
    }
    assert len(chart_with({**VALUES, "settings": named})) == len(rendered)
