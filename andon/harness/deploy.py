"""``serve deploy`` on the local stack, and waiting for the application to run."""

import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from andon.harness.stack import LocalStack
from infra.process import Process, ProcessError

RUNNING_TIMEOUT_S = 120.0


def write_config(
    template: Path,
    target: Path,
    artifacts: Path,
    exemplars: Path,
    changes: dict[str, Any] | None = None,
) -> Path:
    """``infra/serve.yaml`` with this run's folders; ``changes`` go into the application's args."""
    config = yaml.safe_load(template.read_text())
    args = config["applications"][0].setdefault("args", {})
    args["artifacts"], args["exemplars"] = str(artifacts.resolve()), str(exemplars.resolve())
    for section, values in (changes or {}).items():
        args.setdefault(section, {}).update(values)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(yaml.safe_dump(config))
    return target


def deploy(stack: LocalStack, config: Path) -> None:
    """Run ``serve deploy`` and return once every deployment is healthy.

    Raises:
        ProcessError: Ray refused the configuration, or a deployment did not start.
    """
    address = f"http://127.0.0.1:{stack.ports.ray_dashboard}"
    command = [str(Path(sys.executable).with_name("serve")), "deploy", str(config)]
    log = stack.folder / "logs" / "serve-deploy.log"
    deploying = Process("serve deploy", [*command, "--address", address], log)
    if deploying.wait(RUNNING_TIMEOUT_S):
        raise ProcessError(f"serve deploy {config} failed:\n{deploying.tail()}")
    until = time.monotonic() + RUNNING_TIMEOUT_S
    while (status := application_status(address))["status"] != "RUNNING":
        if status["status"] in ("DEPLOY_FAILED", "UNHEALTHY") or time.monotonic() > until:
            raise ProcessError(f"the serving application is {json.dumps(status, indent=1)}")
        time.sleep(0.2)


def application_status(address: str) -> dict[str, Any]:
    """Status, message and deployments of the application, from Ray's REST API."""
    with urllib.request.urlopen(f"{address}/api/serve/applications/", timeout=10) as reply:  # noqa: S310 - loopback
        found: dict[str, Any] = json.load(reply)
    for application in found["applications"].values():
        deployments = {
            name: f"{d['status']} {d.get('message', '')}".strip()
            for name, d in application["deployments"].items()
        }
        return {
            "status": application["status"],
            "message": application.get("message", ""),
            "deployments": deployments,
        }
    return {"status": "NOT_STARTED", "message": "", "deployments": {}}
