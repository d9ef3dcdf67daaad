"""A gateway opens all that it needs together, and under names that no other one has."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
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
from tests.connectors.journal_parts import entry_of
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
    own = {
        "camera": "synthetic:seed=1",
        "journal_dir": tmp_path / "journal",
        "spool_dir": tmp_path / "spool",
    }
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


@asynccontextmanager
async def started(
    nowhere: Settings, monkeypatch: pytest.MonkeyPatch, *stations: tuple[str, str]
) -> AsyncIterator[tuple[list[Journal], list[str]]]:
    """Gateways of these lines and stations with one state folder: journals, copies of policies."""
    journals: list[Journal] = []
    readers: list[str] = []

    @asynccontextmanager
    async def policies(settings: Settings, reader: str = "") -> AsyncIterator[PolicySource]:
        readers.append(reader)
        yield TwinPolicies()

    def kept(settings: Settings, make: Callable[[Settings], Journal] = edge.journal) -> Journal:
        journals.append(make(settings))
        return journals[-1]

    monkeypatch.setattr(edge, "journal", kept)
    monkeypatch.setattr(signed_policies, "policy_source", policies)
    async with asyncio.timeout(20), AsyncExitStack() as stack:
        for line, station in stations:
            own = nowhere.gateway.model_copy(update={"line": line, "station": station})
            settings = nowhere.model_copy(update={"gateway": own})
            await process.compose(settings, stack, vision_server.job_controller(settings))
            stack.push_async_callback(journals[-1].close)
        yield journals, readers


async def test_stations_that_are_joined_alike_start_beside_each_other(
    nowhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(nowhere, monkeypatch, ("a-b", "c"), ("a", "b-c")) as (journals, readers):
        assert len({journal.path for journal in journals}) == 2
        assert len(set(readers)) == 2


async def test_a_gateway_starts_with_the_journal_that_an_earlier_version_left(
    nowhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, entry = nowhere.gateway.journal_dir, entry_of(5)
    earlier = Journal(folder / "line-1-station-1.journal")
    earlier.open()
    earlier.append(entry)
    await earlier.close()
    (folder / "line-1-station-1.owner").write_text("7", "ascii")
    async with started(nowhere, monkeypatch, ("line-1", "station-1")) as ((journal,), _):
        assert list(journal.entries) == [entry.key]
        assert journal.path.with_suffix(".owner").read_text("ascii") == "7"
