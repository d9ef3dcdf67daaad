"""A server that takes plain values only: each Write that carries a status or a time is refused."""

from pathlib import Path

import pytest
from asyncua import ua
from asyncua.server import uaprocessor
from asyncua.server.address_space import AttributeService

from connectors.settings import GatewaySettings
from lab.plc.controller import PlcConfig
from lab.plc.ledger import entries_of
from lab.plc.plan import PlannedPart
from tests.connectors.line import at_once, running_line

VALUE_ALONE = 0b1
"""The encoding mask of a DataValue that holds nothing but its value."""


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The masks of the values that were refused; asyncua fills in what a client left out."""
    masks: list[int] = []
    dressed: set[int] = set()
    decode, write = uaprocessor.struct_from_binary, AttributeService.write

    def watched(kind: type, body: ua.ua_binary.Buffer) -> object:
        raw = bytes(body.copy(len(body)).read(len(body))) if kind is ua.WriteParameters else b""
        found = decode(kind, body)
        value = b"\x0d\0\0\0\xff\xff\xff\xff"  # the attribute Value, without an index range
        starts = [at for at in range(len(raw) - len(value)) if raw.startswith(value, at)]
        found_masks = [raw[at + len(value)] for at in starts]
        if any(mask != VALUE_ALONE for mask in found_masks):
            masks.extend(mask for mask in found_masks if mask != VALUE_ALONE)
            dressed.add(id(found))
        return found

    async def strict(self: AttributeService, params: ua.WriteParameters, **more: object) -> object:
        if id(params) in dressed:
            dressed.discard(id(params))
            bad = ua.StatusCode(ua.StatusCodes.BadWriteNotSupported)
            return [bad] * len(params.NodesToWrite)
        return await write(self, params, **more)

    monkeypatch.setattr(uaprocessor, "struct_from_binary", watched)
    monkeypatch.setattr(AttributeService, "write", strict)
    return masks


@pytest.mark.asyncio
async def test_a_server_that_takes_values_only_is_served(
    tmp_path: Path, refused: list[int]
) -> None:
    plc = PlcConfig(takt_s=0.05, window_s=20.0)
    own = GatewaySettings(result_window_ms=20_000)
    async with running_line(tmp_path, plc, config=own, owned=True) as line:
        line.bus.answer = at_once
        await line.start_gateway()
        for name in ("a", "b"):
            part = PlannedPart(part_id=name, product_id="demo")
            await line.plc.settled(await line.plc.trigger(part))
        assert [entry.source for entry in entries_of(line.plc.ledger.rows)] == ["expert", "expert"]
    assert refused == []
