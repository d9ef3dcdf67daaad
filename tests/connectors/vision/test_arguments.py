"""What a client may call a method with."""

from pathlib import Path

import pytest
from asyncua import ua

from connectors.vision.arguments import refusal
from connectors.vision.node_table import Typed, child, children, number_of
from tests.connectors.vision.station import AUTOMATIC, connected, running_station

INT32, UINT32 = ua.VariantType.Int32, ua.VariantType.UInt32
NULL = ua.Variant(None, ua.VariantType.Null)


def declared(owner: str, method: str) -> list[Typed]:
    row = child(number_of(owner), method)
    return next(one.arguments for one in children(row.number) if one.name == "InputArguments")


@pytest.mark.parametrize(
    ("most", "start", "expected"),
    [
        (ua.Variant(5, UINT32), ua.Variant(0, UINT32), None),
        (ua.Variant(5, INT32), NULL, None),
        (ua.Variant("all"), NULL, "BadInvalidArgument"),
        (ua.Variant(5, UINT32), ua.Variant(-3, INT32), "BadInvalidArgument"),
        (ua.Variant(True), NULL, "BadInvalidArgument"),
        (ua.Variant([5, 6], UINT32), NULL, "BadInvalidArgument"),
    ],
)
def test_numbers(most: ua.Variant, start: ua.Variant, expected: str | None) -> None:
    wanted = declared("ConfigurationManagementType", "GetConfigurationList")
    found = refusal(wanted, [most, start, NULL])
    assert (found.name if found else None) == expected


def test_how_many() -> None:
    wanted = declared("ConfigurationManagementType", "GetConfigurationList")
    few, many = refusal(wanted, [NULL]), refusal(wanted, [NULL] * 4)
    assert few is not None
    assert many is not None
    assert (few.name, many.name) == ("BadArgumentsMissing", "BadTooManyArguments")
    assert refusal(declared("VisionStateMachineType", "Halt"), []) is None  # what nothing reads


@pytest.mark.asyncio
async def test_a_part_that_is_named_by_a_plain_text_starts_no_job_without_its_name(
    tmp_path: Path,
) -> None:
    async with running_station(tmp_path) as station, connected(station) as client:
        await client.prepare()
        start = f"{AUTOMATIC}.StartSingleJob"
        for given in (
            [NULL, "P-7", NULL, NULL, NULL],
            [NULL, NULL, ua.PartIdDataType(Id="tile"), NULL, NULL],
        ):
            with pytest.raises(ua.uaerrors.BadInvalidArgument):
                await client.call(start, *given)
        with pytest.raises(ua.uaerrors.BadArgumentsMissing):
            await client.call(start, NULL)
        _, error = await client.call(start, NULL, ua.PartIdDataType(Id="P-7"), NULL, NULL, NULL)
        assert error == 0
        assert [frame.part_id for frame in station.bus.frames] in ([], ["P-7"])
