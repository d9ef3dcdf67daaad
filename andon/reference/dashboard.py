"""Writes the dashboards of ``infra/grafana`` from rows of panels: the lines, and the plant."""

import json
from typing import Final

from andon.reference.panels import PANELS, Panel
from andon.reference.plant_panels import PLANT_PANELS

_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}


def dashboard() -> str:
    """The dashboard of the lines, for Grafana's import or its provisioning."""
    variable: dict[str, object] = {
        "name": "line",
        "type": "query",
        "datasource": _SOURCE,
        "query": "label_values(andon_gateway_ready, line)",
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "refresh": 2,
    }
    return _whole("andon-lines", "Andon: lines", PANELS, [variable])


def plant_dashboard() -> str:
    """The dashboard of what stands behind the lines."""
    return _whole("andon-plant", "Andon: plant", PLANT_PANELS, [])


def _whole(
    uid: str, title: str, panels: tuple[Panel, ...], variables: list[dict[str, object]]
) -> str:
    source = {"name": "source", "type": "datasource", "query": "prometheus"}
    whole = {
        "uid": uid,
        "title": title,
        "tags": ["andon"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, *variables]},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }
    return json.dumps(whole, indent=1) + "\n"


def _panel(number: int, panel: Panel) -> dict[str, object]:
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": expr, "legendFormat": legend}
            for place, (expr, legend) in enumerate(panel.asks)
        ],
    }


FOLDER: Final = "infra/grafana"
WRITERS: Final = {"andon.json": dashboard, "andon-plant.json": plant_dashboard}
"""Name of the file -> its text."""
