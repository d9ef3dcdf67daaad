"""Names of journals and spools: one for each line and station, and what was called otherwise."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import JournalBusyError
from connectors.gateway.journal import Journal
from connectors.gateway.journal_entries import StepLine
from connectors.gateway.lanes import Lane, spools_of
from connectors.gateway.places import place_name, take_former
from connectors.gateway.spool import Spool
from connectors.settings import GatewaySettings
from streams.codes import DecisionSource
from streams.envelope import Message
from streams.topics import ACKS, FRAMES
from tests.connectors.journal_parts import entry_of, finish
from tests.connectors.line import decision_for, frame_on

NAMES = st.text(
    st.characters(exclude_characters="/", min_codepoint=0x20, exclude_categories=["Cs"]),
    min_size=1,
    max_size=64,
)
ODD = ["a-b", "..", ".", "-", "con", "Linie 1", "日" * 64, "x" * 64, "a\\b", "a:b", "😀" * 64]


def own(folder: Path, line: str, station: str) -> GatewaySettings:
    below = {"journal_dir": folder / "journal", "spool_dir": folder / "spool"}
    return GatewaySettings.model_validate({"line": line, "station": station, **below})


def take(settings: GatewaySettings) -> None:
    take_former(settings, settings.spool_dir.parent / "policies")


def journal_of(settings: GatewaySettings) -> Journal:
    name = place_name(settings.line, settings.station)
    return Journal(settings.journal_dir / f"{name}.journal")


def spooled(settings: GatewaySettings) -> list[tuple[str, bytes]]:
    """The messages that a gateway would send, with their lanes, as they are spooled."""

    async def read() -> list[tuple[str, bytes]]:
        found = []
        for lane, spool in spools_of(settings).items():
            spool.open()
            while (taken := await spool.take()) is not None:
                found.append((lane.value, taken[2].value))
        return found

    return asyncio.run(read())


async def left(folder: Path, *lines: object) -> None:
    """A journal of an earlier version for what joins to ``a-b-c``."""
    journal = Journal(folder / "journal" / "a-b-c.journal")
    journal.open()
    for line in lines:
        journal.append(line)  # type: ignore[arg-type]
    await journal.close()


async def spool(folder: Path, key: str, *values: bytes) -> None:
    """Messages that an earlier version spooled for what joins to ``a-b-c``, in each lane."""
    below = {ACKS: folder / "spool" / "a-b-c" / "words", FRAMES: folder / "spool" / "a-b-c"}
    for topic, path in below.items():
        lane = Spool(path, 1 << 20)
        lane.open()
        for value in values:
            await lane.put(topic.name, Message(key.encode(), value, ()))


def test_a_plain_name_stays_and_no_other_has_it() -> None:
    assert place_name("line1", "station1") == "line1-station1"
    assert place_name("a-b", "c") != place_name("a", "b-c")
    assert place_name("L1", "S 1").lower() != place_name("L1", "s 1").lower()


@given(NAMES, NAMES, NAMES, NAMES)
def test_two_stations_never_share_a_name(a: str, b: str, c: str, d: str) -> None:
    assert (place_name(a, b) == place_name(c, d)) == ((a, b) == (c, d))


@pytest.mark.parametrize("line", ODD)
@pytest.mark.parametrize("station", ODD)
def test_every_name_is_one_file_below_its_folder(tmp_path: Path, line: str, station: str) -> None:
    settings = own(tmp_path, line, station)
    take(settings)
    journal = journal_of(settings)
    journal.open()
    asyncio.run(journal.close())
    for lane in spools_of(settings).values():
        lane.open()
    assert [p.parent for p in tmp_path.rglob("*.journal")] == [tmp_path / "journal"]
    assert [p.parent for p in tmp_path.rglob("words")] == [
        tmp_path / "spool" / place_name(line, station)
    ]


def test_a_gateway_finds_what_an_earlier_version_left(tmp_path: Path) -> None:
    entry = entry_of(5)
    asyncio.run(left(tmp_path, entry))
    asyncio.run(spool(tmp_path, "a-b/c", b"one", b"two"))
    (tmp_path / "journal" / "a-b-c.owner").write_text("4711")
    (tmp_path / "policies" / "a-b-c").mkdir(parents=True)
    (tmp_path / "policies" / "a-b-c" / "policies.json").write_text("{}")
    settings, name = own(tmp_path, "a-b", "c"), place_name("a-b", "c")
    for _ in range(2):
        take(settings)
    journal = journal_of(settings)
    assert list(journal.open().entries) == [entry.key]
    asyncio.run(journal.close())
    assert spooled(settings) == [
        (Lane.WORDS, b"one"),
        (Lane.WORDS, b"two"),
        (Lane.PICTURES, b"one"),
        (Lane.PICTURES, b"two"),
    ]
    assert (tmp_path / "journal" / f"{name}.owner").read_text() == "4711"
    assert (tmp_path / "policies" / name / "policies.json").read_text() == "{}"
    assert not [path for path in tmp_path.rglob("a-b-c*") if name not in path.name]


def test_messages_go_to_whom_they_name(tmp_path: Path) -> None:
    """One after the other, two stations with one name of then had spooled into one folder."""
    asyncio.run(spool(tmp_path, "a-b/c", b"of c"))
    asyncio.run(spool(tmp_path, "a/b-c", b"of b-c"))
    for line, station in (("a", "b-c"), ("a-b", "c")):
        take(own(tmp_path, line, station))
    both = [spooled(own(tmp_path, "a", "b-c")), spooled(own(tmp_path, "a-b", "c"))]
    assert [{value for _, value in found} for found in both] == [{b"of b-c"}, {b"of c"}]
    assert [len(found) for found in both] == [2, 2]


def test_what_is_spooled_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """The way back to the version before and forth again leaves messages under both names."""
    settings = own(tmp_path, "a-b", "c")
    asyncio.run(spool(tmp_path, "a-b/c", b"first"))
    take(settings)
    asyncio.run(spool(tmp_path, "a-b/c", b"second"))
    take(settings)
    assert [value for lane, value in spooled(settings) if lane == Lane.WORDS] == [
        b"first",
        b"second",
    ]


@pytest.mark.parametrize("step", ["decided", "outcome"])
def test_a_journal_that_names_another_station_stays_where_it_is(tmp_path: Path, step: str) -> None:
    frame = frame_on("a", station="b-c")
    said = decision_for(frame, DecisionSource.WATCHDOG).model_dump_json()
    entry = entry_of(5)
    changes = {"d": said} if step == "decided" else {"a": said}
    asyncio.run(left(tmp_path, entry, StepLine(t=step, k=entry.key, **changes)))  # type: ignore[arg-type]
    mine, others = own(tmp_path, "a-b", "c"), own(tmp_path, "a", "b-c")
    take(mine)
    assert not journal_of(mine).path.exists()
    take(others)
    assert journal_of(others).path.exists()


@pytest.mark.asyncio
async def test_a_journal_that_an_earlier_version_holds_is_not_taken(tmp_path: Path) -> None:
    await left(tmp_path)
    await spool(tmp_path, "a-b/c", b"one")
    held = Journal(tmp_path / "journal" / "a-b-c.journal")
    held.open()
    settings = own(tmp_path, "a-b", "c")
    with pytest.raises(JournalBusyError, match="earlier version holds it"):
        take(settings)
    assert len(list((tmp_path / "spool" / "a-b-c" / "words").iterdir())) == 1
    entry = entry_of(6)
    held.append(entry)
    finish(held, entry, 1)
    await held.close()
    take(settings)
    assert journal_of(settings).path.stat().st_size > 0


@pytest.mark.asyncio
async def test_who_has_a_journal_of_its_own_lets_the_other_s_be(tmp_path: Path) -> None:
    settings = own(tmp_path, "a-b", "c")
    mine = journal_of(settings)
    mine.open()
    mine.append(entry_of(5))
    await mine.close()
    size = mine.path.stat().st_size
    held = Journal(tmp_path / "journal" / "a-b-c.journal")
    held.open()
    take(settings)
    await held.close()
    take(settings)
    assert mine.path.stat().st_size == size
    assert held.path.exists()


def test_a_damaged_spooled_file_goes_along(tmp_path: Path) -> None:
    asyncio.run(spool(tmp_path, "a-b/c", b"one"))
    (path,) = (tmp_path / "spool" / "a-b-c" / "words").iterdir()
    path.write_bytes(b"\xff no message")
    take(own(tmp_path, "a-b", "c"))
    moved = tmp_path / "spool" / place_name("a-b", "c") / "words" / path.name
    assert moved.read_bytes() == b"\xff no message"
