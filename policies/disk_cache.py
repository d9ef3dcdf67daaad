"""The copy on disk of the policies in force, for a start without the broker."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import structlog

from policies.evaluate import ResolvedPolicy
from policies.model import Body
from streams.errors import AndonError

_log = structlog.get_logger(__name__)


class DiskCache:
    """The last policies in force, for a start without the broker. Written whole, atomically.

    The processes of a line share one folder and write the same policies into it at the same time:
    each writes a draft of its own, and the last replacement stands.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "policies.json"

    def write(self, bodies: Mapping[str, Body]) -> None:
        """Replace the copy. A full disk is logged, never raised: the line goes on."""
        draft = self._path.with_name(f"policies-{uuid4().hex}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("x", encoding="utf-8") as file:
                json.dump(bodies, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            _log.warning("policy cache not written", path=str(self._path), error=str(error))
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def read(self) -> list[ResolvedPolicy]:
        """Every policy of the copy that can be read; none when there is no copy."""
        try:
            bodies = json.loads(self._path.read_text("utf-8"))
            return [ResolvedPolicy.from_body(body, key) for key, body in bodies.items()]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, AttributeError, AndonError) as error:
            _log.warning("policy cache not readable", path=str(self._path), error=str(error))
            return []
