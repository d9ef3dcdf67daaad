"""What ``andon doctor`` asks of each configured dependency, and what to do when it fails."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from andon import wiring
from andon.settings import Settings
from history.migrate import current, head
from policies.authoring.loading import load_policy
from streams import topics
from streams.errors import AndonError
from streams.masking import masked

TIMEOUT_S = 8.0


@dataclass(frozen=True)
class Finding:
    """One check's result. ``remedy`` is empty when it is fine."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


class CheckFailed(AndonError):
    """A check's own finding: detail and remedy."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.remedy = remedy


Ask = Callable[[Settings], Awaitable[str]]
"""Returns a detail when all is fine; raises CheckFailed or anything when not."""


async def check_kafka(settings: Settings) -> str:
    """The broker answers and has every topic."""
    servers = settings.kafka.bootstrap_servers
    admin = wiring.kafka_connection(settings).admin()
    try:
        await admin.start()
        found = set(await admin.list_topics())
    finally:
        await admin.close()
    missing = [t.name for t in topics.ALL if t.name not in found]
    if missing:
        raise CheckFailed(
            f"{servers} lacks {', '.join(missing)}",
            "start a worker or run `andon stack up`: both create the topics",
        )
    return f"{servers}, {len(topics.ALL)} topics"


async def check_postgres(settings: Settings) -> str:
    """The database answers and its schema is this build's."""
    have, want = await current(settings.postgres.url.get_secret_value()), head()
    if have != want:
        raise CheckFailed(
            f"schema {have or 'absent'}, this build needs {want}",
            "start `andon worker record`: it migrates the database",
        )
    return f"schema {have}"


async def check_s3(settings: Settings) -> str:
    """The object store answers and has the bucket."""
    s3, objects = settings.s3, wiring.s3_objects(settings)
    if not await asyncio.to_thread(objects.has_bucket):
        raise CheckFailed(
            f"{s3.endpoint} has no bucket {s3.bucket!r}",
            "start `andon worker record`: it creates the bucket, or create it and grant the key",
        )
    return str(objects)


async def check_policies(settings: Settings) -> str:
    """Every policy file is valid."""
    files = sorted(settings.paths.policies.glob("*.yaml"))
    if not files:
        raise CheckFailed(
            f"no *.yaml in {settings.paths.policies}", "set ANDON_PATHS__POLICIES to the folder"
        )
    for file in files:
        await asyncio.to_thread(load_policy, file)
    return f"{len(files)} files in {settings.paths.policies}"


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


async def check_camera(settings: Settings) -> str:
    """Every camera of the station opens."""
    own = settings.gateway
    cameras = {id(camera): camera for camera in wiring.cameras(settings)}
    for camera in cameras.values():
        await camera.open()
        await camera.close()
    return ", ".join(f"{shot.name} {shot.camera or own.camera}" for shot in own.shots) or own.camera


def _listens(address: Callable[[Settings], str]) -> Ask:
    """A check that something accepts connections at an address ``host:port`` of the settings."""

    async def reach(settings: Settings) -> str:
        host, _, port = address(settings).rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        return address(settings)

    return reach


def _plc(settings: Settings) -> str:
    url = urlsplit(settings.gateway.plc_url)
    return f"{url.hostname}:{url.port or 4840}"


CHECKS: Mapping[str, tuple[Ask, str]] = {
    "kafka": (check_kafka, "check ANDON_KAFKA__BOOTSTRAP_SERVERS, or run `andon stack up`"),
    "postgres": (check_postgres, "check ANDON_POSTGRES__URL, or run `andon stack up`"),
    "s3": (check_s3, "check ANDON_S3__ENDPOINT and its keys, or run `andon stack up`"),
    "ray": (
        _listens(lambda settings: settings.serve.address),
        "check ANDON_SERVE__ADDRESS, or run `andon stack up`",
    ),
    "serve": (
        _listens(lambda settings: settings.serve.ingress),
        "check ANDON_SERVE__INGRESS, or deploy: `serve deploy infra/serve.yaml`",
    ),
    "policies": (check_policies, "run `andon policy validate` for every error"),
    "state": (check_state, "set ANDON_PATHS__STATE to a folder that this user may write"),
    "plc": (
        _listens(_plc),
        "check ANDON_GATEWAY__PLC_URL and the PLC's server (`andon plc` simulates one)",
    ),
    "camera": (check_camera, "check ANDON_GATEWAY__CAMERA"),
}
"""What is asked under each name, and the usual remedy when an error answers."""


async def examine(settings: Settings, names: list[str]) -> list[Finding]:
    """Run the named checks side by side, each within ``TIMEOUT_S`` seconds."""
    return list(await asyncio.gather(*(_one(name, settings) for name in names)))


async def _one(name: str, settings: Settings) -> Finding:
    ask, remedy = CHECKS[name]
    try:
        return Finding(name, True, masked(await asyncio.wait_for(ask(settings), TIMEOUT_S)))
    except CheckFailed as failed:
        return Finding(name, False, masked(str(failed)), failed.remedy)
    except TimeoutError:
        return Finding(name, False, f"no answer within {TIMEOUT_S:g} s", remedy)
    except Exception as error:  # noqa: BLE001 - a doctor reports whatever it finds
        return Finding(name, False, masked(f"{type(error).__name__}: {error}"), remedy)
