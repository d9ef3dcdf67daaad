"""The settings of the Serve application: ``args`` and ``user_config`` of ``infra/serve.yaml``."""

from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from serving.errors import ServeConfigError
from streams.names import LONGEST
from streams.settings import Section

VISION = "VisionExpert"
"""Deployment name of the vision expert."""
CLASSIFIER = "AnomalyClassifier"
"""Deployment name of the classifier actors."""
INGRESS = "Ingress"
"""Deployment name of the server that workers call."""
LATEST: Final = "latest"
"""In place of a digest: what the store has in force, which the replica follows."""

Product = Annotated[str, Field(min_length=1, max_length=LONGEST, pattern=r"^[^\x00-\x1f\x7f]+$")]
Version = Annotated[str, Field(pattern=r"^([0-9a-f]{64}|latest)$")]
"""Digest of a bundle (SHA-256 of its ``manifest.json``, hexadecimal), or ``latest``."""

Follow = Annotated[float, Field(ge=0, le=3600)]
"""How often a replica looks which version the store has in force for the products that ask for
``latest``, seconds; 0: only when it is configured."""


class VisionSettings(Section):
    """How one replica of the vision expert works."""

    batch: Annotated[int, Field(ge=1, le=256)] = 8
    """Most images scored at once."""
    batch_wait_ms: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """How long a batch waits to fill when the expert is idle, milliseconds; what comes while it is
    busy travels together anyway."""
    queue_mib: Annotated[int, Field(ge=8, le=65536)] = 256
    """Bound on encoded images waiting in one replica, MiB; beyond it items fail, retryable."""
    decode_threads: Annotated[int, Field(ge=1, le=64)] = 1
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Compute threads of one replica; two spinning threads on a busy machine lose to one."""
    runtime: Literal["auto", "torch", "openvino"] = "auto"
    precision: Literal["auto", "f32", "bf16", "fp16"] = "auto"
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    health_interval_s: Annotated[float, Field(ge=1, le=3600)] = 30.0
    """A replica that scored nothing for this long scores its known image on a health check."""
    follow_s: Follow = 5.0
    heads_mib: Annotated[int, Field(ge=16, le=1_048_576)] = 1024
    """What experts of products may take in the memory of one replica, MiB, beside the backbone that
    they share; the ones asked for longest ago are let go, and loaded again when they are asked for.
    Products of stations' recipes stay whatever they take."""
    by_product: bool = False
    """Each product is scored by one of the replicas, the same while it lives, so that every replica
    holds the heads of its share of the products; else any replica scores any product."""
    shadow_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of a product's frames that the version in its shadow scores too; 0: none."""
    loader: str = "serving.experts.artifact:load_expert"
    """``module:function`` that opens an artifact folder."""


class ClassifierArguments(Section):
    """Which classifier the actors run, and how."""

    kind: str = "prototypes"
    """``prototypes``, ``velm``, ``cascade``, or ``module:function`` of a builder of one's own.

    In ``infra/serve.yaml`` also ``settings``: what ``ANDON_CLASSIFIER__*`` says.
    """
    options: dict[str, object] = Field({})
    """What the builder of that kind takes; it validates them itself."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 32
    """Requests one actor works on at once; more wait."""
    follow_s: Follow = 5.0


class AppSettings(Section):
    """``args`` of the application."""

    artifacts: str | None = None
    """Folder or ``s3://bucket/prefix`` of experts; default: ``ANDON_PATHS__ARTIFACTS``."""
    exemplars: str | None = None
    """Folder or ``s3://bucket/prefix`` of exemplar bundles; default: ``ANDON_PATHS__EXEMPLARS``."""
    ingress: str | None = None
    """host:port on which workers' calls arrive; default: ``ANDON_SERVE__INGRESS``."""
    vision: VisionSettings = VisionSettings()
    classifier: ClassifierArguments | None = ClassifierArguments()
    """``null`` deploys no classifier: every anomaly gets the policy's fallback."""


class VisionUserConfig(Section):
    """``user_config`` of the vision expert; a change swaps versions while frames flow."""

    products: dict[Product, Version] | Literal["latest"] = LATEST
    """Digest by product; ``latest`` alone: every product of the store, at its newest version."""


class ClassifierUserConfig(Section):
    """``user_config`` of the classifier actors."""

    exemplars: dict[Product, Version] | Literal["latest"] = LATEST
    """Exemplar bundle by product."""


S = TypeVar("S", bound=Section)


def parse(model: type[S], value: object, where: str) -> S:
    """Validate ``value`` as ``model``.

    >>> parse(VisionUserConfig, {"products": "latest"}, "user_config").products
    'latest'

    Raises:
        ServeConfigError: names each field that is wrong and what it should be.
    """
    try:
        return model.model_validate(value if value is not None else {})
    except ValidationError as error:
        found = error.errors(include_url=False)
        inner = [e for e in found if e["type"] != "literal_error"]
        problems = "; ".join(_problem(e) for e in inner or found)
        raise ServeConfigError(f"{where}: {problems}") from None


def _problem(error: ErrorDetails) -> str:
    place = ".".join(str(p) for p in error["loc"] if "[" not in str(p)) or "value"
    if error["type"] == "string_type" and "[key]" in error["loc"]:
        return (
            f"{place}: a product is text, and YAML reads this one as {error['input']!r}: write it "
            "in quotes, as it stands in the policy"
        )
    if "string_pattern_mismatch" in error["type"] and "0-9a-f" in error["msg"]:
        return (
            f"{place}: {error['input']!r} is no digest (64 hexadecimal digits, as `train` prints)"
        )
    return f"{place}: {error['msg']}"
