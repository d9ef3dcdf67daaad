"""Steps in a process of their own, one at a time on a host: what runs, how far it is, its end.

Who does a step holds a lock on ``<root>/.running`` until the process is gone, however it ends; the
file names the process and the draft. So a page that is loaded anew, a console that starts anew and
a command all see the same step, and nobody ends a process that does no step.
"""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from andon.products.workspace import Workspace
from console.product_drafts import (
    Corner,
    DraftClass,
    DraftError,
    DraftStep,
    DraftWork,
    PictureKind,
    ProductDraft,
)
from streams.names import key_of, normal_form

IN_PROCESSES: Final = (DraftStep.TRAIN, DraftStep.TEACH, DraftStep.BACKTEST, DraftStep.LIVE)
_LOCK: Final = ".running"
_TOLD_EVERY_S: Final = 0.2
NICENESS: Final = 10
"""Training leaves the cores to the line, where both run on one host."""
_STDIN: Final = 0
_TRIES: Final = 10
_AGAIN_S: Final = 0.02
_DERIVED: Final = re.compile(r"[a-z0-9-]+--[0-9a-f]{16}")


class Workshop:
    """Every draft of this host. Implements ``console.product_drafts.ProductDrafts``.

    Args:
        root: folder of the drafts; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._started: list[subprocess.Popen[bytes]] = []

    def workspace(self, key: str) -> Workspace:
        """The folder of a draft.

        Raises:
            DraftError: the key is none.
        """
        if key_of(key) != key and not _DERIVED.fullmatch(key):
            raise DraftError(f"there is no draft {key[:80]!r}")
        return Workspace(self._root / key)

    def list(self) -> Sequence[ProductDraft]:
        found = []
        for folder in sorted(self._root.iterdir()) if self._root.is_dir() else []:
            if Workspace(folder).exists:
                found.append(Workspace(folder).read())
        return sorted(found, key=lambda draft: draft.began_at, reverse=True)

    def begin(self, product: str, by: str) -> ProductDraft:
        return Workspace(self._root / key_of(normal_form(product))).begin(product, by)

    def read(self, key: str) -> ProductDraft:
        return self.workspace(key).read()

    def work(self, key: str) -> DraftWork | None:
        self._started = [p for p in self._started if p.poll() is None]
        workspace = self.workspace(key)
        work = workspace.work()
        if work is None:
            return None
        if self._running() == workspace.folder.name:  # until the next step may begin
            return work.model_copy(update={"running": True})
        if work.ended_at is not None:
            return work
        why = work.error or "the step was ended before its time"
        return work.model_copy(update={"ended_at": datetime.now(UTC), "error": why})

    def busy(self) -> str:
        key = self._running()
        workspace = Workspace(self._root / key) if key else None
        return workspace.read().product if workspace is not None and workspace.exists else key

    def add_normal(self, key: str, name: str, body: bytes) -> ProductDraft:
        return self.workspace(key).add_normal(name, body)

    def keep(self, key: str, name: str, kept: bool) -> ProductDraft:
        return self.workspace(key).keep(name, kept)

    def add_defect(self, key: str, name: str, body: bytes) -> ProductDraft:
        return self.workspace(key).add_defect(name, body)

    def name_defect(
        self, key: str, name: str, class_name: str, outline: Sequence[Corner]
    ) -> ProductDraft:
        return self.workspace(key).name_defect(name, class_name, outline)

    def remove_defect(self, key: str, name: str) -> ProductDraft:
        return self.workspace(key).remove_defect(name)

    def set_class(self, key: str, class_name: str, meaning: DraftClass) -> ProductDraft:
        return self.workspace(key).set_class(class_name, meaning)

    def set_rate(self, key: str, rate: float) -> ProductDraft:
        return self.workspace(key).set_rate(rate)

    def picture(self, key: str, kind: PictureKind, name: str) -> bytes:
        try:
            return self.workspace(key).path(kind, name).read_bytes()
        except OSError:
            raise DraftError(f"the picture {name[:80]!r} is gone") from None

    def policy(self, key: str) -> str:
        from andon.products.drafted_policy import policy_text

        workspace = self.workspace(key)
        return policy_text(workspace, workspace.read())

    def write_policy(self, key: str, text: str) -> ProductDraft:
        from andon.products.drafted_policy import check_policy

        workspace = self.workspace(key)
        workspace.read()
        return check_policy(workspace, text)

    def start(self, key: str, step: DraftStep, by: str, reason: str) -> None:
        if step not in IN_PROCESSES:
            raise DraftError(f"{step.value!r} is no step for a process")
        draft, workspace = self.read(key), self.workspace(key)
        command = [sys.executable, "-m", "andon", "product", "step", draft.product, step.value]
        handle = self._take_place(workspace, os.getpid())
        try:
            workspace.put_work(DraftWork(step=step, began_at=datetime.now(UTC)))
            with (workspace.folder / "work.log").open("wb") as log:
                process = subprocess.Popen(
                    [*command, "--by", by, "--reason", reason],
                    stdin=handle,  # the place is the process's own from its first moment
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._started.append(process)
            _say_who(handle, workspace, process.pid)
        finally:
            os.close(handle)

    def cancel(self, key: str) -> bool:
        workspace = self.workspace(key)
        if self._running() != workspace.folder.name:
            return False
        work = workspace.work()
        if work is not None and work.step is DraftStep.LIVE:
            raise DraftError("what is being put on the line is not ended half way: wait for it")
        held = json.loads((self._root / _LOCK).read_bytes())
        os.kill(int(held["pid"]), signal.SIGTERM)
        return True

    def discard(self, key: str) -> None:
        workspace = self.workspace(key)
        if self._running() == workspace.folder.name:
            raise DraftError("a step of this draft runs: end it first")
        workspace.read()
        workspace.discard()

    @contextmanager
    def doing(self, key: str, step: DraftStep) -> Iterator["Teller"]:
        """Hold this host's one place for a step, and say at its end how it went.

        Raises:
            DraftError: another step runs.
        """
        workspace = self.workspace(key)
        handle = self._take_place(workspace, os.getpid())
        try:
            with _told(workspace, step) as teller:
                yield teller
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)  # of its standard input, too: its end takes a while
            os.close(handle)

    def _take_place(self, workspace: Workspace, pid: int) -> int:
        """The open file whose lock is this host's one place for a step, held until it is closed.

        A process that ``start`` began was given it as its standard input.

        Raises:
            DraftError: another step runs.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._root / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        if _is_stdin(handle):
            os.close(handle)
            handle = os.dup(_STDIN)
        if not _locked(handle):
            os.close(handle)
            raise DraftError(f"a step of {self.busy()!r} runs: one at a time")
        _say_who(handle, workspace, pid)
        return handle

    def _running(self) -> str:
        """The key of the draft that a step runs for now; empty where none runs."""
        try:
            handle = os.open(self._root / _LOCK, os.O_RDWR)
        except OSError:
            return ""
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return ""
        except OSError:
            try:
                return str(json.loads(os.pread(handle, 4096, 0))["key"])
            except (ValueError, KeyError):
                return ""
        finally:
            os.close(handle)


