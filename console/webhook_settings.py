"""Whom the console tells what the line decides: the ``[webhook]`` section of the settings."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from streams.addresses import is_loopback
from streams.settings import Section

Told = Literal["decision", "acknowledgement", "alert"]


class WebhookSettings(Section):
    """One program that is told by HTTP; nobody without `url`."""

    url: str = ""
    """Where events are posted: ``https://``, or ``http://`` on loopback."""
    secret: SecretStr = SecretStr("")
    """Signs every message (HMAC-SHA-256): the receiver knows that it is from here, and when."""
    events: tuple[Told, ...] = ("decision", "alert")
    """Which events are posted."""
    only_stopped: bool = True
    """Whether of the decisions only those are posted that stopped a part."""
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    """Seconds that the receiver may take for one message."""
    longest_pause_s: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """Longest pause before a message is tried again, seconds; the first ones are shorter."""
    give_up_s: Annotated[float, Field(ge=60, le=604_800)] = 86_400.0
    """A message that is older is passed over, seconds: who was away for longer asks the API."""

    @field_validator("url")
    @classmethod
    def _is_safe(cls, value: str) -> str:
        parts = urlsplit(value)
        is_near = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if value and not (parts.hostname and (parts.scheme == "https" or is_near)):
            raise ValueError("it must begin with https:// (http:// on loopback alone)")
        if parts.username or parts.password:
            raise ValueError("no password in the address: `secret` signs the messages")
        return value

    @model_validator(mode="after")
    def _is_signed(self) -> Self:
        if self.url and len(self.secret.get_secret_value()) < 16:
            raise ValueError("secret: at least 16 characters, which the receiver knows too")
        return self
