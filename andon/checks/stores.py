"""Checks of what keeps things: broker, database, object store, policy files, the state folder."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import Final

from andon.checks.findings import CheckFailed
from andon.settings import Settings
from andon.wiring import brokers, signed_policies, storage
from history.migrate import current, head, is_newer
from history.object_rights import PROBES, RIGHTS
from policies.authoring.loading import load_policy
from streams import topics
from streams.failures import Cause, PermanentError

PROBE_KEY, PROBE_NAME = PROBES
"""The object that the doctor writes, the same each time; its name below a prefix, for a key that
may put nowhere else."""
PREFIXES: Final = tuple(dict.fromkeys(p for puts, gets in RIGHTS.values() for p in puts + gets))
PUT_BELOW: Final = tuple(p for p in PREFIXES if p not in RIGHTS["ml"][0])
"""Where the doctor tries to put. What lies among artifacts is listed, and looks like one."""


async def check_kafka(settings: Settings) -> str:
    """The broker answers and every topic is as the line needs it."""
    from streams.kafka.topic_check import check_topics

    wanted = brokers.topics_wanted(settings)
    wrong = await check_topics(brokers.kafka_connection(settings), wanted)
    if absent := [w.topic for w in wrong if w.what == "topic"]:
        raise CheckFailed(
            f"{settings.kafka.bootstrap_servers} lacks {', '.join(absent)}",
            "start a worker or run `andon topics mend`: both create the topics",
        )
    if wrong:
        raise CheckFailed("; ".join(w.words() for w in wrong)[:600], "`andon topics mend`")
    return (
        f"{settings.kafka.bootstrap_servers}, {len(topics.ALL)} topics, "
        f"copies {wanted.copies}, in sync {wanted.in_sync}"
    )


async def check_postgres(settings: Settings) -> str:
    """The database answers and its schema is this build's, or a later build's."""
    have, want = await current(settings.postgres.url.get_secret_value()), head()
    if is_newer(have):
        return f"schema {have}, made by a later build than this one ({want}): upgrade this one too"
    if have != want:
        raise CheckFailed(
            f"schema {have or 'absent'}, this build needs {want}",
            "start `andon worker record`: it migrates the database",
        )
    return f"schema {have}"


async def check_s3(settings: Settings) -> str:
    """The object store answers, and its bucket takes or gives what the key may put or read.

    A key with the rights of one role sees little: it is asked below each prefix of the line, and
    what it may not is said.
    """
    s3, objects = settings.s3, storage.s3_objects(settings)
    try:
        has_bucket = await asyncio.to_thread(objects.has_bucket)
    except PermanentError as error:
        if error.cause is not Cause.NOT_ALLOWED:
            raise
        has_bucket = True  # who may list nothing is not told
    if not has_bucket:
        raise CheckFailed(
            f"{s3.endpoint} has no bucket {s3.bucket!r}",
            "start `andon worker record`: it creates the bucket, or create it and grant the key",
        )
    body = b"andon doctor"
    if await _may(partial(objects.put, PROBE_KEY, body)):
        return f"{objects}, can be written"
    puts = [p for p in PUT_BELOW if await _may(partial(objects.put, p + PROBE_NAME, body))]
    reads = [p for p in PREFIXES if await _may(partial(objects.keys, p + PROBE_NAME))]
    if not puts and not reads:
        raise CheckFailed(
            f"{objects} answers, and {s3.access_key} may neither put nor read anything there",
            "`andon history grant --objects DIR` gives the key of each role its rights",
        )
    parts = [f"may put below {', '.join(puts)}" if puts else "may put nothing"]
    parts.append(f"may read below {', '.join(reads)}" if reads else "may read nothing")
    unseen = [p for p in PREFIXES if p not in puts and p not in reads]
    if unseen:
        parts.append(f"cannot see {', '.join(unseen)}")
    if not puts:
        parts.append("whether it may put artifacts or exemplars was not tried")
    return f"{objects}: {s3.access_key} {'; '.join(parts)}"


async def _may(call: Callable[[], object]) -> bool:
    """Whether the object store allows it. Raises what else it says."""
    try:
        await asyncio.to_thread(call)
    except PermanentError as error:
        if error.cause is Cause.NOT_ALLOWED:
            return False
        raise
    return True


_NONE_STANDS = "a process that starts now has none before it and holds its parts"


async def check_policies(settings: Settings) -> str:
    """At least one policy is in force, and every file in the folder of policies is valid.

    The folder may be empty: ``andon product new`` drafts a policy in a folder of its own, and the
    console's editor writes no file.
    """
    folder = settings.paths.policies
    files = sorted(folder.glob("*.yaml"))
    for file in files:
        await asyncio.to_thread(load_policy, file)
    counted = f"{len(files)} valid files" if files else f"no *.yaml in {folder}"
    in_force = await signed_policies.policies_in_force(settings)
    if in_force.refused:
        rows = []
        for name, why in sorted(in_force.refused.items()):
            stands = "the policy before it stands" if name in in_force.versions else _NONE_STANDS
            rows.append(f"{name}: its last policy was refused, {stands}: {why}")
        raise CheckFailed(
            "; ".join(rows),
            "`andon policy apply FILE` signs it by a trusted key (`andon policy key show`); where "
            "nobody applied it, find who writes andon.policies",
        )
    if not in_force.versions:
        raise CheckFailed(
            f"{counted}, and no policy is in force: every part is held",
            "`andon policy apply FILE`, or `andon product new PRODUCT --live`",
        )
    return f"{counted}; in force: {', '.join(sorted(in_force.versions))}"


async def check_state(settings: Settings) -> str:
    """The state folder can be written, with room for the spool."""
    folder = settings.paths.state
    probe = folder / f".doctor-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    probe.write_bytes(b"x")
    probe.unlink()
    usage = os.statvfs(folder)
    free_mib = usage.f_bavail * usage.f_frsize >> 20
    if free_mib < 1024:
        raise CheckFailed(f"{free_mib} MiB free in {folder}", "free at least 1 GiB for the spool")
    return f"{folder}, {free_mib} MiB free"