def _is_stdin(handle: int) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.fstat(_STDIN))
    except OSError:  # this process has none
        return False


def _locked(handle: int) -> bool:
    """Whether the lock was had; whoever looks who has it has it for a moment, too."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            time.sleep(_AGAIN_S)
    return False


def _say_who(handle: int, workspace: Workspace, pid: int) -> None:
    held = json.dumps({"key": workspace.folder.name, "pid": pid}).encode()
    os.ftruncate(handle, len(held))
    os.pwrite(handle, held, 0)


class Teller:
    """Says how far a step is, to whoever looks at the draft."""

    def __init__(self, workspace: Workspace, step: DraftStep) -> None:
        self._workspace = workspace
        self._work = DraftWork(step=step, began_at=datetime.now(UTC))
        self._told_s = 0.0
        workspace.put_work(self._work)

    def __call__(self, stage: str, done: int = 0, total: int = 0) -> None:
        now, is_new = time.monotonic(), stage != self._work.stage
        self._work = self._work.model_copy(update={"stage": stage, "done": done, "total": total})
        if is_new or done == total or now - self._told_s > _TOLD_EVERY_S:
            self._told_s = now
            self._workspace.put_work(self._work)

    def end(self, error: str = "") -> None:
        """Say that it is over."""
        over = {"ended_at": datetime.now(UTC), "error": error}
        self._workspace.put_work(self._work.model_copy(update=over))


@contextmanager
def _told(workspace: Workspace, step: DraftStep) -> Iterator[Teller]:
    teller = Teller(workspace, step)
    try:
        yield teller
    except BaseException as error:
        teller.end(str(error) or type(error).__name__)
        raise
    teller.end()
