"""Somebody else's client of OPC 40100-1, by node-opcua, runs a job at the vision server."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from connectors.vision.node_table import children, number_of
from tests.connectors.vision.station import running_station
from tests.interop.tools import node_tools

SCRIPTS = Path(__file__).parent / "vision"
BASE = {"EventId", "EventType", "SourceNode", "SourceName", "Time", "Message", "Severity"}
"""Mandatory fields of every event, as far as a client can ask for them anywhere."""


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_third_party_client_runs_a_job_and_no_mandatory_field_is_null(
    tmp_path: Path,
) -> None:
    packages = node_tools(SCRIPTS).packages / "node_modules"
    own = {"NODE_PATH": str(packages), "HOME": str(tmp_path)}  # its certificate goes to HOME
    async with running_station(tmp_path) as station:
        command = ["node", str(SCRIPTS / "job.cjs"), station.url, "demo", "P-1"]
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, **own},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(120):
            said, error = await process.communicate()
    assert process.returncode == 0, error.decode()[-2000:]
    (line,) = [one for one in said.decode().splitlines() if one.startswith("{")]  # and its log
    told = json.loads(line)
    rows = children(number_of("ResultReadyEventType"))
    mandatory = BASE | {row.plain_name for row in rows if row.rule == "M"}
    event = told["event"]
    assert len(mandatory) == 14
    assert {name for name in mandatory if event[name] is None} == set()
    assert {name for name, value in event.items() if value is None} == set()
    assert told["prepared"]["status"] == told["started"]["status"] == "Good"
    assert event["JobId"] == told["started"]["values"][0]
    assert event["PartId"]["id"] == "P-1"
    assert event["ResultContent"][0] == "pass"
    assert told["asked"]["values"][1]["resultId"] == event["ResultId"]
    assert (told["state"], told["automatic"]) == ("Operational", "Ready")
