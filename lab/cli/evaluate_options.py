"""What ``evaluate pipeline`` and ``evaluate ablation`` share: options, endpoint, leave to spend."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import typer
from pydantic import Field, ValidationError, field_validator

from andon.cli.options import More, MoreOptions
from andon.settings import load_settings
from streams.errors import AndonError

if TYPE_CHECKING:
    from serving.naming.settings import EndpointSettings


@dataclass(frozen=True)
class Asked:
    """What ``evaluate pipeline`` and ``evaluate ablation`` are asked for every day."""

    dataset: Annotated[Path, typer.Argument(help="One object's folder, or a folder of objects.")]
    descriptions: Annotated[
        Path,
        typer.Option(help="The authors' JSON, a policy (*.yaml), or a folder of policies."),
    ]
    regions: Annotated[
        Literal["expert", "oracle"],
        typer.Option(help="oracle: masks are the regions, the truth is the gate."),
    ] = "expert"
    protocol: Annotated[
        Literal["andon", "velm"] | None,
        typer.Option(help="velm: the paper's prompt, closed class set, random reference."),
    ] = None
    endpoint: Annotated[
        str,
        typer.Option(help="An endpoint of the settings by name, or a URL up to and including /v1."),
    ] = ""
    model: Annotated[str, typer.Option(help="Model to ask (needed with a URL as --endpoint).")] = ""
    twin: Annotated[bool, typer.Option("--twin", help="Ask the local twin; no network.")] = False
    out: Annotated[
        Path | None, typer.Option(help="Folder for predictions, figures, a row per picture.")
    ] = None
    more: More = None
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Spend without asking.")] = False


class EvaluateError(AndonError):
    """What was asked of ``andon evaluate`` cannot be done."""


class EvaluationOptions(MoreOptions):
    """The options of ``--set``."""

    benchmark: Literal["auto", "mvtec-ad", "mvtec-ac", "visa", "visa-ac"] = Field(
        "auto", description="Published data set to check against or derive."
    )
    rules: Path | None = Field(
        None, description="Your own refinement, in the form of lab/datasets/data/*.yaml."
    )
    objects: tuple[str, ...] = Field((), description="Only these, comma-separated.")
    limit: int | None = Field(None, ge=1, description="Most pictures scored of each class.")
    gate: bool = Field(True, description="false: name every picture, also the normal ones.")
    shots: int = Field(5, ge=1, le=64, description="Exemplars per class (prototypes, cascade).")
    seed: int = Field(0, description="Of exemplars and random references.")
    experts: Path | None = Field(
        None, description="Trained experts, <object>/<version>; without it they are trained."
    )
    expert: Literal["patchcore", "ddad"] = Field(
        "patchcore", description="Which kind of expert to train."
    )
    false_alarm_rate: float = Field(
        0.03, gt=0, le=0.5, description="Asked of the expert's calibration, (0, 0.5]."
    )
    api_key_env: str = Field("", description="Environment variable that holds the URL's key.")
    zone: Literal["loopback", "plant", "external"] | None = Field(
        None, description="Where the URL runs (else loopback or external, by its host)."
    )
    price_in: float | None = Field(None, ge=0, description="Per million prompt tokens.")
    price_out: float | None = Field(None, ge=0, description="Per million answer tokens.")
    max_cost: float = Field(1.0, ge=0, description="Ask before more than this could be spent.")
    egress: Literal["none", "crop", "full"] | None = Field(
        None, description="What an external endpoint may be shown (else the policy's, or none)."
    )
    cache: Path = Field(
        Path(".andon/cache"), description="Experts and answers; the same folder resumes."
    )
    resamples: int = Field(1000, ge=0, description="Bootstrap rounds; 0 is none.")

    @field_validator("objects", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            [o.strip() for o in value.split(",") if o.strip()] if isinstance(value, str) else value
        )


def chosen_endpoint(
    stack: ExitStack, asked: Asked, more: EvaluationOptions
) -> "EndpointSettings | None":
    """The endpoint that the options mean; a twin runs until the stack is closed."""
    endpoint, model = asked.endpoint, asked.model
    if asked.twin and endpoint:
        raise EvaluateError("--twin excludes --endpoint")
    if asked.twin:
        from lab.llm_twin.app import Twin
        from lab.llm_twin.server import TwinServer

        server = stack.enter_context(TwinServer(Twin()))
        return _at_url(server.base_url, model or "twin", more, "twin")
    if "://" in endpoint:
        if not model:
            raise EvaluateError("a URL as --endpoint needs --model")
        return _at_url(endpoint, model, more, "llm")
    return _of_settings(endpoint, model, more)


def _at_url(url: str, model: str, more: EvaluationOptions, name: str) -> "EndpointSettings":
    from serving.naming.settings import EndpointSettings, EndpointZone, PriceSettings

    host = urlsplit(url).hostname or ""
    is_local = host in ("localhost", "::1") or host.startswith("127.")
    zone = more.zone or ("loopback" if is_local else "external")
    try:
        return EndpointSettings(
            name=name,
            base_url=url,
            model=model,
            api_key_env=more.api_key_env,
            zone=EndpointZone(zone),
            logprobs=name == "twin",
            prices=PriceSettings(tokens_in=more.price_in or 0.0, tokens_out=more.price_out or 0.0),
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise EvaluateError(f"--endpoint {url}: {first['msg']}") from None


def _of_settings(name: str, model: str, more: EvaluationOptions) -> "EndpointSettings | None":
    configured = load_settings().classifier
    wanted = name or configured.endpoint
    if not configured.endpoints and not name:
        return None
    found = next((e for e in configured.endpoints if e.name == wanted or not wanted), None)
    if found is None:
        names = ", ".join(e.name for e in configured.endpoints) or "none is configured"
        raise EvaluateError(
            f"no endpoint {wanted!r} in the settings ({names}): ANDON_CLASSIFIER__ENDPOINTS, "
            "a URL and --model, or --twin"
        )
    prices = {"tokens_in": more.price_in, "tokens_out": more.price_out}
    given = {k: v for k, v in prices.items() if v is not None}
    priced = found.prices.model_copy(update=given)
    return found.model_copy(update={"model": model or found.model, "prices": priced})
