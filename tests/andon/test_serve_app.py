"""The Serve application's classifier: as the YAML says, or as Andon's settings say."""

import pytest

from andon.serve_app import refuse_without_token, with_configured_classifier
from andon.settings import Settings
from serving.errors import DeployError
from serving.ray.settings import AppSettings, ClassifierArguments

ENDPOINT = (
    '[{"name":"plant","base_url":"https://llm.example/v1","model":"m","api_key_env":"KEY"%s}]'
)


def test_settings_names_the_configured_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_CLASSIFIER__KIND", "velm")
    monkeypatch.setenv("ANDON_CLASSIFIER__ENDPOINTS", ENDPOINT % "")
    args = AppSettings(classifier=ClassifierArguments(kind="settings", concurrency=3))
    chosen = with_configured_classifier(args, Settings()).classifier
    assert chosen is not None
    assert (chosen.kind, chosen.concurrency) == ("velm", 3)
    assert chosen.options["endpoints"][0]["name"] == "plant"


def test_a_kind_in_the_yaml_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_CLASSIFIER__KIND", "velm")
    monkeypatch.setenv("ANDON_CLASSIFIER__ENDPOINTS", ENDPOINT % "")
    args = AppSettings(classifier=ClassifierArguments(kind="prototypes"))
    assert with_configured_classifier(args, Settings()) is args


def test_a_key_in_the_settings_never_reaches_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_CLASSIFIER__KIND", "velm")
    monkeypatch.setenv("ANDON_CLASSIFIER__ENDPOINTS", ENDPOINT % ',"api_key":"sk-1"')
    args = AppSettings(classifier=ClassifierArguments(kind="settings"))
    with pytest.raises(ValueError, match="api_key_env") as raised:
        with_configured_classifier(args, Settings())
    assert "sk-1" not in str(raised.value)


def test_an_application_is_not_built_on_a_ray_that_asks_for_no_token() -> None:
    for environment in ({}, {"RAY_AUTH_MODE": "disabled"}):
        with pytest.raises(DeployError, match="RAY_AUTH_MODE=token"):
            refuse_without_token(Settings(), environment)
        told = Settings.model_validate({"serve": {"without_token": True}})
        refuse_without_token(told, environment)
    refuse_without_token(Settings(), {"RAY_AUTH_MODE": "token"})
