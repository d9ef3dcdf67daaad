"""Which classifier the demo runs; VELM and the cascade ask a local twin by default."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from andon.settings import load_settings
from infra.stack.process import Process, free_port, port_is_open
from streams.errors import AndonError

KINDS = ("prototypes", "velm", "cascade")
TWIN_TIMEOUT_S = 60.0


class ClassifierError(AndonError):
    """A classifier that does not exist."""


@contextlib.contextmanager
def classifier_args(kind: str, folder: Path, python: str) -> Iterator[dict[str, object]]:
    """The Serve application's ``classifier`` section; a twin it needs runs meanwhile.

    Raises:
        ClassifierError: no such kind.
    """
    if kind not in KINDS:
        raise ClassifierError(f"--classifier {kind}: choose from {', '.join(KINDS)}")
    if kind == "prototypes":
        yield {"kind": kind}
        return
    from serving.naming.build import serve_options, twin_options

    configured = load_settings().classifier
    if configured.endpoints:
        yield {"kind": kind, "options": serve_options(configured.model_copy(update={"kind": kind}))}
        return
    port = free_port()
    command = [python, "-m", "andon", "llm", "twin", "--port", str(port)]
    twin = Process("llm twin", command, folder / "logs" / "twin.log")
    try:
        twin.wait_ready(lambda: port_is_open(port), TWIN_TIMEOUT_S)
        yield {"kind": kind, "options": twin_options(f"http://127.0.0.1:{port}/v1")}
    finally:
        twin.stop()
