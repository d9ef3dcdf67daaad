"""Dynamic batches, without Ray."""

import asyncio
from collections.abc import Sequence

import pytest

from serving.batching import Batches, Expired, QueueFull
from tests.waiting import until


class Model:
    """Doubles numbers when it is let, and remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.free = asyncio.Event()
        self.free.set()

    async def work(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await self.free.wait()
        if 13 in items:
            raise ValueError("thirteen")
        return [2 * i for i in items]


@pytest.mark.asyncio
async def test_concurrent_items_share_a_batch_and_get_their_own_answer() -> None:
    model = Model()
    batcher = Batches(model.work, size=8, wait_s=0.05, limit=100)
    assert await asyncio.gather(*(batcher.submit(i, 1, 5) for i in range(5))) == [0, 2, 4, 6, 8]
    assert model.batches == [[0, 1, 2, 3, 4]]
    await batcher.close()


@pytest.mark.asyncio
async def test_what_arrives_while_the_model_is_busy_makes_the_next_batch_larger() -> None:
    model = Model()
    model.free.clear()
    batcher = Batches(model.work, size=4, wait_s=0, limit=100)
    futures = [batcher.submit(0, 1, 5)]
    await until(lambda: len(model.batches) == 1)
    futures.append(batcher.submit(1, 1, 5))
    await until(lambda: len(model.batches) == 2)  # one is prepared, the other scored
    futures += [batcher.submit(i, 1, 5) for i in range(2, 8)]
    await asyncio.sleep(0.01)
    assert len(model.batches) == 2
    model.free.set()
    assert await asyncio.gather(*futures) == [2 * i for i in range(8)]
    assert model.batches == [[0], [1], [2, 3, 4, 5], [6, 7]]
    await batcher.close()


@pytest.mark.asyncio
async def test_an_item_whose_caller_gave_up_is_not_worked_on() -> None:
    model = Model()
    model.free.clear()
    batcher = Batches(model.work, size=1, wait_s=0, limit=100)
    busy = [batcher.submit(i, 1, 5) for i in range(2)]
    await until(lambda: len(model.batches) == 2)
    late = batcher.submit(7, 1, 0.01)
    await asyncio.sleep(0.02)
    model.free.set()
    with pytest.raises(Expired):
        await late
    assert await asyncio.gather(*busy) == [0, 2]
    assert [7] not in model.batches
    await batcher.close()


@pytest.mark.asyncio
async def test_bytes_waiting_are_bounded_but_one_large_item_always_fits() -> None:
    model = Model()
    batcher = Batches(model.work, size=8, wait_s=0.01, limit=10)
    large, refused = batcher.submit(1, 50, 5), batcher.submit(2, 1, 5)
    with pytest.raises(QueueFull):
        await refused
    assert await large == 2
    assert await batcher.submit(3, 9, 5) == 6
    await batcher.close()


@pytest.mark.asyncio
async def test_a_failing_batch_fails_its_callers_only_and_closing_cancels() -> None:
    model = Model()
    batcher = Batches(model.work, size=2, wait_s=0.01, limit=100)
    failed = await asyncio.gather(
        batcher.submit(13, 1, 5), batcher.submit(1, 1, 5), return_exceptions=True
    )
    assert [type(e) for e in failed] == [ValueError, ValueError]
    assert await batcher.submit(2, 1, 5) == 4
    model.free.clear()
    waiting = [batcher.submit(i, 1, 5) for i in range(9)]
    await asyncio.sleep(0.03)
    await batcher.close()
    assert all(f.cancelled() for f in waiting)
