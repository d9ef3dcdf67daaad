"""Who logs people in besides the console itself: the ``[oidc]`` section of the settings."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from console.access import ConsoleRole
from streams.addresses import is_loopback
from streams.settings import Section


class OidcSettings(Section):
    """The plant's OpenID Connect provider; without `issuer` people have passwords here alone."""

    issuer: str = ""
    """Address of the provider, such as ``https://login.plant/realms/plant``; what it can do is read
    from ``/.well-known/openid-configuration`` below it."""
    client_id: str = "andon"
    """What the provider calls the console."""
    client_secret: SecretStr = SecretStr("")
    """The console's secret at the provider; empty for a client without one. PKCE is used anyway."""
    name: Annotated[str, Field(max_length=80)] = "SSO"
    """What the button on the login page calls the provider."""
    scopes: str = "openid profile email groups"
    """What is asked for, separated by spaces; ``openid`` among it."""
    name_claim: str = "preferred_username"
    """Which of the provider's claims is the person's name here."""
    groups_claim: str = "groups"
    """Which claim lists the person's groups."""
    roles: dict[str, ConsoleRole] = Field(default_factory=dict, max_length=256)
    """Role by group. Who is in several has the one that may most; who is in none comes not in."""
    redirect_url: str = ""
    """Where the provider sends people back to: the console's address and ``/oidc/back``. Unset: the
    address that the browser asked for."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """Seconds that one answer of the provider may take."""

    @field_validator("issuer", "redirect_url")
    @classmethod
    def _is_safe(cls, value: str) -> str:
        parts = urlsplit(value)
        is_near = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if value and not (parts.hostname and (parts.scheme == "https" or is_near)):
            raise ValueError(f"{value!r} must begin with https:// (http:// on loopback alone)")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _lets_somebody_in(self) -> Self:
        if self.issuer and not self.roles:
            raise ValueError("roles: nobody would come in; name the role of a group at least")
        if self.issuer and "openid" not in self.scopes.split():
            raise ValueError("scopes: 'openid' must be among them")
        return self
