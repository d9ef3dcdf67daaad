"""Arithmetic of the handshake's counters, which are UInt32 and wrap to 1, never to 0.

``last`` is what a narrower node can hold: its counter wraps there.
"""

LAST = 0xFFFFFFFF


def following(seq: int, last: int = LAST) -> int:
    """The number after ``seq``; 1 follows 4294967295, and the 0 of a cold start.

    >>> following(41), following(LAST), following(0), following(65535, last=65535)
    (42, 1, 1, 1)
    """
    return 1 if seq >= last else seq + 1


def steps(start: int, end: int, last: int = LAST) -> int:
    """How many increments lead from ``start`` to ``end``; negative when ``end`` lies behind.

    0 is the cold start and stands just before 1. Distances over half the ring count as behind.

    >>> steps(4294967295, 1), steps(5, 3), steps(65534, 1, last=65535)
    (1, -2, 2)
    """
    if start == 0 or end == 0:
        return end - start
    forward = (end - start) % last
    return forward if forward <= last // 2 else forward - last


def span(start: int, end: int, limit: int, last: int = LAST) -> list[int]:
    """The numbers after ``start`` up to and with ``end``, the newest ``limit`` of them.

    >>> span(LAST - 1, 2, limit=10), span(0, 9, limit=2)
    ([4294967295, 1, 2], [8, 9])
    """
    count = min(max(steps(start, end, last), 0), limit)
    numbers = []
    seq = end
    for _ in range(count):
        numbers.append(seq)
        seq = last if seq == 1 else seq - 1
    return numbers[::-1]
