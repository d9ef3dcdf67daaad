"""Controllers that others' software runs: each trigger gets exactly one result, with its own part.

``ANDON_TEST_TRIGGERS=1000 pytest tests/interop/test_plc.py -m slow`` gives so many; the same with
its figures: ``python -m tests.interop.plc node-opcua 1000``.
"""

import os
from pathlib import Path

import pytest

from connectors.opcua.browsing import browse
from connectors.opcua.check import check
from connectors.settings import GatewaySettings
from tests.interop.plc.line import foreign_line, run
from tests.interop.plc.programs import COMMANDS

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]
TRIGGERS = int(os.environ.get("ANDON_TEST_TRIGGERS", "50"))
PATIENT = GatewaySettings(plc_timeout_s=10.0)


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.timeout(600 + 5 * TRIGGERS)
async def test_each_trigger_gets_one_result_of_its_own(tmp_path: Path, kind: str) -> None:
    found = await run(kind, tmp_path, TRIGGERS, faults=False)
    assert (found["triggers"], found["one_result"]) == (TRIGGERS, TRIGGERS)
    assert (found["two_results"], found["another_part"], found["by_default"]) == (0, 0, 0)


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.timeout(900 + 5 * TRIGGERS)
async def test_over_cuts_restarts_and_a_download_no_part_has_two_outcomes(
    tmp_path: Path, kind: str
) -> None:
    found = await run(kind, tmp_path, TRIGGERS, faults=True)
    assert (found["two_results"], found["another_part"], found["without_outcome"]) == (0, 0, 0)
    assert len(found["resumed_s"]) == 9, "five cuts, three restarts, one download"


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.timeout(300)
async def test_browse_and_check_find_nothing_wrong(tmp_path: Path, kind: str) -> None:
    async with foreign_line(kind, tmp_path, settings=PATIENT) as made:
        own = PATIENT.model_copy(update={"plc_url": made.line.plc.config.url})
        found = await browse(own, 5000)
        assert found.proposal.pattern == "nsu=urn:andon:line;s=Andon.{signal}"
        checked = await check(own)
        assert [one for one in checked.signals if one.found] == []


@pytest.mark.timeout(300)
async def test_a_server_for_one_session_is_served_and_served_again(tmp_path: Path) -> None:
    """After a cut it refuses the gateway until it has forgotten the session before."""
    async with foreign_line("node-opcua", tmp_path, PATIENT, sessions=1, parts=20) as made:
        await made.start_gateway()
        await made.triggered(5)
        await made.cut(0.5)
        await made.done()
        assert made.plc.count("trigger") == 20


@pytest.mark.timeout(300)
async def test_a_server_that_samples_at_100_ms_is_served(tmp_path: Path) -> None:
    async with foreign_line("node-opcua", tmp_path, PATIENT, sampling_ms=100, parts=10) as made:
        await made.start_gateway()
        await made.done()
        intervals = made.line.gateway._ports.link._link._intervals
        assert intervals.sampling_ms == 100
        assert made.plc.count("result") == 10
