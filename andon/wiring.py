"""The composition root: one typed function builds each adapter of the line.

Processes, commands, checks, Serve's application and the laboratory get their adapters here and
hand them to code that knows only the ports. The imports stand inside the functions, so that a
process loads no library that its own adapters do not need.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog

from andon.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from connectors.cameras.normals import NormalLimits
    from connectors.cameras.normals_trial import NormalsTrial
    from connectors.cameras.survey import CameraSurvey
    from connectors.decision_feed import KafkaDecisionFeed
    from connectors.gateway.journal import Journal
    from connectors.gateway.lanes import Lane, LanedPublisher
    from connectors.gateway.ownership import OwnedLink
    from connectors.gateway.spool import Spool
    from connectors.opcua.probe import Probed
    from connectors.opcua.secured import Offered
    from connectors.pki.folder import PkiFolder
    from history.model_log import ModelLog
    from history.object_store import S3ImageStore, S3Objects
    from history.policy_log import PolicyLog
    from history.queries import History
    from history.writer import PostgresHistoryWriter
    from serving.bundle_store import BundleStore
    from serving.ray.client import ServeClassifier, ServeVisionExpert
    from serving.ray.replicas import ServeReplicas
    from streams.kafka.connection import KafkaConnection
    from streams.ports import Announcer, Camera, Changelog, ImageStore, Publisher
    from streams.topics import Wanted


class Closable(Protocol):
    """An adapter that holds connections."""

    async def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


@asynccontextmanager
async def opened(build: Callable[[Settings], C], settings: Settings) -> AsyncIterator[C]:
    """An adapter for as long as the context lasts; a failure to close it is not the caller's.

    It is built in a thread: importing its library takes seconds, and a worker joins its consumer
    group meanwhile.
    """
    adapter = await asyncio.to_thread(build, settings)
    try:
        yield adapter
    finally:
        with contextlib.suppress(Exception):
            await adapter.close()


# --- Kafka ------------------------------------------------------------------------------------


def kafka_connection(settings: Settings) -> "KafkaConnection":
    """How every client of this process reaches the brokers."""
    from streams.kafka.connection import KafkaConnection

    own, names = settings.kafka, {field.name for field in fields(KafkaConnection)}
    return KafkaConnection(**own.model_dump(include=names), security=own.security)


def topics_wanted(settings: Settings) -> "Wanted":
    """How the topics are to be kept."""
    from streams.topics import Wanted

    own = settings.kafka
    return Wanted.of(
        own.bootstrap_servers, own.replication_factor, own.min_insync_replicas, own.partitions
    )


@asynccontextmanager
async def publisher(
    settings: Settings, timeout_s: float | None = None
) -> AsyncIterator["Publisher"]:
    """Sends messages; it connects at the first one.

    Args:
        timeout_s: seconds the broker may take for one message; the settings' without it.
    """
    from streams.kafka.publisher import KafkaPublisher

    connection = kafka_connection(settings)
    if timeout_s is not None:
        connection = replace(connection, request_timeout_s=timeout_s)
    made = KafkaPublisher(connection)
    try:
        yield made
    finally:
        await made.stop()


def changelog(settings: Settings) -> "Changelog":
    """The parts that the limits role had counted before."""
    from streams.kafka.changelog import KafkaChangelog

    return KafkaChangelog(kafka_connection(settings), structlog.get_logger(role="limits").info)


def decision_feed(settings: Settings, lookback_s: float) -> "KafkaDecisionFeed":
    """What Kafka says to the gateway's line, from ``lookback_s`` seconds ago on."""
    from connectors.decision_feed import KafkaDecisionFeed

    own = settings.gateway
    connection = kafka_connection(settings)
    has_recipes = bool(own.recipes)
    return KafkaDecisionFeed(connection, own.line, own.station, lookback_s, has_recipes)


@asynccontextmanager
async def announcer(settings: Settings, worker: str) -> AsyncIterator["Announcer"]:
    """Tells an MQTT broker; it connects while the worker starts.

    Args:
        worker: its name among those of the role, of which the client's is made.

    Raises:
        SettingsError: the extra ``mqtt`` is not installed.
    """
    try:
        from streams.mqtt.announcer import MqttAnnouncer
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is not installed: pip install 'andon[mqtt]' brings it"
        ) from None
    made = MqttAnnouncer(settings.mqtt, settings.mqtt.client_id or f"andon-{worker}")
    await made.start()
    try:
        yield made
    finally:
        await made.close()


# --- PostgreSQL and the object store ----------------------------------------------------------


def history(settings: Settings, least_timeout_s: float = 0.0) -> "History":
    """Questions about the history.

    Args:
        least_timeout_s: seconds that a question may take even if the settings allow less.
    """
    from history.queries import History

    own = settings.postgres
    timeout_s = max(least_timeout_s, own.timeout_s)
    return History(own.url.get_secret_value(), own.pool_size, timeout_s)


def history_writer(settings: Settings) -> "PostgresHistoryWriter":
    """The record role's way into the history."""
    from history.writer import PostgresHistoryWriter

    own = settings.postgres
    return PostgresHistoryWriter(own.url.get_secret_value(), own.pool_size, own.timeout_s)


def policy_log(settings: Settings) -> "PolicyLog":
    """The versions of the policies and the audit of their changes."""
    from history.policy_log import PolicyLog

    own = settings.postgres
    return PolicyLog(own.url.get_secret_value(), timeout_s=own.timeout_s)


def model_log(settings: Settings) -> "ModelLog":
    """The audit of the experts in force."""
    from history.model_log import ModelLog

    own = settings.postgres
    return ModelLog(own.url.get_secret_value(), timeout_s=own.timeout_s)


