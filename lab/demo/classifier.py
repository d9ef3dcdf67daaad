"""Which classifier the demo runs; VELM and the cascade ask a local twin by default."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from andon.settings import load_settings
from lab.llm_twin.server import running_twin, twin_options

Kind = Literal["prototypes", "velm", "cascade"]


@contextlib.contextmanager
def classifier_args(kind: Kind, folder: Path) -> Iterator[dict[str, object]]:
    """The Serve application's ``classifier`` section; a twin it needs runs meanwhile."""
    if kind == "prototypes":
        yield {"kind": kind}
        return
    from serving.naming.build import serve_options

    configured = load_settings().classifier
    if configured.endpoints:
        yield {"kind": kind, "options": serve_options(configured.model_copy(update={"kind": kind}))}
        return
    with running_twin(folder / "logs" / "twin.log") as url:
        yield {"kind": kind, "options": twin_options(url)}
