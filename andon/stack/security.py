"""What each role of a secured local stack is given: its own credentials, and nobody else's.

Certificates, passwords and keys are made on the spot below ``<stack's folder>/security/``.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from andon.stack.plc_security import USER, gateway_pki, make_plc_security
from history.object_rights import RIGHTS
from history.object_users import user_of
from history.rights import OF_LINE, role_statements
from infra.stack.certificates import password_of, private_folder
from infra.stack.kafka_secured import BrokerSecurity
from infra.stack.postgres_local import SUPERUSER
from infra.stack.postgres_secured import DatabaseSecurity
from policies.signing import make_key, public_file
from streams.principals import Role

FOLDER: Final = "security"
"""Below the stack's folder; mode 0700, and 0600 for each file."""
SIGNERS: Final = (Role.CONSOLE, Role.PROCESS, Role.ADMIN)
"""Who may write the topic of policies, and so signs what is put in force."""
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


def database_security(folder: Path) -> DatabaseSecurity:
    """The logins of the stack's database: one for each role of the line that has rights there."""
    members = {role.user: str(of) for role, of in OF_LINE.items()}
    return DatabaseSecurity(folder, SUPERUSER, members, tuple(role_statements()))


def database_url(folder: Path, role: Role, url: str) -> str:
    """The stack's database by the role's own login; a role without rights there has no login.

    Args:
        folder: where the stack's passwords are.
        role: whose login.
        url: the database's address, by whatever login.
    """
    parts = urlsplit(url)
    known = database_security(folder)
    password = f":{known.password(role.user)}" if role in OF_LINE else ""
    place = f"{parts.hostname}:{parts.port}"
    return parts._replace(netloc=f"{role.user}{password}@{place}").geturl()


def object_keys(folder: Path) -> dict[str, str]:
    """The access keys of the stack's object store with their secrets; the administrator's is first.

    One for each role that ``history.object_rights`` names, Serve's replicas among them.
    """
    users = [Role.ADMIN.user, *map(user_of, RIGHTS)]
    return {user: password_of(folder, f"{user}.s3") for user in users}


def secure_objects(folder: Path, role: Role) -> Sections:
    """The access key of a role; one without rights in the object store is given no secret."""
    secret = object_keys(folder).get(role.user, "no rights")
    return {"s3": {"access_key": role.user, "secret_key": secret}}


def serving_environment(folder: Path) -> dict[str, str]:
    """What Serve's replicas read bundles with, as environment variables of Ray."""
    key = user_of("serving")
    return {"ANDON_S3__ACCESS_KEY": key, "ANDON_S3__SECRET_KEY": object_keys(folder)[key]}


def sign_policies(folder: Path, role: Role) -> Sections:
    """The keys that every process trusts, and the private one of who may put a policy in force."""
    own, trusted = (
        private_folder(folder / "signing"),
        private_folder(folder / "signing" / "trusted"),
    )
    for signer in SIGNERS:
        path = own / f"{signer.user}.key"
        if not path.exists():
            make_key(path)
            public_file(path).rename(trusted / f"{signer.user}.pub")
    key = {"key_file": str(own / f"{role.user}.key")} if role in SIGNERS else {}
    return {"signing": {"trusted_keys": str(trusted), **key}}


_OF_EACH: Final[tuple[Callable[[Path, Role], Sections], ...]] = (
    secure_kafka,
    secure_plc,
    secure_objects,
    sign_policies,
)


def sections_of(folder: Path, role: Role) -> dict[str, dict[str, str | int]]:
    """All that a role's settings have more, or otherwise, in a secured stack."""
    merged: dict[str, dict[str, str | int]] = {}
    for made in _OF_EACH:
        for section, values in made(folder, role).items():
            merged.setdefault(section, {}).update(values)
    return merged
