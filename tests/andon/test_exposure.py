"""Connections that leave the host in plain text are named, with the setting that closes them."""

import asyncio

import pytest

from andon.checks import examine
from andon.checks.exposure import exposed
from andon.settings import Settings

FAR: dict[str, dict[str, str]] = {
    "kafka": {"bootstrap_servers": "broker:9092"},
    "postgres": {"url": "postgresql+asyncpg://andon:secret@database/andon"},
    "s3": {"endpoint": "store:9000"},
    "gateway": {"plc_url": "opc.tcp://plc-7:4840"},
    "serve": {"ingress": "models1:16380"},
    "mqtt": {"url": "mqtt://broker"},
    "tracing": {"otlp_endpoint": "http://tempo:4318"},
}
NAMED = {
    "kafka": "ANDON_KAFKA__SECURITY_PROTOCOL",
    "postgres": "ANDON_POSTGRES__URL",
    "s3": "ANDON_S3__ENDPOINT",
    "gateway": "ANDON_GATEWAY__SECURITY_POLICY",
    "serve": "Ray's token",
    "mqtt": "ANDON_MQTT__URL",
    "tracing": "ANDON_TRACING__OTLP_ENDPOINT",
}


def test_on_loopback_nothing_is_exposed() -> None:
    assert list(exposed(Settings())) == []


@pytest.mark.parametrize("section", FAR)
def test_each_connection_in_plain_text_is_named_with_its_setting(section: str) -> None:
    (said,) = exposed(Settings.model_validate({section: FAR[section]}))
    assert NAMED[section] in said
    assert "secret" not in said


def test_what_is_encrypted_is_not_named() -> None:
    login = {"security_protocol": "SASL_SSL", "username": "a", "password": "b"}
    own = Settings.model_validate(
        {
            "kafka": FAR["kafka"] | login,
            "postgres": {"url": "postgresql+asyncpg://andon@database/andon?sslmode=verify-full"},
            "s3": {"endpoint": "https://store:9000"},
            "gateway": FAR["gateway"] | {"security_policy": "Basic256Sha256"},
            "mqtt": {"url": "mqtts://broker"},
            "tracing": {"otlp_endpoint": "https://tempo:4318"},
        }
    )
    assert list(exposed(own)) == []


def test_the_doctor_warns_and_does_not_fail() -> None:
    (found,) = asyncio.run(examine(Settings.model_validate(FAR), ["exposure"]))
    assert (found.ok, found.warns) == (True, True)
    assert found.remedy
    (fine,) = asyncio.run(examine(Settings(), ["exposure"]))
    assert (fine.ok, fine.warns, fine.remedy) == (True, False, "")
