"""A gateway opens all that it needs together: the line waits for the slowest of it alone."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from andon.processes import gateway as process
from andon.settings import Settings
from andon.wiring import edge, signed_policies, vision_server
from connectors.errors import JournalBusyError
from connectors.gateway.journal import Journal
from connectors.gateway.journal_entries import Recovered
from infra.stack.process import free_port
from streams.ports import PolicySource
from tests.contracts.twins.policies import TwinPolicies

pytestmark = pytest.mark.asyncio


class Disk(Journal):
    """A journal whose disk works once something else is there."""

    def __init__(self, folder: Path, then: Exception | None = None) -> None:
        super().__init__(folder / "journal.jsonl", 1 << 20)
        self.works, self.then = asyncio.Event(), then

    def open(self) -> Recovered:
        if not self.works.is_set():
            raise OSError(errno.EIO, "broken")
        if self.then is not None:
            raise self.then
        return super().open()


@pytest.fixture
def nowhere(tmp_path: Path) -> Settings:
    own = {"camera": "synthetic:seed=1", "spool_dir": tmp_path / "spool"}
    kafka = {"bootstrap_servers": f"127.0.0.1:{free_port()}"}
    return Settings.model_validate(
        {"gateway": own, "kafka": kafka, "paths": {"state": tmp_path / "state"}}
    )


async def composed(
    settings: Settings, disk: Disk, monkeypatch: pytest.MonkeyPatch, policies_end: bool = True
) -> None:
    """Compose a gateway whose policies say that they are there, and end it."""

    @asynccontextmanager
    async def policies(settings: Settings, reader: str = "") -> AsyncIterator[PolicySource]:
        disk.works.set()
        if not policies_end:
            await asyncio.Event().wait()
        yield TwinPolicies()

    monkeypatch.setattr(process, "_DISK_RETRY_S", 0.001)
    monkeypatch.setattr(edge, "journal", lambda _: disk)
    monkeypatch.setattr(signed_policies, "policy_source", policies)
    async with asyncio.timeout(20), AsyncExitStack() as stack:
        await process.compose(settings, stack, vision_server.job_controller(settings))


async def test_the_policies_are_read_while_the_disk_fails(
    nowhere: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk = Disk(tmp_path)
    await composed(nowhere, disk, monkeypatch)
    assert disk.path.exists()
    await disk.close()


async def test_another_gateway_ends_the_start_whatever_else_is_awaited(
    nowhere: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk = Disk(tmp_path, JournalBusyError("another gateway"))
    with pytest.raises(JournalBusyError):
        await composed(nowhere, disk, monkeypatch, policies_end=False)
