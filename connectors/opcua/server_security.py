"""An OPC UA server's side of security: its certificate, its trust list, its users.

asyncua's server opens a channel without a policy whatever it offers, and lets a session read and
write before it is activated. So whoever reads or writes must be a user that was let in.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog
from asyncua import Server, ua
from asyncua.common.callback import CallbackType, ServerItemCallback
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import SimpleRoleRuleset, User, UserRole
from asyncua.server.internal_server import InternalServer
from cryptography import x509

from connectors.errors import CertificateError
from connectors.pki.certificates import named, read_certificates, uris_of
from connectors.pki.folder import PkiFolder
from connectors.pki.trust import CertificateRefusal, Expected, refusal

log = structlog.get_logger(__name__)
OFFERED = [
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ua.SecurityPolicyType.Basic256Sha256_Sign,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_Sign,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_Sign,
]
"""What a secured server offers; nothing without a policy is among it."""


@dataclass
class ServerSecurity:
    """Who may speak to a server of ours.

    Args:
        pki: its own certificate, and the trust list of its clients.
        users: password by user name; with none anonymous clients are taken, if their certificate
            is trusted.
        user_certificates: of users who have one instead of a password.
    """

    pki: PkiFolder
    users: Mapping[str, str] = field(default_factory=dict)
    user_certificates: tuple[x509.Certificate, ...] = ()
    refused: list[CertificateRefusal] = field(default_factory=list)
    """What was turned away, in order."""

    async def apply(self, server: Server) -> None:
        """Set a server's policies, certificate and checks, before it listens."""
        own = self.pki.identity()
        await server.set_application_uri(own.uri)
        await server.load_certificate(own.certificate_der, "der")
        await server.load_private_key(own.key_pem, format="pem")
        server.set_security_policy(OFFERED, SimpleRoleRuleset())
        kinds: list[type] = [ua.UserNameIdentityToken] if self.users else []
        kinds += [ua.X509IdentityToken] if self.user_certificates else []
        server.set_identity_tokens(kinds or [ua.AnonymousIdentityToken])
        server.set_certificate_validator(self._check_session)
        server.iserver.set_user_manager(self)
        for moment in (CallbackType.PreRead, CallbackType.PreWrite):
            server.subscribe_server_callback(moment, _only_users)

    async def _check_session(
        self, certificate: x509.Certificate, told: ua.ApplicationDescription
    ) -> None:
        found = self._judge([certificate], told.ApplicationUri)
        if found is not None:
            raise ServiceError(getattr(ua.StatusCodes, found.why.value))

    def get_user(
        self,
        iserver: InternalServer,
        username: str | None = None,
        password: str | None = None,
        certificate: bytes | None = None,
    ) -> User | None:
        """Who asks to be let in, as asyncua's ``UserManager``; None refuses it.

        Args:
            iserver: not asked.
            username: where the client has a name and a password.
            password: of the user.
            certificate: the channel's, or the user's where that is what the client has.
        """
        if not certificate:
            return None
        chain = read_certificates(certificate, "the client's certificate")
        if username:
            is_right = hmac.compare_digest(
                self.users.get(username, "").encode(), (password or "").encode()
            )
            is_in = username in self.users and is_right and self._is_trusted(chain)
        elif self.user_certificates:
            is_in = chain[0] in self.user_certificates
        else:
            is_in = not self.users and self._is_trusted(chain)
        return User(UserRole.User, username) if is_in else None

    def _is_trusted(self, chain: list[x509.Certificate]) -> bool:
        return self._judge(chain, next(iter(uris_of(chain[0])), "")) is None

    def _judge(self, chain: list[x509.Certificate], uri: str) -> CertificateRefusal | None:
        now, expected = datetime.now(UTC), Expected("client", uri)
        found = refusal(chain, self.pki.trust_list(), expected, now)
        if found is not None:
            self.refused.append(found)
            self.pki.put("rejected", chain[0])
            log.warning("plc.client_refused", certificate=named(chain[0]), why=found.words)
        return found


async def _only_users(event: ServerItemCallback, _dispatcher: object = None) -> None:
    if event.is_external and event.user.role is UserRole.Anonymous:
        raise ServiceError(ua.StatusCodes.BadUserAccessDenied)


def read_security(root: Path) -> ServerSecurity:
    """What a folder says: certificates as ``PkiFolder``, and a file for each user in ``users/``.

    Raises:
        CertificateError: the folder holds no certificate and key.
    """
    pki = PkiFolder(root)
    if not pki.has_identity:
        raise CertificateError(
            f"{root} holds no certificate of a server (own/); make one: "
            f"andon plc trust make --server {root}"
        )
    users = {path.name: path.read_text().rstrip("\n") for path in sorted(root.glob("users/*"))}
    return ServerSecurity(pki, users)
