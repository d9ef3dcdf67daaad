"""The copy on disk of the policies in force, for a start without the broker."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import structlog
from pydantic import TypeAdapter

from policies.evaluate import ResolvedPolicy
from policies.in_force import SignedCopy
from policies.model import Body

_log = structlog.get_logger(__name__)
_COPIES = TypeAdapter(dict[str, SignedCopy])


class DiskCache:
    """The last policies in force, for a start without the broker. Written whole, atomically.

    The processes of a line share one folder and write the same policies into it at the same time:
    each writes a draft of its own, and the last replacement stands.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "policies.json"
        self._signed_path = folder / "signed.json"

    def write(self, bodies: Mapping[str, Body]) -> bool:
        """Replace the copy; whether it is there. A full disk is logged, never raised: the line goes
        on."""
        return self._write(self._path, bodies)

    def write_signed(self, copies: Mapping[str, SignedCopy]) -> bool:
        """The same for signed messages, withdrawals included, under their products."""
        content = {product: copy.model_dump() for product, copy in copies.items()}
        return self._write(self._signed_path, content)

    def read_signed(self) -> dict[str, SignedCopy]:
        """Every signed message of the copy; whoever reads them must look at their signatures."""
        try:
            return _COPIES.validate_json(self._signed_path.read_bytes())
        except FileNotFoundError:
            return {}
        except Exception as error:  # noqa: BLE001 - a damaged copy is no copy, whatever it holds
            said = repr(error)[:500]
            _log.warning("policy cache not readable", path=str(self._signed_path), error=said)
            return {}

    def _write(self, path: Path, content: Mapping[str, object]) -> bool:
        draft = path.with_name(f"policies-{uuid4().hex}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("x", encoding="utf-8") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            return True
        except OSError as error:
            _log.warning("policy cache not written", path=str(path), error=str(error))
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            return False

    def read(self) -> list[ResolvedPolicy]:
        """Every policy of the copy that can be read; none when there is no copy."""
        found: list[ResolvedPolicy] = []
        try:
            for key, body in json.loads(self._path.read_text("utf-8")).items():
                found.append(ResolvedPolicy.from_body(body, key))
        except FileNotFoundError:
            pass
        except Exception as error:  # noqa: BLE001 - a damaged copy is no copy, whatever it holds
            _log.warning("policy cache not readable", path=str(self._path), error=repr(error)[:500])
        return found
