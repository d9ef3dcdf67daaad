"""Put the application on a running Ray: what ``serve deploy`` does, without the dashboard.

``serve deploy`` needs Ray's dashboard for its REST API (ten processes). A local stack starts Ray
without it, and this module hands the same configuration to the same controller.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from itertools import dropwhile
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from serving.errors import DeployError, ServeConfigError
from serving.ray.settings import (
    CLASSIFIER,
    VISION,
    AppSettings,
    ClassifierUserConfig,
    VisionUserConfig,
    parse,
)
from serving.ray.tokens import told_token

Config = dict[str, Any]
STATUS_S = 30.0
"""How long a replica may take to say what it holds, seconds."""


def serve_config(
    template: Path,
    products: Mapping[str, str] | None = None,
    exemplars: Mapping[str, str] | None = None,
    args: Mapping[str, object] | None = None,
    application: str | None = None,
    num_replicas: Mapping[str, int] | int | None = None,
) -> Config:
    """A Serve configuration from a YAML file, with versions and arguments filled in.

    Args:
        template: such as ``infra/serve.yaml``; its first application is ours.
        products: digest of the expert by product; None leaves what the file says.
        exemplars: digest of the exemplar bundle by product; None leaves what the file says.
        args: merged over the application's ``args``, section by section.
        application: the application's name.
        num_replicas: by deployment, or the same for all.

    Raises:
        ServeConfigError: names what is wrong and where.
    """
    config = read_config(template)
    app = config["applications"][0]
    if application is not None:
        app["name"] = application
    app["args"] = _merged(app.get("args") or {}, args or {})
    deployments = {d["name"]: d for d in app.get("deployments", [])}
    if products is not None and VISION in deployments:
        deployments[VISION]["user_config"] = {"products": dict(products)}
    if app["args"].get("classifier", {}) is None:
        app["deployments"] = [d for d in app["deployments"] if d["name"] != CLASSIFIER]
    elif exemplars is not None and CLASSIFIER in deployments:
        deployments[CLASSIFIER]["user_config"] = {"exemplars": dict(exemplars)}
    if isinstance(num_replicas, int):
        num_replicas = dict.fromkeys(deployments, num_replicas)
    for name, count in (num_replicas or {}).items():
        deployments[name]["num_replicas"] = count
    check_config(config, str(template))
    return config


def read_config(path: Path) -> Config:
    """The YAML file at ``path``.

    Raises:
        ServeConfigError: absent, not YAML, or without an application.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        config = YAML(typ="safe").load(path)
    except (OSError, YAMLError) as error:
        raise ServeConfigError(f"{path}: {error}") from error
    if not isinstance(config, dict) or not config.get("applications"):
        raise ServeConfigError(f"{path}: no 'applications'; see infra/serve.yaml")
    return config


def check_config(config: Mapping[str, Any], where: str) -> None:
    """Validate our part of a Serve configuration before it goes anywhere.

    Raises:
        ServeConfigError: names what is wrong and where.
    """
    app = config["applications"][0]
    parse(AppSettings, app.get("args"), f"{where}: args")
    for deployment in app.get("deployments", []):
        place = f"{where}: user_config of {deployment.get('name')}"
        if deployment.get("name") == VISION:
            parse(VisionUserConfig, deployment.get("user_config"), place)
        elif deployment.get("name") == CLASSIFIER:
            parse(ClassifierUserConfig, deployment.get("user_config"), place)


def deploy(
    config: Mapping[str, Any],
    address: str,
    timeout_s: float = 120.0,
    token_file: Path | None = None,
) -> Config:
    """Deploy on the Ray at ``address`` and return its status once every replica runs.

    Works in a child process: Ray leaves threads and signal handlers behind in whatever imports it.
    Changing only ``user_config`` swaps versions in running replicas.

    Args:
        config: see :func:`serve_config`.
        address: host:port of the GCS.
        timeout_s: seconds until all is up.
        token_file: holds the cluster's token; without it, or where there is no such file, the
            environment's ``RAY_AUTH_*`` hold.

    Raises:
        ServeConfigError: the configuration cannot be used.
        DeployError: Ray cannot be reached, a deployment failed, or a replica runs without a version
            that was asked for; the message says which and why.
    """
    check_config(config, "serve configuration")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        command = ["--timeout", str(timeout_s), file.name]
        return _in_child(command, address, timeout_s + 30, token_file)


class DeploymentState(BaseModel):
    """What Serve says of one deployment."""

    status: str
    message: str = ""


class ApplicationState(BaseModel):
    """What Serve says of one application."""

    status: str
    message: str = ""
    deployments: dict[str, DeploymentState] = {}


def application_status(
    address: str, token_file: Path | None = None, timeout_s: float = 30.0
) -> dict[str, ApplicationState]:
    """What Serve says of its applications, by name; empty where none was deployed.

    Args:
        address: host:port of the GCS.
        token_file: as :func:`deploy` takes it.
        timeout_s: seconds until an answer.

    Raises:
        DeployError: Ray cannot be reached, or does not answer.
    """
    found = _in_child(["--status"], address, timeout_s, token_file)
    return {name: ApplicationState.model_validate(one) for name, one in found.items()}


