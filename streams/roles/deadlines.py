"""When a fallback is due. Pure functions of the deadline, the clock and the margin, in seconds."""

import hashlib
from uuid import UUID


def fallback_due_s(deadline_s: float, margin_s: float) -> float:
    """The moment, seconds since the epoch, at which the fallback is decided."""
    return deadline_s - margin_s


def remaining_s(due_s: float, now_s: float) -> float:
    """Seconds until ``due_s``; never negative."""
    return max(0.0, due_s - now_s)


def call_timeout_s(dues_s: list[float], now_s: float, longest_s: float, least_s: float) -> float:
    """How long one batched call may take.

    Until the last fallback of the batch is due, so that a hanging call does not hold its slot
    much longer than it is of use; at least ``least_s`` (late answers are recorded too), at most
    ``longest_s``.
    """
    return min(longest_s, max(least_s, max(dues_s, default=now_s) - now_s))


def sampled(frame_id: UUID, share: float) -> bool:
    """Whether a frame is in the audit sample: a hash of its id, uniform in [0, 1), under share."""
    digest = hashlib.blake2b(frame_id.bytes, digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64 < share
