"""Which span of which trace a message follows: W3C Trace Context, the header ``traceparent``.

A part's trace has the part's frame id as its id, so that whoever knows the one knows the other.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from uuid import UUID

HEADER: Final = "traceparent"
_LONGEST: Final = 512
"""More characters than that are no header that anybody meant."""
_FORM: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?",
    re.ASCII,
)
_SAMPLED: Final = 1
_SPAN: Final = (1 << 64) - 1


class TraceContext(NamedTuple):
    """One span, as who follows it is told of it."""

    trace_id: int
    """128 bits, not 0."""
    span_id: int
    """64 bits, not 0."""
    is_sampled: bool

    def __str__(self) -> str:
        """The value of the header.

        >>> str(TraceContext(0xA1, 0xB2, True))
        '00-000000000000000000000000000000a1-00000000000000b2-01'
        """
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.is_sampled):02x}"

    @property
    def header(self) -> tuple[str, bytes]:
        """As a header of a Kafka message."""
        return HEADER, str(self).encode()

    def child(self) -> "TraceContext":
        """A new span of the same trace."""
        return self._replace(span_id=secrets.randbits(64) or 1)


def read_traceparent(text: str) -> TraceContext | None:
    """What a header says; None for anything that is no such header, whatever it is.

    >>> read_traceparent("00-000000000000000000000000000000a1-00000000000000b2-01").is_sampled
    True
    >>> read_traceparent("00-00000000000000000000000000000000-00000000000000b2-01") is None
    True
    """
    found = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or found["version"] == "ff":
        return None
    if found["version"] == "00" and found["more"]:  # a later version may say more
        return None
    trace_id, span_id = int(found["trace"], 16), int(found["span"], 16)
    if not trace_id or not span_id:
        return None
    return TraceContext(trace_id, span_id, bool(int(found["flags"], 16) & _SAMPLED))


def context_of(
    headers: Mapping[str, bytes | None] | Iterable[tuple[str, bytes | None]] | None,
) -> TraceContext | None:
    """What a message follows; None where it does not say, or not in a way that can be read."""
    items = headers.items() if isinstance(headers, Mapping) else headers or ()
    raw = next((value for name, value in items if name == HEADER), None)
    if not raw or len(raw) > _LONGEST:
        return None
    return read_traceparent(raw.decode("utf-8", "replace"))


def root_of(part: UUID, share: float) -> TraceContext:
    """The first span of a part's trace: whoever derives it, whenever, finds the same one.

    Args:
        part: what the shots of the part have in common (``PartOnLine.part_identity``).
        share: of the parts that are sampled, 0 to 1.

    >>> part = UUID("019ac000-0000-7000-8000-0000000000ff")
    >>> root_of(part, 1.0).is_sampled, root_of(part, 0.0).is_sampled
    (True, False)
    """
    # a UUIDv7's last bits count up within a millisecond: they draw no lots
    drawn = int.from_bytes(hashlib.sha256(b"trace" + part.bytes).digest()[:6], "big")
    is_sampled = drawn < share * 2.0**48
    return TraceContext(part.int or 1, part.int & _SPAN or 1, is_sampled)
