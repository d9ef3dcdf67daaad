"""The MQTT settings say what is wrong with them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from streams.mqtt.settings import MqttSettings


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("mqtt://broker", "mqtt://broker:1883"),
        ("mqtts://broker", "mqtts://broker:8883"),
        ("MQTTS://broker:443/", "mqtts://broker:443"),
        ("mqtt://[::1]:1884", "mqtt://[::1]:1884"),
    ],
)
def test_an_address_gets_its_port(given: str, read: str) -> None:
    assert MqttSettings(url=given).url == read


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "broker:1883"}, "lacks its scheme; write 'mqtts://broker:8883'"),
        ({"url": "ws://broker:80"}, "ws:// is not spoken; write 'mqtts://broker:8883'"),
        ({"url": "mqtts://andon:secret@broker"}, "a user or password stands in it"),
        ({"username": "andon"}, "password: a user and its password are given together"),
        ({"password": "x"}, "username: a user and its password are given together"),
        (
            {"url": "mqtt://broker", "username": "a", "password": "x"},
            "would be sent unencrypted to broker:1883; write mqtts://",
        ),
        ({"ca_file": Path(__file__)}, "ca_file: mqtt:// is not encrypted"),
        ({"url": "mqtts://b", "cert_file": Path(__file__)}, "key_file: a client's certificate"),
        ({"url": "mqtts://b", "ca_file": Path("no such")}, "there is no such file"),
        ({"topic_prefix": "plant/#"}, "topic_prefix"),
        ({"topic_prefix": "$SYS"}, "topic_prefix"),
    ],
)
def test_what_cannot_be_used_is_named(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        MqttSettings.model_validate(given)
    assert said in str(error.value)


def test_a_password_on_this_host_may_go_unencrypted() -> None:
    assert not MqttSettings(username="andon", password="x").is_encrypted  # type: ignore[arg-type]
