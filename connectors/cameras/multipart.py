"""The parts of a ``multipart/x-mixed-replace`` stream, as network cameras send it. Pure."""

from dataclasses import dataclass, field

from connectors.errors import CaptureError

_HEADERS = 16 * 1024


@dataclass(frozen=True)
class StreamPart:
    """One picture of a stream."""

    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    mark: float
    """What was given with the bytes that held the first byte of the body."""


@dataclass
class MultipartReader:
    """Takes bytes as they come; cameras differ in the boundary's dashes, which are passed over.

    Args:
        boundary: the boundary of the content type.
        limit: the largest picture that is believed, bytes.
    """

    boundary: str
    limit: int = 64 * 1024 * 1024
    _held: bytearray = field(default_factory=bytearray)
    _headers: dict[str, str] | None = None
    _mark: float = float("-inf")

    def __post_init__(self) -> None:
        self._line = b"--" + self.boundary.strip('"').lstrip("-").encode("latin-1", "replace")

    def feed(self, data: bytes, mark: float) -> list[StreamPart]:
        """The pictures that are whole now. Raises ``CaptureError`` for what is no such stream.

        >>> whole = b"--b\\r\\nContent-Length: 2\\r\\n\\r\\nab\\r\\n--b"
        >>> [part.body for part in MultipartReader("b").feed(whole, 0.0)]
        [b'ab']
        """
        self._held += data
        found = []
        while (part := self._next(mark)) is not None:
            found.append(part)
        return found

    def _next(self, mark: float) -> StreamPart | None:
        if self._headers is None and not self._read_headers():
            return None
        if not self._held:
            return None
        if self._mark == float("-inf"):
            self._mark = mark
        headers = self._headers or {}
        if (end := self._body_end(headers)) is None:
            return None
        part = StreamPart(headers, bytes(self._held[:end]), self._mark)
        del self._held[:end]
        self._headers, self._mark = None, float("-inf")
        return part

    def _read_headers(self) -> bool:
        end, width = self._held.find(b"\r\n\r\n"), 4
        if end < 0:
            end, width = self._held.find(b"\n\n"), 2
        if end < 0:
            if len(self._held) > _HEADERS:
                raise CaptureError("the stream has no headers before its pictures")
            return False
        lines = bytes(self._held[:end]).decode("latin-1").splitlines()
        del self._held[: end + width]
        pairs = (line.split(":", 1) for line in lines if ":" in line and not line.startswith("--"))
        self._headers = {name.strip().lower(): value.strip() for name, value in pairs}
        return True

    def _body_end(self, headers: dict[str, str]) -> int | None:
        stated = headers.get("content-length", "")
        if stated.isdecimal() and len(stated) < 12:
            size = int(stated)
            if size > self.limit:
                raise CaptureError(f"a picture of {size} bytes is over the limit of {self.limit}")
            return size if len(self._held) >= size else None
        end = self._held.find(self._line)
        if end < 0:
            if len(self._held) > self.limit:
                raise CaptureError(f"a picture without an end in {self.limit} bytes")
            return None
        while end and self._held[end - 1] in b"\r\n-":
            end -= 1
        return end
