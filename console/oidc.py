"""Logging in at the plant's OpenID Connect provider, by Authlib: PKCE, state and nonce.

What is begun here is remembered in this process for some minutes under a random cookie; a console
that was started again asks people to begin anew.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
from fastapi import Request, Response

from console.access import ConsoleRole
from console.credentials import new_secret
from console.oidc_settings import OidcSettings
from streams.errors import AndonError, UnavailableError

log = structlog.get_logger(__name__)
COOKIE: Final = "andon_oidc"
LASTS_S: Final = 600
"""How long somebody may take at the provider, seconds."""
_REMEMBERED: Final = 1000
_LADDER: Final = (
    ConsoleRole.VIEWER,
    ConsoleRole.OPERATOR,
    ConsoleRole.QUALITY,
    ConsoleRole.ENGINEER,
    ConsoleRole.ADMIN,
)
"""From what may least to what may most."""
Session = dict[str, object]
Answer = TypeVar("Answer")


class OidcRefusedError(AndonError):
    """The provider, or what it said, lets nobody in."""


@dataclass(frozen=True)
class Vouched:
    """A person as the provider knows them."""

    name: str
    role: ConsoleRole | None
    """None where none of their groups has a role."""


def role_of(groups: Iterable[object], roles: Mapping[str, ConsoleRole]) -> ConsoleRole | None:
    """The role of somebody in these groups.

    >>> roles = {"line": ConsoleRole.OPERATOR, "quality": ConsoleRole.QUALITY}
    >>> role_of(["line", "quality", "choir"], roles), role_of(["choir"], roles)
    (<ConsoleRole.QUALITY: 'quality'>, None)
    """
    found = [roles[group] for group in map(str, groups) if group in roles]
    return max(found, key=_LADDER.index, default=None)


class SingleSignOn:
    """One provider.

    Args:
        settings: with an issuer.
    """

    def __init__(self, settings: OidcSettings) -> None:
        from authlib.integrations.starlette_client import OAuth

        self.name = settings.name
        self.redirect_url = settings.redirect_url
        self._settings = settings
        self._begun: OrderedDict[str, tuple[float, Session]] = OrderedDict()
        secret = settings.client_secret.get_secret_value()
        public = {} if secret else {"token_endpoint_auth_method": "none"}
        self._provider = OAuth().register(
            "plant",
            client_id=settings.client_id,
            client_secret=secret or None,
            server_metadata_url=f"{settings.issuer}/.well-known/openid-configuration",
            client_kwargs={
                "scope": settings.scopes,
                "code_challenge_method": "S256",
                "timeout": settings.timeout_s,
                **public,
            },
        )

    async def begin(self, request: Request, back_to: str, there: str) -> Response:
        """To the provider, which sends the browser to ``back_to``; then it goes ``there``.

        Raises:
            UnavailableError: the provider does not answer.
        """
        session: Session = {}
        request.scope["session"] = session
        answer: Response = await self._asked(
            self._provider.authorize_redirect(request, self.redirect_url or back_to)
        )
        session["there"] = there
        key = new_secret()
        self._begun[key] = time.monotonic(), session
        while len(self._begun) > _REMEMBERED:
            self._begun.popitem(last=False)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, key, LASTS_S, httponly=True, samesite="lax", secure=secure)
        return answer

    async def finish(self, request: Request) -> tuple[Vouched, str]:
        """Who came back from the provider, and where they were going. It works once.

        Raises:
            OidcRefusedError: nothing was begun in this browser, or the provider says no.
            UnavailableError: the provider does not answer.
        """
        begun_s, session = self._begun.pop(request.cookies.get(COOKIE, ""), (0.0, {}))
        if not session or time.monotonic() - begun_s > LASTS_S:
            raise OidcRefusedError("no login was begun in this browser, or too long ago")
        request.scope["session"] = session
        token = await self._asked(self._provider.authorize_access_token(request))
        signed = token.get("userinfo") or {}
        told = await self._asked(self._provider.userinfo(token=token))
        if not signed.get("sub") or told.get("sub") != signed["sub"]:
            raise OidcRefusedError("the provider's two answers are about two people")
        claims: dict[str, object] = {**signed, **told}
        groups = claims.get(self._settings.groups_claim)
        listed = groups if isinstance(groups, list) else [groups] if groups else []
        name = str(claims.get(self._settings.name_claim) or "")
        return Vouched(name, role_of(listed, self._settings.roles)), str(session.get("there", "/"))

    async def leave(self, home: str) -> str:
        """The provider's page that ends its own session; empty where it has none."""
        metadata = await self._asked(self._provider.load_server_metadata())
        if not metadata.get("end_session_endpoint"):
            return ""
        asked = self._provider.create_logout_url(
            post_logout_redirect_uri=home, client_id=self._settings.client_id
        )
        return str((await self._asked(asked))["url"])

    async def _asked(self, question: Awaitable[Answer]) -> Answer:
        """Authlib's answer, its own errors and those of what it uses as ours."""
        import httpx2
        from authlib.common.errors import AuthlibBaseError
        from joserfc.errors import JoseError

        try:
            return await question
        except (AuthlibBaseError, JoseError) as error:  # MismatchingStateError among them
            log.warning("console.oidc_refused", why=f"{type(error).__name__}: {error}"[:300])
            raise OidcRefusedError("the provider let nobody in: begin again") from None
        except (httpx2.HTTPError, ValueError, KeyError) as error:
            log.warning("console.oidc_away", why=f"{type(error).__name__}: {error}"[:300])
            raise UnavailableError("the provider of logins does not answer") from None
