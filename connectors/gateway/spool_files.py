"""How a message of the spool stands on disk, and how a file is made durable."""

import base64
import contextlib
import json
import os
import zlib
from pathlib import Path

from streams.envelope import Message


def encode(topic: str, message: Message) -> bytes:
    """A message as the bytes of its file: a checksum of all that follows, a JSON line, and the
    value as it is."""
    head = {
        "topic": topic,
        "key": base64.b64encode(message.key).decode(),
        "headers": [[name, base64.b64encode(raw).decode()] for name, raw in message.headers],
        "size": len(message.value),
    }
    line = json.dumps(head).encode() + b"\n"
    return b"%08x " % zlib.crc32(message.value, zlib.crc32(line)) + line + message.value


def decode(data: bytes) -> tuple[str, Message]:
    """The reverse of ``encode``; files of earlier versions have no checksum.

    Raises:
        ValueError: a damaged file; without a checksum it may be any error.

    >>> decode(encode("andon.acks", Message(b"line1/station1", b"{}", ())))[1].value
    b'{}'
    """
    if not data.startswith(b"{"):
        crc, _, data = data.partition(b" ")
        if crc != b"%08x" % zlib.crc32(data):
            raise ValueError("the checksum does not fit")
    line, _, value = data.partition(b"\n")
    head = json.loads(line)
    if len(value) != head["size"]:
        raise ValueError(f"{len(value)} bytes where {head['size']} were written")
    headers = tuple((name, base64.b64decode(raw)) for name, raw in head["headers"])
    return head["topic"], Message(base64.b64decode(head["key"]), value, headers)


def write_file(path: Path, data: bytes) -> None:
    """The file whole and synced, and its name in the folder too."""
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError:
        with contextlib.suppress(OSError):  # half a file would take the room of the next one
            temporary.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """A file's name in its folder is durable once this returns. Raises ``OSError``."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
