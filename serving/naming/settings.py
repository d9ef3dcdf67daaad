"""Settings of the naming stage; section ``classifier`` of Andon's settings."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from prompts import PromptParts
from serving.naming.addresses import Address, read_address
from serving.naming.manners import Manners
from streams.addresses import is_loopback
from streams.settings import Section

NO_KEY: Final = "none"
"""Stands for the key of an endpoint that asks for none."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class EndpointZone(StrEnum):
    """Where an endpoint runs; the policy's ``egress`` restricts ``external`` ones."""

    LOOPBACK = "loopback"
    PLANT = "plant"
    EXTERNAL = "external"


class BreakerSettings(Section):
    """When to stop asking an endpoint that fails."""

    failures: Annotated[int, Field(ge=1, le=1000)] = 5
    """Consecutive failed calls that open the breaker."""
    open_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Seconds without calls before one probe is let through; doubled after a failed probe."""
    open_most_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """Longest pause, seconds."""


class BudgetSettings(Section):
    """What all replicas of the classifier together may spend in any sliding hour; None is no
    limit."""

    tokens_per_h: Annotated[int, Field(ge=1)] | None = None
    """Prompt and answer tokens together; each replica has an equal share."""
    money_per_h: Annotated[float, Field(gt=0)] | None = None
    """Money per hour, in the currency of the prices; each replica has an equal share."""

    def shared_by(self, replicas: int) -> "BudgetSettings":
        """The share of one of so many."""
        tokens, money = self.tokens_per_h, self.money_per_h
        return BudgetSettings(
            tokens_per_h=None if tokens is None else max(1, tokens // replicas),
            money_per_h=None if money is None else money / replicas,
        )


class PriceSettings(Section):
    """Price list of a model."""

    tokens_in: Annotated[float, Field(ge=0)] = 0.0
    """Price per million prompt tokens."""
    tokens_out: Annotated[float, Field(ge=0)] = 0.0
    """Price per million answer tokens."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    """ISO 4217 code of the prices, for reports."""

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """Price of one call."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


