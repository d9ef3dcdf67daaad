"""The exported node set is served and found, and both blocks say the same."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from asyncua import Server, ua

from connectors.controller_code import node_set_xml, siemens_scl, structured_text
from connectors.handshake.signals import Owner, Signal
from connectors.opcua.probe import probe
from connectors.settings import GatewaySettings
from infra.stack.process import free_port


@pytest.mark.asyncio
async def test_the_gateway_finds_the_imported_node_set(tmp_path: Path) -> None:
    file = tmp_path / "andon.xml"
    file.write_text(node_set_xml("urn:mine", "Cell7"), encoding="utf-8")
    server = Server()
    await server.init()
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    server.set_endpoint(url)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await server.register_namespace("urn:another")
    await server.import_xml(str(file))
    async with server:
        more = {"namespace": "urn:mine", "node_prefix": "Cell7", "heartbeat_ms": 100}
        found = await probe(GatewaySettings(plc_url=url, **more))
    assert found.values == {s: s.default if s is not Signal.CLASS_ID else -1 for s in Signal}


def test_the_node_set_gives_each_side_its_rights() -> None:
    root = ElementTree.fromstring(node_set_xml())
    variables = [node for node in root if node.tag.endswith("UAVariable")]
    rights = {node.get("BrowseName"): node.get("AccessLevel") for node in variables}
    writes = {f"1:{s.wire_name}" for s in Signal if s.owner is Owner.GATEWAY}
    assert {name for name, level in rights.items() if level == "3"} == writes


def plain(text: str) -> str:
    """The code of a block's body without comments and without the marks of SCL."""
    body = text.rpartition("END_VAR")[2].replace("BEGIN", "").replace("#", "")
    return re.sub(r"\s+", " ", re.sub(r"//.*", "", body)).strip()


def test_the_scl_block_does_what_the_structured_text_does() -> None:
    assert plain(siemens_scl()) == plain(structured_text())
    assert plain(structured_text()).endswith("END_FUNCTION_BLOCK")


def test_every_variable_of_the_block_is_marked_in_scl_and_no_member_is() -> None:
    body = siemens_scl().rpartition("BEGIN")[2]
    code = re.sub(r"//.*", "", body)
    declared = re.findall(r"^    (\w+) : ", structured_text(), re.MULTILINE)
    own = set(declared) - {s.wire_name for s in Signal} | {"PartId", "LotId", "TaktMs"}
    for name in own:
        assert not re.search(rf"(?<![#.\w]){name}\b", code), name
    assert not re.search(r"\.#", code)


def test_the_structure_has_every_signal_with_its_meaning() -> None:
    text = structured_text().partition("END_STRUCT")[0]
    for signal in Signal:
        line = re.search(rf"^    {signal.wire_name} : .*$", text, re.MULTILINE)
        assert (line is None) == (signal is Signal.RESULT_TIME)
        assert line is None or signal.meaning in line[0]
