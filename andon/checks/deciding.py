"""Checks of what decides: Ray Serve's replicas, the workers, the language model, the policies."""

import asyncio
import logging
import shlex
from collections.abc import Mapping
from typing import Final

from andon.build import build
from andon.checks.findings import CheckFailed, CheckWarned
from andon.processes.instance import ended_here, workers_here
from andon.settings import Settings
from andon.wiring import brokers, ray_serve, storage
from serving.ray.builds import START_RAY_AGAIN, other_builds
from serving.ray.replicas import ApplicationStatus
from serving.ray.settings import CLASSIFIER, VISION
from streams.errors import UnavailableError

DECIDING: Final = ("inspect", "classify")
"""Roles without which no part is decided by what it shows."""
ASK_S: Final = 20.0
"""How long a language model may take for one answer, seconds."""
LOOK_S: Final = 6.0
"""How long the replicas may take to say what they hold, seconds."""


async def check_ray(settings: Settings) -> str:
    """The application runs on the Ray of the settings, and each of its deployments is healthy."""
    from serving.errors import DeployError
    from serving.ray.deploy import application_status

    try:
        status = await asyncio.to_thread(
            application_status, settings.serve.address, settings.serve.token_file
        )
    except DeployError as error:
        raise CheckFailed(
            str(error), "check ANDON_SERVE__ADDRESS and the token, or run `andon stack up`"
        ) from None
    if not status:
        raise CheckFailed(
            f"{settings.serve.address} has no application",
            "deploy: `andon deploy infra/serve.yaml`",
        )
    said, wrong = [], []
    for name, application in status.items():
        said.append(f"{name} {application.status}")
        if application.status != "RUNNING":
            wrong.append(f"application {name} is {application.status}: {application.message}")
        for deployment, found in application.deployments.items():
            said.append(f"{deployment} {found.status}")
            if found.status != "HEALTHY":
                wrong.append(f"{deployment} is {found.status}: {found.message}")
    if wrong:
        logs = "look into Ray's logs (docs/serving.md) and deploy again: `andon deploy`"
        raise CheckFailed("; ".join(wrong)[:600], logs)
    return ", ".join(said)


async def check_serve(settings: Settings) -> str:
    """The ingress answers, and every replica has the versions that it should have, and this
    process' build of Andon."""
    status = await _look(settings)
    problems = [
        f"{replica.deployment}, {product}: {why}"
        for replica in status.replicas
        for product, why in replica.problems.items()
    ]
    absent = [f"{status.missing(d)} of {d}" for d in (VISION, CLASSIFIER) if status.missing(d)]
    if absent:
        raise CheckFailed(
            f"replicas that do not answer: {', '.join(absent)}",
            "they start again by themselves; look into Ray's logs (docs/serving.md) if not",
        )
    if problems:
        raise CheckFailed(
            "; ".join(dict.fromkeys(problems))[:600], "`andon models list` says what there is"
        )
    if others := other_builds(status.builds, build()):
        raise CheckWarned(f"{settings.serve.ingress}: {others}", START_RAY_AGAIN)
    counted = {d: len(status.of(d)) for d in (VISION, CLASSIFIER) if status.of(d)}
    replicas = ", ".join(f"{name} {count}" for name, count in counted.items())
    return f"{settings.serve.ingress}, replicas: {replicas}"


async def check_llm(settings: Settings) -> str:
    """Every endpoint that the classifier asks knows the key and the model."""
    own = settings.classifier
    asked = own.endpoints if own.kind == "velm" else ()
    if own.kind == "velm" and own.endpoint:
        asked = tuple(e for e in own.endpoints if e.name == own.endpoint)
    elif own.kind == "velm":
        asked = own.endpoints[:1]
    elif own.kind == "cascade":
        asked = tuple(e for e in own.endpoints if e.name in own.cascade.order)
    if not asked:
        return f"not asked: the classifier is {own.kind}"
    from andon.cli.llm_check import check_once

    remedy = "`andon llm check` tries what the endpoint takes"
    said = []
    for endpoint in asked:
        answer, is_fine = await check_once(endpoint, ASK_S)
        if not is_fine:
            raise CheckFailed(answer, remedy)
        said.append(answer)
    return "; ".join(said)


