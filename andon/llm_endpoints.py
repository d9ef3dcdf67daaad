"""Remembers what the endpoints of multimodal models accept, as ``andon llm check`` found out."""

import logging
from pathlib import Path

from pydantic import ValidationError

from serving.naming.manners import Manners
from serving.naming.settings import ClassifierSettings, EndpointSettings
from streams.settings import Section

log = logging.getLogger(__name__)


class _Record(Section):
    """Of one endpoint: for another address or model it says nothing."""

    base_url: str
    model: str
    accepts: Manners


def remember(endpoint: EndpointSettings, accepts: Manners, state: Path) -> Path:
    """Write the record of an endpoint below ``state``; an older one is replaced."""
    path = _path(endpoint, state)
    record = _Record(base_url=endpoint.address.base, model=endpoint.model, accepts=accepts)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(record.model_dump_json(indent=2), encoding="utf-8")
    draft.replace(path)
    return path


def with_remembered(settings: ClassifierSettings, state: Path) -> ClassifierSettings:
    """The settings with each endpoint's record, where they say nothing about it themselves."""
    known = tuple(e.model_copy(update={"accepts": _known(e, state)}) for e in settings.endpoints)
    return settings.model_copy(update={"endpoints": known})


def _known(endpoint: EndpointSettings, state: Path) -> Manners | None:
    path = _path(endpoint, state)
    if endpoint.accepts is not None or not path.is_file():
        return endpoint.accepts
    try:
        record = _Record.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        log.warning("%s cannot be read and is passed over: %s", path, str(error).splitlines()[0])
        return None
    is_same = (record.base_url, record.model) == (endpoint.address.base, endpoint.model)
    if not is_same:
        log.warning(
            "%s is of another address or model and is passed over: run `andon llm check`", path
        )
    return record.accepts if is_same else None


def _path(endpoint: EndpointSettings, state: Path) -> Path:
    return state / "endpoints" / f"{endpoint.name}.json"
