"""Work beside what is done here ends with it, whatever ends it."""

import asyncio

import pytest

from streams.cancellation import beside


@pytest.mark.asyncio
async def test_it_is_waited_for_and_its_failure_is_not_ours() -> None:
    said = []

    async def works() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            said.append("ended")

    async def fails() -> None:
        raise ValueError("of no concern")

    async def broken_off() -> None:
        async with beside(works(), fails()):
            await asyncio.sleep(0)
            raise KeyError

    with pytest.raises(KeyError):
        await broken_off()
    assert said == ["ended"]
