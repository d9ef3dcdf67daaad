"""The doctor finds a wrong key or model of a language model with one question."""

import asyncio
from pathlib import Path

import pytest

from andon.checks import examine
from andon.checks.findings import Finding
from andon.settings import Settings
from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.server import TwinServer
from tests.lab.llm_twin.kit import endpoint_settings


def asked(server: TwinServer, tmp_path: Path, kind: str = "velm", **changes: object) -> Finding:
    endpoint = endpoint_settings(server.base_url, **changes)
    own = {"kind": kind, "endpoints": [endpoint.model_dump() | {"api_key": endpoint.api_key}]}
    if kind == "cascade":
        own["cascade"] = {"order": ["prototypes", "twin"]}
    settings = Settings.model_validate({"classifier": own, "paths": {"state": tmp_path}})
    (found,) = asyncio.run(examine(settings, ["llm"]))
    return found


@pytest.mark.parametrize("kind", ["velm", "cascade"])
def test_an_endpoint_that_answers_is_asked_once(
    server: TwinServer, tmp_path: Path, kind: str
) -> None:
    found = asked(server, tmp_path, kind)
    assert found.ok, found
    assert found.detail.startswith("twin: twin answered in ")
    assert server.twin.counters.requests == 1


@pytest.mark.parametrize(
    ("wrong", "status", "what_to_do"),
    [
        ({"api_key": "mine"}, "HTTP 401", "check the key (api_key_env)"),
        ({"model": "no-such-model"}, "HTTP 404", "the model's name"),
    ],
)
def test_a_wrong_key_or_model_fails_with_what_to_do(
    server: TwinServer, tmp_path: Path, wrong: dict[str, str], status: str, what_to_do: str
) -> None:
    server.twin.behaviour = Behaviour(api_key="right")
    found = asked(server, tmp_path, **{"api_key": "right", **wrong})
    assert not found.ok
    assert status in found.detail
    assert what_to_do in found.detail
    assert "mine" not in found.detail