class EndpointSettings(Section):
    """One OpenAI-compatible endpoint with one model."""

    name: Name = "llm"
    """What the cascade, logs and ``andon llm check`` call it."""
    base_url: Annotated[str, Field(min_length=1, max_length=2000)]
    """Address up to and including ``/v1``; a query is sent with every call."""
    model: Annotated[str, Field(min_length=1, max_length=200)]
    """The model's name as the endpoint knows it; on Azure, the deployment's."""
    api_key: SecretStr = SecretStr(NO_KEY)
    """The key itself, for trials; Ray refuses it, since its dashboard would show it."""
    api_key_env: Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")] = ""
    """Environment variable that holds the key instead, so that no file has to."""
    api_key_file: Path | None = None
    """File that holds the key instead, on the host that asks."""
    key_in_the_clear: bool = False
    """Send the key by plain ``http://`` over a network, where anyone between can read it."""
    zone: EndpointZone = EndpointZone.EXTERNAL
    """Stated, never guessed; ``loopback`` is checked against ``base_url``."""
    headers: dict[str, SecretStr] = Field({})
    """Further request headers, such as ``api-key`` on Azure."""
    structured: Literal["json_schema", "json_object", "none"] = "json_schema"
    """How the answer is constrained; the answer is checked by us in every case."""
    logprobs: bool = False
    """Whether to ask for token log-probabilities; where they are given, they are the confidence."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 5
    """Alternatives of each token that are asked for; they name the runners-up."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0.0
    """``none`` leaves it out, for models that accept their default only."""
    max_tokens: Annotated[int, Field(ge=8, le=32_768)] = 64
    """The longest answer, with its reasoning, in tokens."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """Older servers know ``max_tokens`` only."""
    detail: Literal["auto", "low", "high"] | None = "auto"
    """Image detail; ``none`` leaves it out."""
    accepts: Manners | None = None
    """What ``andon llm check`` found out; without it, it is learned from the first refusals."""
    extra_body: dict[str, object] = Field({})
    """Further fields of the request, such as vLLM's ``chat_template_kwargs``."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 20.0
    """A single call is abandoned after this and may be tried again."""
    connect_timeout_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Longest wait for a connection, TLS included."""
    max_concurrency: Annotated[int, Field(ge=1, le=4096)] = 8
    """Calls in flight of all replicas of the classifier together, late ones included; each has an
    equal share, and at least one."""
    max_waiting: Annotated[int, Field(ge=0, le=100_000)] = 1024
    """Requests that may wait for a free place; further ones fail at once."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 4
    """Calls for one question, the first included, while time remains."""
    backoff_s: Annotated[float, Field(gt=0, le=60)] = 0.1
    """Pause before the first retry, doubled each time, with full jitter."""
    backoff_most_s: Annotated[float, Field(gt=0, le=600)] = 5.0
    """Longest pause between two calls of one question."""
    max_answer_bytes: Annotated[int, Field(ge=1024, le=64 << 20)] = 262_144
    """A response body larger than this is not read to its end."""
    breaker: BreakerSettings = BreakerSettings()
    budget: BudgetSettings = BudgetSettings()
    prices: PriceSettings = PriceSettings()

    def shared_by(self, replicas: int) -> "EndpointSettings":
        """As one of so many classifiers may ask it."""
        return self.model_copy(
            update={
                "max_concurrency": max(1, self.max_concurrency // replicas),
                "budget": self.budget.shared_by(replicas),
            }
        )

    @property
    def address(self) -> Address:
        """Where calls go, read from ``base_url``."""
        return read_address(self.base_url)

    @field_validator("temperature", "detail", mode="before")
    @classmethod
    def _read_none(cls, value: object) -> object:
        """TOML has no null: the word says it."""
        return None if str(value).strip().lower() in ("none", "null") else value

    @field_validator("base_url")
    @classmethod
    def _check_address(cls, value: str) -> str:
        read_address(value)
        return value

    @model_validator(mode="after")
    def _check_zone(self) -> "EndpointSettings":
        host = self.address.host
        if self.zone is EndpointZone.LOOPBACK and not is_loopback(host):
            raise ValueError(
                f"endpoint {self.name!r} says zone 'loopback' but base_url names {host!r}; "
                "say 'plant' or 'external', or pictures could leave the plant unasked"
            )
        if self.zone is EndpointZone.PLANT and self.address.is_public_service:
            raise ValueError(
                f"endpoint {self.name!r} says zone 'plant' but base_url names {host!r}, a "
                "service on the internet; say 'external', and a policy's egress says what may leave"
            )
        plain = self.address.base.startswith("http://") and not is_loopback(host)
        if self.zone is EndpointZone.EXTERNAL and plain:
            raise ValueError(f"endpoint {self.name!r} is external: base_url must be https")
        if plain and self.has_key and not self.key_in_the_clear:
            raise ValueError(
                f"endpoint {self.name!r} would send its key to {host!r} by plain http: "
                "write https into base_url, or set key_in_the_clear"
            )
        return self

    @property
    def has_key(self) -> bool:
        """Whether a key, or a header that may be one, goes with each call."""
        is_given = self.api_key.get_secret_value().strip() not in ("", NO_KEY)
        return is_given or bool(self.api_key_env or self.api_key_file or self.headers)


class VisualSettings(Section):
    """How the pictures are made. The defaults are the paper's."""

    side_px: Annotated[int, Field(ge=64, le=2048)] = 448
    """Height and width of every picture; the aspect is squashed, as the expert does."""
    contour_px: Annotated[int, Field(ge=1, le=16)] = 2
    """Width of the red line."""
    encoding: Literal["png", "jpeg"] = "png"
    """PNG is lossless; JPEG (4:4:4) takes half the bytes."""
    jpeg_quality: Annotated[int, Field(ge=50, le=100)] = 95
    """Quality of JPEG, in OpenCV's scale."""
    zoom: bool = False
    """Add a fourth picture: the region enlarged."""
    numbered: bool = False
    """Write a number beside each region of the outlined picture."""
    crop_margin: Annotated[float, Field(ge=0.0, le=2.0)] = 0.25
    """Border around the region in a crop, as a share of the region's longer side."""
    crop_least_px: Annotated[int, Field(ge=8, le=2048)] = 64
    """A crop is never smaller than this, image pixels: detail without context says nothing."""
    crop_most_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.6
    """With egress ``crop``: a crop that shows more of the picture than this does not leave."""


class VelmSettings(Section):
    """The multimodal classifier."""

    protocol: Literal["andon", "velm"] = "andon"
    """``velm``: the paper's own setting: closed class set, its prompt, a random reference."""
    parts: PromptParts = PromptParts()
    visual: VisualSettings = VisualSettings()
    calls: Annotated[int, Field(ge=1, le=15)] = 1
    """Calls per part; with several the majority of those that answer in time decides, and agreement
    gives the confidence."""
    repeat_temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Temperature of the calls after the first."""


class CascadeSettings(Section):
    """Local first, a language model only where it is unsure."""

    order: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)] = ("prototypes", "llm")
    """``prototypes`` and names of endpoints, cheapest first."""
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field({"prototypes": 0.9})
    """Least confidence with which a stage's answer stands; the last stage needs none.
    Choose with ``lab.benchmarks.thresholds.choose_threshold``."""
    time_share: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Share of the time left that a stage may take while another follows; of an endpoint, of the
    time until the part's fallback."""
    when_down: Literal["unknown", "answer"] = "unknown"
    """When every stage after an unsure answer fails: ``unknown``, or the unsure answer itself, in
    time for the part."""


class ClassifierSettings(Section):
    """Who names anomalies."""

    kind: Literal["prototypes", "velm", "cascade"] = "prototypes"
    """Exemplars on this host, a multimodal model behind an endpoint, or one after the other."""
    endpoints: Annotated[tuple[EndpointSettings, ...], Field(max_length=16)] = ()
    endpoint: str = ""
    """With ``velm``: which endpoint; the first when empty."""
    velm: VelmSettings = VelmSettings()
    cascade: CascadeSettings = CascadeSettings()

    @model_validator(mode="after")
    def _check_names(self) -> "ClassifierSettings":
        names = [e.name for e in self.endpoints]
        if len(set(names)) != len(names):
            raise ValueError(f"endpoints share a name: {', '.join(names)}")
        if self.kind == "velm" and not names:
            raise ValueError("kind 'velm' needs an endpoint; `andon llm twin` runs a local one")
        if self.endpoint and self.endpoint not in names:
            raise ValueError(
                f"endpoint {self.endpoint!r} is not among {', '.join(names) or 'none'}"
            )
        if self.kind == "cascade":
            absent = [s for s in self.cascade.order if s not in ("prototypes", *names)]
            if absent:
                raise ValueError(f"cascade stages without an endpoint: {', '.join(absent)}")
        return self
