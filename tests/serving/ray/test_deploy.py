"""Serve configurations, without Ray."""

import socket
import subprocess
from pathlib import Path

import pytest

from serving.errors import DeployError, ServeConfigError
from serving.ray.deploy import (
    _end_of_traceback,
    application_status,
    check_config,
    deploy,
    read_config,
    serve_config,
)

CPU, GPU = Path("infra/serve.yaml"), Path("infra/serve-gpu.yaml")
DIGEST = "ab" * 32


@pytest.mark.filterwarnings("ignore:Using extra keyword arguments:DeprecationWarning")
@pytest.mark.parametrize("path", [CPU, GPU])
def test_the_shipped_files_are_valid(path: Path) -> None:
    from ray.serve.schema import ServeDeploySchema

    config = read_config(path)
    check_config(config, str(path))
    (app,) = ServeDeploySchema.model_validate(config).applications
    assert app.import_path == "andon.serve_app:build"
    assert app.route_prefix is None
    replicas = {d.name: d.num_replicas for d in app.deployments}
    assert all(isinstance(n, int) for n in replicas.values()), "replicas are fixed"
    assert {"VisionExpert", "AnomalyClassifier"} <= set(replicas)


def test_the_gpu_profile_fits_on_one_gpu() -> None:
    (app,) = read_config(GPU)["applications"]
    assert (
        0
        < sum(
            d["num_replicas"] * d.get("ray_actor_options", {}).get("num_gpus", 0)
            for d in app["deployments"]
        )
        <= 1
    )
    for deployment in app["deployments"]:
        if deployment["name"] != "Ingress":
            assert deployment["max_ongoing_requests"] >= 2 * app["args"]["vision"]["batch"]


def test_versions_arguments_and_replicas_are_filled_in() -> None:
    config = serve_config(
        CPU,
        {"tile": DIGEST},
        {"tile": "latest"},
        {"vision": {"batch": 4}, "artifacts": "s3://andon/artifacts"},
        application="line7",
        num_replicas={"VisionExpert": 2},
    )
    (app,) = config["applications"]
    vision, classifier, _ = app["deployments"]
    assert app["name"] == "line7"
    assert app["args"]["vision"] == {"batch": 4, "threads": 1}
    assert vision["user_config"] == {"products": {"tile": DIGEST}}
    assert vision["num_replicas"] == 2
    assert classifier["user_config"] == {"exemplars": {"tile": "latest"}}
    (app,) = serve_config(CPU, args={"classifier": None})["applications"]
    assert [d["name"] for d in app["deployments"]] == ["VisionExpert", "Ingress"]


@pytest.mark.parametrize(
    ("products", "args", "words"),
    [
        ({"tile": "v2"}, {}, "user_config of VisionExpert: products.tile: 'v2' is no digest"),
        ({"a\nb": DIGEST}, {}, "products"),
        ({}, {"vision": {"batch": 0}}, r"args: vision\.batch: Input should be greater"),
        ({}, {"vision": {"bacth": 8}}, r"vision\.bacth: Extra inputs"),
        ({}, {"artefacts": "x"}, "artefacts: Extra inputs"),
    ],
)
def test_what_cannot_be_used_is_named(
    products: dict[str, str], args: dict[str, object], words: str
) -> None:
    with pytest.raises(ServeConfigError, match=words):
        serve_config(CPU, products, None, args)


def test_a_file_that_is_no_configuration(tmp_path: Path) -> None:
    for text in ("", "applications: []", "a: [", "- 1"):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(ServeConfigError, match=r"x\.yaml"):
            read_config(tmp_path / "x.yaml")


def test_a_ray_that_is_not_there_is_an_error_of_ours() -> None:
    from infra.stack.process import free_port

    with pytest.raises(DeployError, match="Ray at 127"):
        deploy(serve_config(CPU), f"127.0.0.1:{free_port()}", 20)


def test_a_ray_that_refuses_is_told_on_one_line_with_the_token_that_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = (
        'Traceback:\n  File "a.py", line 1, in f\n    g()\nConnectionError: Failed to connect\n'
    )
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, "", printed)
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(DeployError) as refused:
            application_status(address, tmp_path / "ray_token", 60)
    said = f"no answer from the Ray at {address}: ConnectionError: Failed to connect (no token was"
    assert str(refused.value).startswith(f"{said} sent: there is no {tmp_path / 'ray_token'}; ")


@pytest.mark.parametrize(
    ("printed", "end"),
    [
        ('T:\n  File "a.py", line 1, in f\n    g()\n    ^^^\nOSError: no\nway', "OSError: no way"),
        (
            'T:\n  File "a.py", line 1, in f\n    g()\nValidationError: 1 error\na.b\n  Wrong',
            "ValidationError: 1 error a.b Wrong",
        ),
        ("killed", "killed"),
        ("", "its process said nothing"),
    ],
)
def test_of_a_traceback_the_exception_is_told(printed: str, end: str) -> None:
    assert _end_of_traceback(printed) == end
