"""The body of a camera's answer as it comes, its chunks taken apart. Pure.

Some cameras send chunks whatever version of HTTP they are asked by.
"""

import re
from dataclasses import dataclass, field
from email.message import Message

_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}")
_LINE = 1024


@dataclass
class BodyReader:
    """Takes bytes as they come from the connection, and gives those of the body.

    Args:
        headers: of the answer; they say whether it comes in chunks, and else how long it is.
    """

    headers: Message
    is_over: bool = False
    """Whether the body has ended; without chunks or a length only the connection's end is one."""
    _held: bytearray = field(default_factory=bytearray)
    _left: int | None = None
    """Bytes until the end of the chunk, or of the body; None: nobody says."""

    def __post_init__(self) -> None:
        self._is_chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        stated = self.headers.get("Content-Length", "")
        if self._is_chunked:
            self._left = 0
        elif stated.isdecimal() and len(stated) < 12:
            self._left = int(stated)
            self.is_over = self._left == 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing that was announced is missing; without a length nobody knows."""
        return self.is_over or self._left is None

    def feed(self, data: bytes) -> bytes:
        """The bytes of the body among these. Raises ``ValueError`` for what are no chunks.

        >>> answer = Message()
        >>> answer["Transfer-Encoding"] = "chunked"
        >>> BodyReader(answer).feed(b"3\\r\\nabc\\r\\n2;a=b\\r\\nde\\r\\n0\\r\\n")
        b'abcde'
        """
        if not self._is_chunked:
            body = data if self._left is None else data[: self._left]
            if self._left is not None:
                self._left -= len(body)
                self.is_over = self._left == 0
            return body
        self._held += data
        found = bytearray()
        while not self.is_over and (piece := self._piece()) is not None:
            found += piece
        return bytes(found)

    def _piece(self) -> bytes | None:
        """What is there of the chunk, or nothing and its size read; None: more must come."""
        if not self._held:
            return None
        if self._left:
            piece = bytes(self._held[: self._left])
            del self._held[: self._left]
            self._left -= len(piece)
            return piece
        line, end, _ = self._held.partition(b"\n")
        if not end:
            if len(line) > _LINE:
                raise ValueError("its chunks have no sizes")
            return None
        del self._held[: len(line) + 1]
        size = bytes(line.partition(b";")[0].strip())
        if size:  # an empty line ends the chunk before
            if not _SIZE.fullmatch(size):
                raise ValueError(f"{size[:20]!r} is no size of a chunk")
            self._left = int(size, 16)
            self.is_over = self._left == 0
        return b""
