"""Writes ``infra/grafana/andon.json``: the dashboard of a plant's lines, from rows of panels."""

import json
from dataclasses import dataclass
from typing import Final

_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_LINE: Final = '{line=~"$line"}'


@dataclass(frozen=True)
class Panel:
    """One picture: what it shows, in which unit, and the questions behind it."""

    title: str
    unit: str
    """Of Grafana: ``short``, ``percentunit``, ``s``, ``ops`` ..."""
    about: str
    """What a person should make of it."""
    asks: tuple[tuple[str, str], ...]
    """Each a PromQL expression and the legend of its curves."""
    kind: str = "timeseries"


def _quantile(share: float, metric: str) -> str:
    rate = f"sum by (line, station, le) (rate({metric}_bucket{_LINE}[5m]))"
    return f"histogram_quantile({share}, {rate})"


def _rate(metric: str, by: str, selector: str = "") -> str:
    inside = f'{{line=~"$line"{selector}}}'
    return f"sum by ({by}) (rate({metric}{inside}[5m]))"


PANELS: Final = (
    Panel(
        "Ready",
        "short",
        "1: the next trigger is captured. 0 while a part is exposed is no fault.",
        ((f"min_over_time(andon_gateway_ready{_LINE}[1m])", "{{line}}/{{station}}"),),
    ),
    Panel(
        "Faults that stand",
        "short",
        "Empty is good; docs/codes.md says of each what to do.",
        ((f"andon_gateway_fault{_LINE} == 1", "{{line}}/{{station}} {{fault}}"),),
    ),
    Panel(
        "Parts each second",
        "ops",
        "Exposed, missed (held), and decided by the gateway itself.",
        (
            (_rate("andon_gateway_captures_total", "line, station"), "{{line}}/{{station}}"),
            (_rate("andon_gateway_missed_total", "line, station"), "missed {{line}}/{{station}}"),
            (
                _rate("andon_gateway_watchdog_decisions_total", "line, station, reason"),
                "{{reason}} {{line}}/{{station}}",
            ),
        ),
    ),
    Panel(
        "Results by outcome",
        "ops",
        "Anything but `acknowledged` is a part that the controller decided by itself.",
        ((_rate("andon_gateway_results_total", "line, outcome"), "{{line}} {{outcome}}"),),
    ),
    Panel(
        "Trigger to result",
        "s",
        "Half of the parts, 95 and 99 of a hundred.",
        tuple(
            (_quantile(q, "andon_gateway_trigger_to_result_seconds"), f"p{q * 100:g} {{{{line}}}}")
            for q in (0.5, 0.95, 0.99)
        ),
    ),
    Panel(
        "Window that was left",
        "s",
        "The tightest of a hundred and of twenty parts; at 0 parts are held.",
        tuple(
            (_quantile(q, "andon_gateway_window_left_seconds"), f"p{q * 100:g} {{{{line}}}}")
            for q in (0.01, 0.05)
        ),
    ),
    Panel(
        "Actions by product",
        "ops",
        "What the line does with its parts.",
        (
            (
                _rate("andon_decisions_total", "line, product, action"),
                "{{line}} {{product}} {{action}}",
            ),
        ),
    ),
    Panel(
        "Who decides",
        "percentunit",
        "A share of `fallback` means that a model does not answer.",
        (
            (
                f"{_rate('andon_decisions_total', 'line, source')} / on (line) group_left "
                f"{_rate('andon_decisions_total', 'line')}",
                "{{line}} {{source}}",
            ),
        ),
    ),
    Panel(
        "Time by stage, p95",
        "s",
        "Of the workers: the whole stay and its parts.",
        (
            (
                "histogram_quantile(0.95, "
                "sum by (role, stage, le) (rate(andon_stage_seconds_bucket[5m])))",
                "{{role}} {{stage}}",
            ),
        ),
    ),
    Panel(
        "Waiting on disk for Kafka",
        "short",
        "Messages of the gateways' spools; pictures wait last.",
        ((f"andon_gateway_spooled_messages{_LINE}", "{{line}}/{{station}} {{lane}}"),),
    ),
    Panel(
        "In flight at the workers",
        "short",
        "Near `worker.concurrency` a role is the bottleneck.",
        (("sum by (role) (andon_in_flight_events)", "{{role}}"),),
    ),
    Panel(
        "Set aside and repeated",
        "ops",
        "Dead letters, and calls that are repeated while something is away.",
        (
            (
                "sum by (role, error) (rate(andon_dead_letters_total[5m]))",
                "dead {{role}} {{error}}",
            ),
            ("sum by (role, what) (rate(andon_retries_total[5m]))", "again {{role}} {{what}}"),
        ),
    ),
)


def dashboard() -> str:
    """The whole dashboard, for Grafana's import or its provisioning."""
    variable = {
        "name": "line",
        "type": "query",
        "datasource": _SOURCE,
        "query": "label_values(andon_gateway_ready, line)",
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "refresh": 2,
    }
    source = {"name": "source", "type": "datasource", "query": "prometheus"}
    whole = {
        "uid": "andon-lines",
        "title": "Andon: lines",
        "tags": ["andon"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, variable]},
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
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
WRITERS: Final = {"andon.json": dashboard}
"""Name of the file -> its text."""
