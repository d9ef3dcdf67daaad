"""What goes to MQTT, under which topic and with which payload. Pure."""

import re
from dataclasses import dataclass
from typing import Final

from streams.events import Acknowledgement, Alert, Decision, PartOnLine

NO_NAME: Final = "_"
"""A level of the topic for which the event has no name."""
_RESERVED = re.compile(r"[/+#\x00-\x1f\x7f]")
LEVEL_CHARACTERS: Final = 128
"""Longest level of a topic; the payload has the whole name."""


@dataclass(frozen=True)
class Announcement:
    """One message to the broker."""

    topic: str
    payload: bytes
    turn: str
    """Those of one turn arrive in the order of their events."""


def level(name: str) -> str:
    """A name as one level of a topic: the signs that MQTT reserves become underscores.

    >>> level("press 3/left"), level(""), level("$SYS")
    ('press 3_left', '_', '_SYS')
    """
    plain = _RESERVED.sub("_", name.strip()[:LEVEL_CHARACTERS])
    plain = "_" + plain[1:] if plain.startswith("$") else plain
    return plain or NO_NAME


def announced_part(prefix: str, event: Decision | Acknowledgement) -> Announcement | None:
    """A decision, or what became of it at the controller; None for one that never stood."""
    if isinstance(event, Decision) and event.is_late:
        return None
    kind = "decision" if isinstance(event, Decision) else "acknowledgement"
    slim = without_measures(event) if isinstance(event, Decision) else event
    topic = f"{prefix}/{_place(event)}/{kind}"
    return Announcement(topic, slim.model_dump_json().encode(), f"{kind} {event.key}")


def announced_alert(prefix: str, alert: Alert, site: str, area: str) -> Announcement:
    """An alert: of its station where it names one, else of its line.

    Args:
        prefix: of every topic.
        alert: says neither site nor area, which are the settings'.
        site: second part of the asset path.
        area: third part of the asset path.
    """
    names = [site, area, alert.line, *([alert.station] if alert.station else [])]
    topic = "/".join([prefix, *map(level, names), "alert"])
    return Announcement(topic, alert.model_dump_json().encode(), f"alert {alert.line}")


def without_measures(decision: Decision) -> Decision:
    """The decision without the region's outline and the candidates: what a dashboard never reads
    and what makes it large."""
    inspection, classification = decision.inspection, decision.classification
    if inspection is not None:
        inspection = inspection.model_copy(update={"region": None, "shadows": ()})
    if classification is not None:
        classification = classification.model_copy(update={"candidates": {}})
    return decision.model_copy(update={"inspection": inspection, "classification": classification})


def _place(event: PartOnLine) -> str:
    return "/".join(map(level, (event.site, event.area, event.line, event.station)))