async def check_workers(settings: Settings) -> str:
    """Workers of every role that decides are in their groups; ``join`` where there are shots."""
    needed = [*DECIDING, *(["join"] if settings.gateway.shots else [])]
    here = await asyncio.to_thread(workers_here, settings.paths.state)
    counted, where = await _members(settings), "in the consumer groups"
    if counted is None:
        counted = {role: found.at_work for role, found in here.items()}
        where = "at work on this host (the broker does not describe its groups)"
    joining = [role for role in needed if role in here and here[role].joining]
    absent = [role for role in needed if not counted.get(role)]
    if absent:
        words = f"no worker {where} for: {', '.join(absent)}"
        if waiting := [role for role in absent if role in joining]:
            words += f"; {', '.join(waiting)} started and has not joined its group yet"
        start = " and ".join(f"`andon worker {role}`" for role in absent if role not in joining)
        raise CheckFailed(words, f"start {start}" if start else "wait some seconds, or see its log")
    said = ", ".join(f"{role} {count}" for role, count in counted.items() if count)
    idle = [role for role in ("record", "limits") if not counted.get(role)]
    return f"{said} {where}" + (f"; none for {', '.join(idle)}" if idle else "")


async def check_product(settings: Settings, product: str, in_force: Mapping[str, str]) -> str:
    """A policy, an expert and exemplars are in force for the product, on every replica.

    Args:
        settings: of this host.
        product: as in its policy.
        in_force: the hash of each product's policy.

    Raises:
        CheckFailed: what is missing; the first thing to do about it.
    """
    missing: list[tuple[str, str]] = []
    named = shlex.quote(product)
    policy = in_force.get(product)
    if policy is None:
        missing.append(("no policy is in force for it", "`andon policy apply FILE`"))
    experts = exemplars = ""
    try:
        status = await _look(settings)
    except UnavailableError as error:
        missing.append((str(error), "`andon deploy infra/serve.yaml`"))
    else:
        store = storage.bundle_store(settings.paths.artifacts)
        wanted = (await asyncio.to_thread(store.products)).get(product)
        experts, why = _held(status, VISION, product, wanted)
        if why:
            missing.append((why, f"`andon train --product {named} --images DIR`"))
        needs_exemplars = settings.classifier.kind != "velm" and bool(status.of(CLASSIFIER))
        exemplars, why = _held(status, CLASSIFIER, product, None)
        if why and needs_exemplars:
            words = f"anomalies would all take the fallback: {why}"
            teach = f"`andon classify teach --product {named} --class NAME DIR`"
            missing.append((words, teach))
    if missing:
        raise CheckFailed("; ".join(what for what, _ in missing), missing[0][1])
    return ", ".join(filter(None, (f"policy {(policy or '')[:12]}", experts, exemplars)))


async def _look(settings: Settings) -> ApplicationStatus:
    replicas = ray_serve.replicas(settings)
    try:
        return await replicas.look(LOOK_S)
    finally:
        await replicas.close()


def _held(
    status: ApplicationStatus, deployment: str, product: str, wanted: str | None
) -> tuple[str, str]:
    """What the replicas of a deployment hold for a product, and why that is not as it should be."""
    kind = "expert" if deployment == VISION else "exemplars"
    replicas = status.of(deployment)
    found = {r.versions.get(product, "") for r in replicas}
    problems = [w for r in replicas if (w := r.problems.get(product) or r.problems.get("*"))]
    if not replicas:
        return "", f"no {deployment} replica answers"
    if "" in found:
        why = problems[0] if problems else "none is in force"
        lacking = sum(product not in r.versions for r in replicas)
        return "", f"{lacking} of {len(replicas)} replicas have no {kind} of it: {why}"
    pinned = any(product in r.pinned for r in replicas)
    if wanted is not None and not pinned and found != {wanted}:
        digests = ", ".join(sorted(digest[:12] for digest in found))
        return "", f"replicas have {kind} {digests}, and {wanted[:12]} is in force"
    if problems:
        return "", f"{kind}: {problems[0]}"
    digests = ", ".join(sorted(digest[:12] for digest in found))
    return f"{kind} {digests} on {len(replicas)} replicas", ""


async def _members(settings: Settings) -> dict[str, int] | None:
    """How many workers each role's consumer group has; None where the broker cannot say."""
    from streams.kafka.groups import count_members

    quiet = logging.getLogger("aiokafka")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)
    try:
        ended = await asyncio.to_thread(ended_here, settings.paths.state)
        return await count_members(brokers.kafka_connection(settings), ended)
    finally:
        quiet.setLevel(level)