def s3_objects(settings: Settings, bucket: str = "", prefix: str = "") -> "S3Objects":
    """The object store of the settings; ``bucket`` names another one than theirs."""
    from history.object_store import S3Objects

    s3 = settings.s3
    return S3Objects(
        s3.endpoint,
        s3.access_key.get_secret_value(),
        s3.secret_key.get_secret_value(),
        bucket=bucket or s3.bucket,
        prefix=prefix,
        **s3.model_dump(include={"secure", "region", "timeout_s"}),
    )


def image_store(settings: Settings) -> "S3ImageStore":
    """Where the pictures of the line are kept."""
    from history.object_store import S3ImageStore

    return S3ImageStore(s3_objects(settings))


# --- Ray Serve --------------------------------------------------------------------------------


def vision_expert(settings: Settings) -> "ServeVisionExpert":
    """The vision expert behind Ray Serve; it connects when it is started."""
    from serving.ray.client import ServeVisionExpert

    return ServeVisionExpert(settings.serve.ingress, settings.serve.token_file)


def classifier(settings: Settings) -> "ServeClassifier":
    """The classifier behind Ray Serve; it connects when it is started."""
    from serving.ray.client import ServeClassifier

    return ServeClassifier(settings.serve.ingress, settings.serve.token_file)


def replicas(settings: Settings) -> "ServeReplicas":
    """What the replicas behind Serve's ingress hold."""
    from serving.ray.replicas import ServeReplicas

    return ServeReplicas(settings.serve.ingress, settings.serve.token_file)


def bundle_store(location: str) -> "BundleStore":
    """The bundles at ``location``, a folder or ``s3://bucket/prefix``, with this host's settings.

    Ray calls it inside a replica: what travels there is the location and no credential.
    """
    from serving.bundle_store import BundleStore, open_folder, split_s3

    if not location.startswith("s3://"):
        return open_folder(Path(location))
    settings = load_settings()
    objects = s3_objects(settings, *split_s3(location))
    return BundleStore(objects, settings.paths.state / "cache" / "bundles")


# --- The edge ---------------------------------------------------------------------------------


def cameras(settings: Settings) -> "list[Camera]":
    """The station's cameras, one for each shot: shots that name the same one share it.

    Raises ``SettingsError`` for a specification that cannot be used.
    """
    from connectors.cameras.station import station_cameras
    from connectors.errors import CameraSpecError, NormalsError

    try:
        return station_cameras(settings.gateway)
    except CameraSpecError as error:
        raise SettingsError(f"settings: ANDON_GATEWAY__CAMERA: {error}") from None
    except NormalsError as error:
        raise SettingsError(f"settings: ANDON_GATEWAY__CAMERA_NORMALS: {error}") from None


def camera_normals(
    paths: Sequence[Path], say: Callable[[str, int, int], None]
) -> "tuple[NormalLimits, NormalsTrial]":
    """The limits of a product by its normals, and what they find. Raises ``NormalsError``."""
    from connectors.cameras.normals_trial import try_normals

    return try_normals(paths, say)


async def survey_camera(settings: Settings, n: int, say: Callable[[int], None]) -> "CameraSurvey":
    """``n`` captures of the station's first camera. Raises ``CaptureError``: it does not open."""
    from connectors.cameras.survey import survey

    return await survey(cameras(settings)[0], n, say)


def line_link(settings: Settings) -> "OwnedLink":
    """The OPC UA connection to the line controller, for as long as this gateway is in charge."""
    from connectors.gateway.ownership import OwnedLink
    from connectors.opcua.link import OpcUaLink

    own = settings.gateway
    memory = own.journal_dir / f"{own.line}-{own.station}.owner"
    return OwnedLink(OpcUaLink(own), own, memory, own.standby)


async def probe_controller(settings: Settings) -> "Probed":
    """What the line controller shows now; nothing is written there."""
    from connectors.opcua.probe import probe

    return await probe(settings.gateway)


def pki_folder(settings: Settings) -> "PkiFolder":
    """The gateway's certificates, and those that it trusts."""
    from connectors.opcua.secured import pki_of

    return pki_of(settings.gateway)


async def controller_certificate(settings: Settings) -> "Offered":
    """What the line controller shows to anyone; nothing is trusted by that."""
    from connectors.opcua.secured import offered

    return await offered(settings.gateway)


def journal(settings: Settings) -> "Journal":
    """The gateway's journal, one file per line and station."""
    from connectors.gateway.journal import Journal

    own = settings.gateway
    path = own.journal_dir / f"{own.line}-{own.station}.journal"
    return Journal(path, int(own.journal_limit_mib * (1 << 20)))


def spools(settings: Settings) -> "Mapping[Lane, Spool]":
    """Where the gateway's messages wait on disk, by lane."""
    from connectors.gateway.lanes import spools_of

    return spools_of(settings.gateway)


@asynccontextmanager
async def lanes(
    settings: Settings, spools: "Mapping[Lane, Spool]", images: "ImageStore"
) -> AsyncIterator["LanedPublisher"]:
    """The gateway's way to the broker: decisions before pictures, each with connections."""
    from connectors.gateway.lanes import lanes_of
    from connectors.gateway.shared_publisher import BATCH_BYTES
    from streams.kafka.publisher import KafkaPublisher

    own, connection = settings.gateway, kafka_connection(settings)
    words = KafkaPublisher(connection)
    pictures = [KafkaPublisher(connection, BATCH_BYTES) for _ in range(own.picture_connections)]
    made = [words, *pictures]
    try:
        yield lanes_of(own, made, images, spools, connection.slowest_kib_s)
    finally:
        await asyncio.gather(*(publisher.stop() for publisher in made))
