"""Which classifier the demo runs; VELM and the cascade ask a local twin by default."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from andon.settings import load_settings
from lab.llm_twin.server import running_twin
from streams.errors import AndonError

KINDS = ("prototypes", "velm", "cascade")


class ClassifierError(AndonError):
    """A classifier that does not exist."""


@contextlib.contextmanager
def classifier_args(kind: str, folder: Path) -> Iterator[dict[str, object]]:
    """The Serve application's ``classifier`` section; a twin it needs runs meanwhile.

    Raises:
        ClassifierError: no such kind.
    """
    if kind not in KINDS:
        raise ClassifierError(f"--classifier {kind}: choose from {', '.join(KINDS)}")
    if kind == "prototypes":
        yield {"kind": kind}
        return
    from lab.llm_twin.options import twin_options
    from serving.naming.build import serve_options

    configured = load_settings().classifier
    if configured.endpoints:
        yield {"kind": kind, "options": serve_options(configured.model_copy(update={"kind": kind}))}
        return
    with running_twin(folder / "logs" / "twin.log") as url:
        yield {"kind": kind, "options": twin_options(url)}
