"""What may stand in the ``[kafka]`` section together, and what a mistake is told."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from streams.kafka.settings import KafkaSettings

LOGIN = {"security_protocol": "SASL_SSL", "username": "andon-inspect", "password": "pw"}


def test_without_a_word_nothing_is_encrypted_and_nobody_logs_in() -> None:
    own = KafkaSettings()
    assert own.security.client_options() == {"security_protocol": "PLAINTEXT"}
    assert not own.is_open  # on loopback
    assert KafkaSettings(bootstrap_servers="broker:9092").is_open


def test_a_login_is_given_to_every_client() -> None:
    own = KafkaSettings.model_validate({**LOGIN, "sasl_mechanism": "plain"})
    options = own.security.client_options()
    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_mechanism"] == "PLAIN"
    assert options["sasl_plain_username"] == "andon-inspect"
    assert options["sasl_plain_password"] == "pw"
    assert not own.is_open


def test_the_password_is_in_no_text() -> None:
    own = KafkaSettings.model_validate({**LOGIN, "password": "opensesame"})
    assert "opensesame" not in f"{own!r} {own.security!r} {own.security.who}"


@pytest.mark.parametrize(("word", "meant"), [("tls", "SSL"), ("ssl", "SSL"), ("TLS ", "SSL")])
def test_words_of_other_clients_are_understood(word: str, meant: str) -> None:
    assert KafkaSettings.model_validate({"security_protocol": word}).security_protocol == meant


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"security_protocol": "SASL_SSL"}, "username: SASL_SSL logs in"),
        ({**LOGIN, "password": ""}, "password: SASL_SSL logs in"),
        ({"username": "x"}, "username: PLAINTEXT does not log in"),
        ({"security_protocol": "SSL", "password": "x"}, "password: SSL does not log in"),
        ({"sasl_mechanism": "GSSAPI"}, "SCRAM-SHA-512"),
        ({"security_protocol": "HTTPS"}, "SASL_SSL"),
        (
            {**LOGIN, "security_protocol": "SASL_PLAINTEXT", "bootstrap_servers": "a:1,b:2"},
            "security_protocol: SASL_PLAINTEXT sends the login unencrypted to a:1,b:2",
        ),
        ({**LOGIN, "ca_file": "/nowhere/ca.pem"}, "there is no such file"),
        ({**LOGIN, "ca_file": "9" * 5000}, "the file cannot be looked at: File name too long"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        KafkaSettings.model_validate(given)


@pytest.mark.parametrize("server", ["127.0.0.1:9092", "localhost:9092", "[::1]:9092"])
def test_an_unencrypted_login_is_taken_on_loopback(server: str) -> None:
    given = {**LOGIN, "security_protocol": "SASL_PLAINTEXT", "bootstrap_servers": server}
    own = KafkaSettings.model_validate(given)
    assert own.security.client_options()["security_protocol"] == "SASL_PLAINTEXT"


def test_a_certificate_and_its_key_are_given_together_and_over_tls(tmp_path: Path) -> None:
    file = tmp_path / "c.pem"
    file.write_text("")
    with pytest.raises(ValidationError, match="key_file: a client's certificate and its key"):
        KafkaSettings(security_protocol="SSL", cert_file=file)
    with pytest.raises(ValidationError, match="cert_file: a client's certificate and its key"):
        KafkaSettings(security_protocol="SSL", key_file=file)
    with pytest.raises(ValidationError, match="ca_file: PLAINTEXT is not encrypted"):
        KafkaSettings(ca_file=file)
