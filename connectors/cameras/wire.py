"""Which frame is a trigger's, where a wire exposes the camera and the controller tells the trigger.

The light barrier fires camera and controller together, so the exposure may have begun before the
gateway hears of the part. Only time tells what belongs together: one trigger, one frame, within a
window, and nothing else near. Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from connectors.errors import CaptureError

DRIFT = 1e-4
"""A camera's clock runs at most this much faster or slower than the host's."""


@dataclass(frozen=True)
class Exposed:
    """When a frame's exposure was, as far as it is known, seconds of ``time.monotonic``."""

    earliest: float
    latest: float


@dataclass(frozen=True)
class LatchedClock:
    """A camera's clock, read between two moments of the host's."""

    before: float
    after: float
    camera_ns: int

    def exposed(self, stamp_ns: int) -> Exposed:
        """The host's time of a camera's time stamp.

        >>> clock = LatchedClock(before=10.0, after=10.002, camera_ns=5_000_000_000)
        >>> found = clock.exposed(5_000_000_000)
        >>> found.earliest, found.latest
        (10.0, 10.002)
        """
        since = (stamp_ns - self.camera_ns) / 1e9
        drift = abs(since) * DRIFT
        return Exposed(self.before + since - drift, self.after + since + drift)


def frame_of(at: float, others: Iterable[float], frames: Sequence[Exposed], window_s: float) -> int:
    """The number of the frame that was exposed for the trigger of ``at``.

    It lies within ``window_s`` before or after the trigger as a whole; no other frame touches that
    window, and no other trigger is so near that a frame could be of either.

    Raises:
        CaptureError: none, or more than one could be.

    >>> frame_of(1.0, [0.5], [Exposed(0.499, 0.501), Exposed(1.003, 1.004)], 0.02)
    1
    """
    shown = f"{1000 * window_s:g} ms"
    if near := [other - at for other in others if abs(other - at) <= 2 * window_s]:
        raise CaptureError(
            f"another trigger came {1000 * min(near, key=abs):+.0f} ms from this one: parts must "
            f"be more than twice the window of {shown} apart"
        )
    touching = [
        number
        for number, frame in enumerate(frames)
        if frame.latest >= at - window_s and frame.earliest <= at + window_s
    ]
    if not touching:
        raise CaptureError(f"no frame was exposed within {shown} of the trigger{_next(at, frames)}")
    if len(touching) > 1:
        raise CaptureError(
            f"{len(touching)} frames may have been exposed within {shown} of the trigger, and "
            "which is the part's cannot be told"
        )
    found = frames[touching[0]]
    if found.earliest < at - window_s or found.latest > at + window_s:
        raise CaptureError(
            f"its frame was exposed {1000 * (found.earliest - at):+.0f} to "
            f"{1000 * (found.latest - at):+.0f} ms from the trigger, which is not wholly within "
            f"{shown}"
        )
    return touching[0]


def _next(at: float, frames: Sequence[Exposed]) -> str:
    """Where the next one is: a wrong window shows by it."""
    if not frames:
        return ", nor at any other time"
    distances = [(frame.earliest + frame.latest) / 2 - at for frame in frames]
    return f"; the nearest is {1000 * min(distances, key=abs):+.0f} ms from it"
