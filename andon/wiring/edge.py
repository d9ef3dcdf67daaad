"""What a gateway is made of: cameras, the line controller, journal, spools and lanes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from andon.settings import Settings, SettingsError
from andon.wiring import signed_policies
from andon.wiring.brokers import kafka_connection

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
    from connectors.opcua.secured import Ends, Offered
    from connectors.pki.folder import PkiFolder
    from streams.ports import Camera, ImageStore


def decision_feed(settings: Settings, lookback_s: float) -> "KafkaDecisionFeed":
    """What Kafka says to the gateway's line, from ``lookback_s`` seconds ago on."""
    from connectors.decision_feed import KafkaDecisionFeed

    own = settings.gateway
    connection = kafka_connection(settings)
    has_recipes = bool(own.recipes)
    return KafkaDecisionFeed(connection, own.line, own.station, lookback_s, has_recipes)


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


def line_link(
    settings: Settings, on_certificates: "Callable[[Ends], None]" = lambda _: None
) -> "OwnedLink":
    """The OPC UA connection to the line controller, for as long as this gateway is in charge;
    ``on_certificates`` is told when those end that a connection begins with."""
    from connectors.gateway.ownership import OwnedLink
    from connectors.opcua.link import OpcUaLink

    own = settings.gateway
    memory = own.journal_dir / f"{place(settings)}.owner"
    return OwnedLink(OpcUaLink(own, on_certificates), own, memory, own.standby)


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


def place(settings: Settings) -> str:
    """What journal, spool and policies of the gateway's line and station are called on disk."""
    from connectors.gateway.places import place_name

    return place_name(settings.gateway.line, settings.gateway.station)


def take_former(settings: Settings) -> None:
    """Rename what an earlier version called otherwise. Raises ``JournalBusyError``, ``OSError``."""
    from connectors.gateway.places import take_former

    take_former(settings.gateway, settings.paths.state / signed_policies.FOLDER)


def journal(settings: Settings) -> "Journal":
    """The gateway's journal, one file per line and station."""
    from connectors.gateway.journal import Journal

    own = settings.gateway
    path = own.journal_dir / f"{place(settings)}.journal"
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
