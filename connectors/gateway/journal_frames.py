"""How a line of the journal stands on disk: ``crc32 number body``. Pure.

The checksum tells a flipped byte, the number a line that is missing; a line without its end was
never committed. Journals of earlier versions have no numbers: their lines are read as they are.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Frames:
    """What a file holds: its lines' bodies, and what is wrong with it."""

    bodies: list[bytes] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    """In words, with the byte at which it stands."""
    last: int = 0
    """Number of the last line."""
    whole_bytes: int = 0
    """What follows is the torn end of a line that was never committed."""


def framed(bodies: Iterable[bytes], after: int) -> bytes:
    """Lines for these bodies, numbered from ``after + 1``.

    >>> framed([b'{"t":"run"}'], after=4)
    b'df6f2245 5 {"t":"run"}\\n'
    """
    lines = []
    for number, body in enumerate(bodies, after + 1):
        numbered = b"%d %s" % (number, body)
        lines.append(b"%08x %s\n" % (zlib.crc32(numbered), numbered))
    return b"".join(lines)


def unframed(data: bytes) -> Frames:
    """The reverse of ``framed``, for whatever the file holds."""
    found = Frames()
    for line in data.split(b"\n")[:-1]:
        crc, _, text = line.partition(b" ")
        number, _, body = text.partition(b" ")
        if crc != b"%08x" % zlib.crc32(text):
            found.damage.append(f"byte {found.whole_bytes}: the checksum does not fit")
        elif text.startswith(b"{"):
            found.bodies.append(text)
        else:
            if int(number) != found.last + 1:
                what = f"line {int(number)} follows line {found.last}"
                found.damage.append(f"byte {found.whole_bytes}: {what}")
            found.last = int(number)
            found.bodies.append(body)
        found.whole_bytes += len(line) + 1
    return found