def _in_child(
    arguments: Sequence[str], address: str, timeout_s: float, token_file: Path | None
) -> Config:
    """The one JSON object that this module prints in a process of its own."""
    if not _reachable(address):
        raise DeployError(f"no Ray at {address}: start one (`andon stack up`, `ray start --head`)")
    environment = dict(os.environ)
    if token_file is not None and token_file.exists():
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file.absolute())}
    command = [sys.executable, "-m", "serving.ray.deploy", "--address", address, *arguments]
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DeployError(f"no answer from the Ray at {address} in {timeout_s:g} s") from None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        why = _end_of_traceback(done.stderr)
        raise DeployError(f"no answer from the Ray at {address}: {why} ({told_token(token_file)})")
    result: Config = json.loads(lines[-1])
    if "error" in result:
        raise DeployError(str(result["error"]))
    return result


def _end_of_traceback(text: str) -> str:
    """The exception that ``text`` ends with, on one line, without the frames before it."""
    lines = text.splitlines()
    frames = [n for n, line in enumerate(lines) if line.startswith('  File "')]
    if frames:
        lines = list(dropwhile(lambda line: line.startswith("    "), lines[frames[-1] + 1 :]))
    return " ".join(" ".join(lines[-8:]).split()) or "its process said nothing"


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Config:
    result = dict(base)
    for name, value in over.items():
        old = result.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[name] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def _reachable(address: str, timeout_s: float = 1.0) -> bool:
    """Whether something accepts TCP connections at host:port ``address``."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout_s):
            return True
    except (OSError, ValueError):
        return False


def _connect_here(address: str) -> None:
    if address.startswith(("127.0.0.1:", "localhost:")):
        # Ray would replace the loopback address by that of the host's first interface, at which a
        # head of this kind does not listen
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray

    ray.init(address, namespace="serve", log_to_driver=False, logging_level="error")


def _status_here(address: str) -> Config:
    _connect_here(address)
    from ray import serve

    return {
        name: {
            "status": found.status,
            "message": found.message,
            "deployments": {
                d: {"status": one.status, "message": one.message}
                for d, one in found.deployments.items()
            },
        }
        for name, found in serve.status().applications.items()
    }


def _deploy_here(config: Config, address: str, timeout_s: float) -> Config:
    _connect_here(address)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray import serve
        from ray.serve.schema import ServeDeploySchema

    schema = ServeDeploySchema.model_validate(config)
    serve.start(
        proxy_location=schema.proxy_location,
        http_options=schema.http_options.model_dump(),
        logging_config=schema.logging_config,
    )
    from ray.serve.context import _get_global_client

    client = _get_global_client()
    client.deploy_apps(schema)
    name = schema.applications[0].name
    wanted = {d.name: d.user_config for d in schema.applications[0].deployments}
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        status = serve.status().applications.get(name)
        if status is not None and status.status == "RUNNING":
            counts = {n: sum(d.replica_states.values()) for n, d in status.deployments.items()}
            problems, builds = _said_by_replicas(name, counts)
            if problems:
                return {"error": f"application {name!r} runs, but {'; '.join(problems)}"}
            done = {"application": name, "status": "RUNNING", "wanted": list(wanted)}
            return {**done, "builds": builds}
        if status is not None and status.status in {"DEPLOY_FAILED", "UNHEALTHY"}:
            return {"error": _why(name, status)}
        time.sleep(0.1)
    return {"error": f"application {name!r} was not up within {timeout_s:g} s"}


def _said_by_replicas(
    application: str, counts: Mapping[str, int]
) -> tuple[list[str], dict[str, list[str]]]:
    """Why products have not the version that was asked for, and which builds of Andon the replicas
    of each deployment run; empty: one from before replicas said it."""
    from ray import serve

    found: dict[str, None] = {}
    builds: dict[str, set[str]] = {}
    for deployment in (VISION, CLASSIFIER):
        if deployment not in counts:
            continue
        handle = serve.get_deployment_handle(deployment, application)
        # Serve chooses who answers: each replica is asked four times on average
        calls = [handle.status.remote() for _ in range(4 * counts[deployment])]
        for call in calls:
            said = call.result(timeout_s=STATUS_S)
            builds.setdefault(deployment, set()).add(said.get("build", ""))
            problems = said["problems"].items()
            found |= {f"{deployment}, {product}: {why}": None for product, why in problems}
    return list(found), {deployment: sorted(builds[deployment]) for deployment in builds}


def _why(name: str, status: Any) -> str:
    texts = [status.message, *(f"{n}: {d.message}" for n, d in status.deployments.items())]
    text = "\n".join(t for t in texts if t.strip(": \n"))
    return f"application {name!r}: {status.status}: {text[-2000:]}"


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.ray.deploy", description=__doc__)
    parser.add_argument("config", type=Path, nargs="?", help="Serve configuration, YAML or JSON")
    parser.add_argument("--status", action="store_true", help="print what runs, change nothing")
    parser.add_argument("--address", required=True, help="host:port of the Ray head")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds until all is up")
    options = parser.parse_args()
    if options.status:
        sys.stdout.write(json.dumps(_status_here(options.address)) + "\n")
        return 0
    if options.config is None:
        parser.error("the configuration is missing")
    config = read_config(options.config)
    check_config(config, str(options.config))
    result = _deploy_here(config, options.address, options.timeout)
    sys.stdout.write(json.dumps(result) + "\n")
    return 1 if "error" in result else 0


if __name__ == "__main__":
    sys.exit(_main())
