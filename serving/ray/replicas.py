"""What the replicas of the application hold: asked at the ingress, answered by each replica."""

import asyncio
import json
from pathlib import Path
from typing import Final

import grpc
import grpc.aio
from pydantic import BaseModel, ConfigDict, ValidationError

from serving.ray.settings import VISION
from serving.ray.tokens import read_token, told_token
from streams.codes import ReasonCode
from streams.errors import UnavailableError
from streams.ports import Failure

STATUS: Final = "Status"
"""The ingress's method that asks every replica."""


class Spent(BaseModel):
    """Calls to an endpoint, and what they took."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    calls: int = 0
    tokens: int = 0
    money: float = 0.0


class ReplicaStatus(BaseModel):
    """One replica: the versions that it scores or names with."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    replica: str
    deployment: str
    build: str = ""
    """Which build of Andon its process runs; empty: one from before replicas said it."""
    versions: dict[str, str] = {}
    """Digest by product."""
    in_memory: list[str] | None = None
    """Products whose experts are in memory, the one asked for longest ago first; the others are
    loaded when they are asked for. None: all are."""
    in_memory_mib: float = 0.0
    held: list[str] = []
    """Products of stations' recipes, which stay in memory."""
    shadows: dict[str, str] = {}
    """Digest of the version that is scored beside, by product."""
    pinned: list[str] = []
    """Products whose digest stands in the configuration of Serve."""
    listed: list[str] | None = None
    """Products that the configuration of Serve names, which alone are served here; None: every
    product of the store is."""
    problems: dict[str, str] = {}
    """Why a product has no version, or not the one asked for; ``*``: of all products."""
    waiting: int = 0
    """Pictures in its queue."""
    scored: int = 0
    """Answers since it was started, and"""
    failed: int = 0
    """those that were failures."""
    sharing: int = 1
    """How many classifiers share what an endpoint may be asked, as this one counts them."""
    asked: dict[str, dict[str, Spent]] = {}
    """By endpoint, and whether calls were ``answered`` or ``unanswered``."""
    cpu_seconds: float = 0.0
    resident_bytes: int = 0


class ApplicationStatus(BaseModel):
    """Every replica that answered, and how many of each deployment there should be."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    replicas: list[ReplicaStatus]
    expected: dict[str, int]

    def of(self, deployment: str) -> list[ReplicaStatus]:
        """The replicas of one deployment."""
        return [r for r in self.replicas if r.deployment == deployment]

    @property
    def builds(self) -> dict[str, set[str]]:
        """Which builds of Andon the replicas of each deployment run."""
        found: dict[str, set[str]] = {}
        for replica in self.replicas:
            found.setdefault(replica.deployment, set()).add(replica.build)
        return found

    def missing(self, deployment: str) -> int:
        """Replicas of a deployment that should be there and did not answer."""
        return max(0, self.expected.get(deployment, 0) - len(self.of(deployment)))


def warm_version(status: ApplicationStatus, product: str, wanted: str) -> str | Failure:
    """The version of a product that every replica of the vision expert holds, or why there is none.

    Args:
        status: what every replica said after it had looked at the store.
        product: whose expert.
        wanted: how the version must begin; empty: any.
    """
    replicas, missing = status.of(VISION), status.missing(VISION)
    if missing or not replicas:
        said = f"{missing or 'all'} of its replicas did not answer"
        return Failure(ReasonCode.EXPERT_UNAVAILABLE, "ReplicaMissing", said, retryable=True)
    for replica in replicas:
        if product not in replica.versions:
            why = replica.problems.get(product) or replica.problems.get("*")
            why = why or "no version of it is in force"
            message = f"no expert for product {product!r}: {why}"
            return Failure(ReasonCode.NO_ARTIFACT, "NoArtifact", message[:512])
    versions = {replica.versions[product] for replica in replicas}
    if len(versions) > 1:
        said = f"its replicas hold {len(versions)} versions for product {product!r}"
        return Failure(ReasonCode.EXPERT_UNAVAILABLE, "VersionsDiffer", said, retryable=True)
    version = versions.pop()
    if version.startswith(wanted):
        return version
    why = next((r.problems[product] for r in replicas if product in r.problems), "")
    message = f"version {version[:12]} of product {product!r} is in force, and not {wanted[:12]}"
    return Failure(
        ReasonCode.NO_ARTIFACT, "OtherVersion", f"{message}{': ' + why if why else ''}"[:512]
    )


class ServeReplicas:
    """Asks the ingress what every replica holds.

    Args:
        address: host:port of the application's ingress.
        token_file: holds the cluster's token; where there is no such file, none is sent.
    """

    def __init__(self, address: str, token_file: Path | None = None) -> None:
        self._address, self._token_file = address, token_file
        self._channel: grpc.aio.Channel | None = None

    async def close(self) -> None:
        """End the connection."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def look(self, timeout_s: float = 30.0) -> ApplicationStatus:
        """What the replicas hold now.

        Raises:
            UnavailableError: the ingress does not answer, or is of an older release.
        """
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._address)
        call = self._channel.unary_unary(f"/andon.Serving/{STATUS}")
        token = await asyncio.to_thread(read_token, self._token_file)
        sent = (("authorization", f"Bearer {token}"),) if token else ()
        try:
            answer: bytes = await call(b"", timeout=timeout_s, metadata=sent)
            return ApplicationStatus.model_validate_json(answer)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise UnavailableError(
                    f"Serve's ingress at {self._address} refused the question: "
                    f"{error.details()} ({told_token(self._token_file)})"
                ) from None
            raise UnavailableError(
                f"Serve's ingress at {self._address} did not say what its replicas hold: "
                f"{error.code().name}: {error.details()}; `andon doctor` says what runs"
            ) from None
        except (ValidationError, json.JSONDecodeError) as error:
            raise UnavailableError(f"the ingress at {self._address} answered: {error}") from None
