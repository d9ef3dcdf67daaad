"""Settings of the vision server: ``ANDON_VISION__URL``, ``[vision]`` in ``andon.toml``."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from streams.addresses import is_loopback, read_opcua_url
from streams.settings import Section


class VisionServerSettings(Section):
    """How clients of OPC 40100-1 reach this station; the station itself is of ``gateway``."""

    url: str = "opc.tcp://127.0.0.1:14841"
    """Where the server listens; ``opc.tcp://0.0.0.0:4840`` for every interface."""
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^.\x00-\x1f]+$")] = "Andon"
    """Browse name of the vision system below Objects."""
    pki_dir: Path | None = None
    """The server's certificate and key (`own/`), the clients that it trusts (`trusted/`), and
    `users/NAME` files with passwords. Unset: anyone may connect, on loopback only."""
    window_ms: Annotated[int, Field(gt=0, le=3_600_000)] = 1000
    """A job's part is held by default so long after its trigger, milliseconds, unless
    ``gateway.result_window_ms`` says otherwise."""
    continuous_ms: Annotated[int, Field(gt=0, le=3_600_000)] = 1000
    """Continuous execution gives a trigger so long after the one before, at the earliest once that
    one has its result, milliseconds."""
    kept_results: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """How many results can be asked for by their id; older ones are in the history."""

    @field_validator("url")
    @classmethod
    def _read_url(cls, value: str) -> str:
        return read_opcua_url(value)

    @model_validator(mode="after")
    def _is_secured(self) -> Self:
        host = urlsplit(self.url).hostname or ""
        if self.pki_dir is None and not is_loopback(host):
            raise ValueError(
                f"pki_dir: it is not set, and anyone who reaches {host} could start jobs; name the "
                "folder of certificates and users, or listen on 127.0.0.1"
            )
        return self
