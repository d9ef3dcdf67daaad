"""A broker that lets in whom it knows: TLS, SCRAM users, and an authorizer that denies by default.

The embedded broker cannot do this: its build takes no certificate with its key, and it has no
access control lists (``docs/adr/0148-kafka-by-role.md``).
"""

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.stack.certificates import LocalAuthority, password_of
from infra.stack.process import port_is_open
from streams.kafka.access import ScramCredential, add_rules, wanted_rules
from streams.kafka.connection import DOWN, KafkaConnection
from streams.kafka.security import KafkaSecurity
from streams.principals import Role

BROKER: Final = "andon-broker"
"""The broker's own user, between its parts."""
MECHANISM: Final = "SCRAM-SHA-512"
_CIPHERS: Final = "TLS_CHACHA20_POLY1305_SHA256,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
"""Java's AES is quick only where its optimising compiler runs, which a local broker does not."""
_LOGIN: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required"
_ASK_S: Final = 2.0


@dataclass(frozen=True)
class BrokerSecurity:
    """What the broker of one stack knows: its certificate, its users and who may do everything."""

    folder: Path
    """Of certificates and passwords; what is missing is made."""

    def client(self, role: Role) -> KafkaSecurity:
        """What the clients of a role are given."""
        return KafkaSecurity(
            protocol="SASL_SSL",
            mechanism=MECHANISM,
            username=role.user,
            password=password_of(self.folder, role.user),
            ca_file=LocalAuthority(self.folder).open().ca,
        )

    def server_settings(self) -> dict[str, object]:
        """The lines of ``server.properties``; they hold a password.

        Clients log in over TLS. The controller's listener takes the broker's own certificate alone.
        """
        authority = LocalAuthority(self.folder).open()
        pair = authority.issue(BROKER)
        store = self.folder / f"{BROKER}.store.pem"
        store.touch(mode=0o600)
        store.write_text(pair.key.read_text() + pair.cert.read_text())
        password = password_of(self.folder, BROKER)
        listener = f"listener.name.clients.{MECHANISM.lower()}.sasl.jaas.config"
        return {
            "listener.security.protocol.map": "CLIENTS:SASL_SSL,CONTROLLER:SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": store,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": authority.ca,
            "ssl.enabled.protocols": "TLSv1.3,TLSv1.2",
            "ssl.cipher.suites": _CIPHERS,
            "listener.name.controller.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            listener: f'{_LOGIN} username="{BROKER}" password="{password}";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{BROKER};User:CN={BROKER};User:{Role.ADMIN.user}",
        }

    def format_words(self) -> list[str]:
        """Arguments of the storage tool: the users, by salted hashes and not by passwords.

        A process list shows them, and nobody can log in by them.
        """
        words = []
        for user in (BROKER, *(role.user for role in Role)):
            made = ScramCredential.of(password_of(self.folder, user))
            salt, salted = (b64encode(b).decode() for b in (made.salt, made.salted_password))
            known = f'iterations={made.iterations},salt="{salt}",saltedpassword="{salted}"'
            words += ["--add-scram", f"{MECHANISM}=[name={user},{known}]"]
        return words

    def apply_access(self, servers: str) -> None:
        """Let each role do what ``streams.principals`` says; rules that are there stay.

        Raises:
            AndonError: the broker does not take them.
        """
        connection = KafkaConnection(servers, security=self.client(Role.ADMIN))
        asyncio.run(add_rules(connection, wanted_rules()))

    def is_serving(self, servers: str) -> bool:
        """Whether the administrator can log in, and the broker belongs to its cluster."""
        if not port_is_open(int(servers.rpartition(":")[2])):
            return False
        connection = KafkaConnection(servers, _ASK_S, security=self.client(Role.ADMIN))
        try:
            return asyncio.run(_brokers(connection)) > 0
        except DOWN:
            return False


async def _brokers(connection: KafkaConnection) -> int:
    admin = connection.admin()
    try:
        await admin.start()
        found = await admin.describe_cluster()
        return len(found["brokers"])
    finally:
        await admin.close()
