"""What each role of a secured local stack is given: its own credentials, and nobody else's.

Kafka and the line controller are secured. The database and the object store are not: every process
reaches them by the local stack's own login.

Certificates, passwords and keys are made on the spot below ``<stack's folder>/security/``.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from andon.stack.plc_security import USER, gateway_pki, make_plc_security
from infra.stack.kafka_secured import BrokerSecurity
from streams.principals import Role

FOLDER: Final = "security"
"""Below the stack's folder; mode 0700, and 0600 for each file."""
Sections = Mapping[str, Mapping[str, str | int]]
"""Section of the settings -> name -> value."""


def secure_kafka(folder: Path, role: Role) -> Sections:
    """How a role's processes reach the broker.

    Args:
        folder: where the stack's certificates and passwords are.
        role: whose settings.
    """
    client = BrokerSecurity(folder).client(role)
    return {
        "kafka": {
            "security_protocol": client.protocol,
            "sasl_mechanism": client.mechanism,
            "username": client.username,
            "password": client.password,
            "ca_file": str(client.ca_file),
        }
    }


def secure_plc(folder: Path, role: Role) -> Sections:
    """How the gateway, and who asks the doctor, reach the simulated line controller."""
    if role not in (Role.GATEWAY, Role.ADMIN):
        return {}
    return {
        "gateway": {
            "security_policy": "Basic256Sha256",
            "security_mode": "SignAndEncrypt",
            "pki_dir": str(gateway_pki(folder).absolute()),
            "user_name": USER,
            "password": make_plc_security(folder),
        }
    }


_OF_EACH: Final[tuple[Callable[[Path, Role], Sections], ...]] = (
    secure_kafka,
    secure_plc,
)


def sections_of(folder: Path, role: Role) -> dict[str, dict[str, str | int]]:
    """All that a role's settings have more, or otherwise, in a secured stack."""
    merged: dict[str, dict[str, str | int]] = {}
    for made in _OF_EACH:
        for section, values in made(folder, role).items():
            merged.setdefault(section, {}).update(values)
    return merged
