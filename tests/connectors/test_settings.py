"""Settings of the controller's security: pairs are whole, and policies are named as people do."""

import pytest
from pydantic import ValidationError

from connectors.settings import GatewaySettings

SECURED = {"security_policy": "Basic256Sha256"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("none", "None"),
        ("basic256sha256", "Basic256Sha256"),
        ("Basic256_Sha256", "Basic256Sha256"),
        ("http://opcfoundation.org/UA/SecurityPolicy#Aes256_Sha256_RsaPss", "Aes256Sha256RsaPss"),
    ],
)
def test_policies_as_people_write_them(written: str, read: str) -> None:
    assert GatewaySettings.model_validate({"security_policy": written}).security_policy == read


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"security_policy": "Basic256"}, "'Basic256Sha256'"),
        ({**SECURED, "security_mode": "None"}, "'Sign' or 'SignAndEncrypt'"),
        ({**SECURED, "user_name": "u"}, "password: user_name is set"),
        ({**SECURED, "password": "p"}, "user_name: password is set"),
        ({**SECURED, "user_certificate": "c"}, "user_key: user_certificate is set"),
        ({**SECURED, "private_key": "k"}, "certificate: private_key is set"),
        (
            {
                **SECURED,
                "user_name": "u",
                "password": "p",
                "user_certificate": "c",
                "user_key": "k",
            },
            "user_certificate: user_name is set too",
        ),
        ({"user_name": "u", "password": "p"}, "security_policy: a user is set"),
        ({"plc_url": "opc.tcp://u:p@plc:4840"}, "ANDON_GATEWAY__PASSWORD"),
    ],
)
def test_halves_and_contradictions_are_named(given: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        GatewaySettings.model_validate(given)


def test_a_password_is_not_shown() -> None:
    told = GatewaySettings.model_validate({**SECURED, "user_name": "u", "password": "hidden-one"})
    assert "hidden-one" not in f"{told!r} {told} {told.model_dump_json()}"
