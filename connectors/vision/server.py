"""The OPC UA server of one vision system, from its address space to its last notice."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import structlog
from asyncua import Server, ua

from connectors.errors import ConnectorError
from connectors.opcua.server_security import read_security
from connectors.vision.address_space import build
from connectors.vision.controller import JobController
from connectors.vision.encoding import configuration_id, structure
from connectors.vision.methods import Methods
from connectors.vision.notices import Notice
from connectors.vision.publishing import Publishing
from connectors.vision.settings import VisionServerSettings
from connectors.vision.system import VisionSystem

log = structlog.get_logger(__name__)
MOST_NOTICES = 10_000
"""Notices that wait to be shown; they are shown from memory, so that many mean a defect."""


class VisionServer:
    """Serves clients of OPC 40100-1.

    Args:
        settings: address, name and security.
        controller: the line controller within the process that the gateway serves.
        in_force: the recipes by product, each with its version.
        station: site, line and station, as the one configuration is called.
        version: of the program.
    """

    def __init__(
        self,
        settings: VisionServerSettings,
        controller: JobController,
        in_force: Callable[[], Mapping[str, str]],
        station: str,
        version: str,
    ) -> None:
        self._settings = settings
        self._station, self._version = station, version
        self._waiting: asyncio.Queue[Notice] = asyncio.Queue(MOST_NOTICES)
        self.system = VisionSystem(settings, controller, in_force, self._waiting.put_nowait)

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until cancelled.

        Raises:
            ConnectorError: the address cannot be listened on, or the certificate cannot be read.
        """
        server = await self._server()
        publishing = await self._built(server)
        try:
            await server.start()
        except OSError as error:
            raise ConnectorError(
                f"ANDON_VISION__URL: {self._settings.url} cannot be listened on: {error.strerror}"
            ) from None
        log.info("vision.listening", url=self._settings.url, secured=self._is_secured)
        self.system.start()
        try:
            on_ready()
            while True:
                await publishing.show(await self._waiting.get())
                self._waiting.task_done()
        finally:
            await self.system.close()
            await server.stop()

    @property
    def _is_secured(self) -> bool:
        return self._settings.pki_dir is not None

    async def _server(self) -> Server:
        server = Server()
        await server.init()
        server.set_endpoint(self._settings.url)
        server.set_server_name("Andon vision server")
        if self._settings.pki_dir is None:
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
            await server.set_application_uri("urn:andon:vision-server")
        else:
            security = await asyncio.to_thread(read_security, self._settings.pki_dir)
            await security.apply(server)
        return server

    async def _built(self, server: Server) -> Publishing:
        """The address space; its methods are linked once their structures are known."""
        space = await build(server, self._settings.name)
        identity = configuration_id(self._station, self._version)
        configuration = structure(
            "ConfigurationDataType",
            HasTransferableDataOnFile=False,
            ExternalId=identity,
            InternalId=identity,
            LastModified=datetime.now(UTC),
        )
        space.link(Methods(self.system, configuration, self._waiting.join).by_path())
        active = ua.Variant(configuration, ua.VariantType.ExtensionObject)
        await space.write("ConfigurationManagement.ActiveConfiguration", active)
        publishing = Publishing(space, identity)
        await publishing.states(self.system.state)
        return publishing
