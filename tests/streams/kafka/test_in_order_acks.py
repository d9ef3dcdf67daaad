"""Events are released in offset order, and never those of an older generation."""

from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.intake import InOrderAcks


def tracked(offsets: list[int], generation: int = 1) -> InOrderAcks[int]:
    acks: InOrderAcks[int] = InOrderAcks()
    for offset in offsets:
        acks.track("p", generation, offset, offset)
    return acks


def test_a_successor_waits_for_its_predecessor() -> None:
    acks = tracked([10, 11, 12])
    assert acks.done("p", 1, 11) == []
    assert acks.done("p", 1, 12) == []
    assert acks.done("p", 1, 10) == [10, 11, 12]


def test_gaps_of_a_compacted_topic_do_not_block() -> None:
    acks = tracked([3, 7, 20])
    assert acks.done("p", 1, 3) == [3]
    assert acks.done("p", 1, 20) == []
    assert acks.done("p", 1, 7) == [7, 20]


def test_after_a_rebalance_old_events_are_forgotten() -> None:
    acks = tracked([10, 11])
    acks.track("p", 2, 10, 10)
    assert acks.done("p", 1, 10) == []
    assert acks.done("p", 1, 11) == []
    assert acks.done("p", 2, 10) == [10]


def test_partitions_do_not_wait_for_each_other() -> None:
    acks = tracked([1])
    acks.track("q", 1, 1, 100)
    assert acks.done("q", 1, 1) == [100]


@given(st.permutations(list(range(8))))
def test_whatever_the_order_all_are_released_once_and_in_order(order: list[int]) -> None:
    acks = tracked(list(range(8)))
    released: list[int] = []
    for position, offset in enumerate(order):
        released += acks.done("p", 1, offset)
        finished = set(order[: position + 1])
        assert set(released) <= finished
        assert released == list(range(len(released)))
    assert released == list(range(8))
