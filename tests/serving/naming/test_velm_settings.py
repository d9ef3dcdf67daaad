"""What may be configured, and what is refused before a picture could leave."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lab.llm_twin.server import twin_options
from serving.errors import ServeConfigError
from serving.naming.base import Classifier
from serving.naming.build import build_classifier, serve_options
from serving.naming.calls import EndpointError
from serving.naming.completion import Transport, _key
from serving.naming.settings import ClassifierSettings, EndpointSettings, PriceSettings

LOCAL = {"name": "twin", "base_url": "http://127.0.0.1:1/v1", "model": "m", "zone": "loopback"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_url": "http://llm.example.com/v1"}, "says zone 'loopback' but base_url names"),
        ({"base_url": "http://127.0.0.1.example.com/v1"}, "says zone 'loopback'"),
        ({"base_url": "http://llm.example.com/v1", "zone": "external"}, "must be https"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "api.openai.com/v1"}, "write 'https://api.openai.com/v1'"),
        ({"base_url": "https://llm.example.com/v1?api_key=sk-1"}, "name it in api_key_env"),
        ({"zone": "moon"}, "zone"),
        ({"name": "Twin One"}, "name"),
        ({"api_key_env": "a b"}, "api_key_env"),
        ({"attempts": 0}, "attempts"),
        ({"temprature": 0}, "temprature"),
    ],
)
def test_wrong_endpoints_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EndpointSettings(**(LOCAL | changes))


@pytest.mark.parametrize("host", ["127.0.0.1:8", "localhost", "[::1]:9"])
def test_loopback_addresses(host: str) -> None:
    EndpointSettings(**(LOCAL | {"base_url": f"http://{host}/v1"}))


def test_an_external_endpoint_behind_a_local_proxy_stays_external() -> None:
    settings = EndpointSettings(**(LOCAL | {"zone": "external"}))
    assert settings.zone == "external"


def test_the_zone_is_external_unless_stated() -> None:
    settings = EndpointSettings(base_url="https://llm.example.com/v1", model="m")
    assert settings.zone == "external"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "velm", "endpoints": ()}, "needs an endpoint"),
        ({"endpoint": "other"}, "is not among twin"),
        ({"endpoints": (LOCAL, LOCAL)}, "share a name"),
        ({"kind": "cascade", "cascade": {"order": ("prototypes", "gpt")}}, "gpt"),
    ],
)
def test_wrong_combinations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ClassifierSettings(**({"endpoints": (LOCAL,)} | changes))


def test_cost() -> None:
    assert PriceSettings(tokens_in=2.5, tokens_out=10).cost(1_000_000, 500_000) == 7.5


def test_settings_travel_to_an_actor_and_build_there() -> None:
    settings = ClassifierSettings.model_validate(
        {
            "kind": "velm",
            "endpoints": [LOCAL | {"api_key_env": "SOME_KEY"}],
            "velm": {"calls": 3},
        }
    )
    arrived = json.loads(json.dumps(serve_options(settings)))
    classifier = build_classifier("velm", arrived, {})
    assert isinstance(classifier, Classifier)
    assert arrived["endpoints"][0]["api_key_env"] == "SOME_KEY"
    assert serve_options(ClassifierSettings()) == {}


@pytest.mark.parametrize("secret", [{"api_key": "sk-1"}, {"headers": {"api-key": "sk-1"}}])
def test_no_secret_travels(secret: dict[str, Any]) -> None:
    settings = ClassifierSettings.model_validate({"kind": "velm", "endpoints": [LOCAL | secret]})
    with pytest.raises(ValueError, match="api_key_env"):
        serve_options(settings)


def test_options_for_a_twin() -> None:
    options = json.loads(json.dumps(twin_options("http://127.0.0.1:1/v1", max_concurrency=2)))
    assert build_classifier("velm", options, {}).name == "velm"
    assert build_classifier("cascade", options, {}).name == "cascade"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs an endpoint"),
        ({"endpoints": [LOCAL | {"model": ""}]}, r"endpoints\.0\.model"),
        ({"endpoints": [LOCAL], "colour": 1}, "colour"),
    ],
)
def test_builders_name_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ServeConfigError, match=message):
        build_classifier("velm", options, {})


def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = EndpointSettings(**(LOCAL | {"api_key_env": "ANDON_TEST_KEY_OF_THE_TWIN"}))
    with pytest.raises(EndpointError, match="ANDON_TEST_KEY_OF_THE_TWIN is not set"):
        Transport(settings)
    monkeypatch.setenv("ANDON_TEST_KEY_OF_THE_TWIN", "k")
    Transport(settings)


PLANT = {"name": "p", "base_url": "http://llm.plant:8000/v1", "model": "m", "zone": "plant"}


@pytest.mark.parametrize(
    "key",
    [{"api_key": "sk-1"}, {"api_key_env": "K"}, {"api_key_file": "k"}, {"headers": {"x": "sk-1"}}],
)
def test_a_key_does_not_cross_the_network_in_the_clear(key: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="by plain http") as raised:
        EndpointSettings.model_validate(PLANT | key)
    assert "sk-1" not in str(raised.value).split("[type=")[0]
    for told in ({"key_in_the_clear": True}, {"base_url": "https://llm.plant/v1"}):
        assert EndpointSettings.model_validate(PLANT | key | told).has_key
    assert not EndpointSettings.model_validate(PLANT).has_key
    assert EndpointSettings.model_validate(LOCAL | key).has_key


def test_the_key_may_come_from_a_file(tmp_path: Path) -> None:
    settings = EndpointSettings(**(LOCAL | {"api_key_file": tmp_path / "key"}))
    with pytest.raises(EndpointError, match=r"key: .*No such file"):
        _key(settings)
    (tmp_path / "key").write_text("k\n")
    assert _key(settings) == "k"


@pytest.mark.parametrize(
    "base_url", ["https://api.openai.com/v1", "https://OPENROUTER.ai/api/v1/chat/completions"]
)
def test_a_service_on_the_internet_is_in_no_plant(base_url: str) -> None:
    """One wrong word would let every picture out, whatever a policy says."""
    with pytest.raises(ValidationError, match="a service on the internet; say 'external'"):
        EndpointSettings.model_validate({"base_url": base_url, "model": "m", "zone": "plant"})
    EndpointSettings.model_validate({"base_url": base_url, "model": "m", "zone": "external"})
