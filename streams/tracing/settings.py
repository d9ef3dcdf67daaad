"""Where traces go, and of which parts: the ``[tracing]`` section of the settings."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from streams.settings import Section

PATH = "/v1/traces"


class TracingSettings(Section):
    """Traces of parts across the processes, to a receiver of OpenTelemetry's protocol (OTLP)."""

    otlp_endpoint: str = ""
    """Address of a receiver of OTLP over HTTP, like ``http://tempo:4318``; `/v1/traces` is added.
    Empty: nothing is traced. `OTEL_EXPORTER_OTLP_HEADERS` holds what else it asks for."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the parts that are traced, from 0 to 1; the gateway's counts."""
    keep_odd: bool = True
    """Whether parts that the expert finds odd, that are held or decided late are all traced,
    whatever the share."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Seconds that the receiver may take for one batch; what it does not take is dropped."""

    @field_validator("otlp_endpoint")
    @classmethod
    def _read_endpoint(cls, value: str) -> str:
        text = value.strip().rstrip("/").removesuffix(PATH)
        if not text:
            return ""
        try:
            read = urlsplit(text)
            port = read.port
        except ValueError as error:
            raise ValueError(f"{error}; write http://tempo:4318") from None
        if read.scheme not in ("http", "https") or not read.hostname:
            raise ValueError("write http://HOST:4318, or https://: OTLP over gRPC is not spoken")
        if port == 4317:
            raise ValueError("4317 is the port of OTLP over gRPC; over HTTP it is 4318")
        if read.username or read.password or read.query or read.fragment:
            raise ValueError("an address alone; what the receiver asks for goes into "
                             "OTEL_EXPORTER_OTLP_HEADERS")  # fmt: skip
        return text

    @property
    def is_on(self) -> bool:
        """Whether anything is traced."""
        return bool(self.otlp_endpoint)
