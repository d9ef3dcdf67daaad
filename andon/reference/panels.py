"""What a dashboard's picture is, and those of the lines."""

from dataclasses import dataclass
from typing import Final

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


def quantile(share: float, metric: str) -> str:
    """A quantile by station, of the lines that are chosen."""
    rate = f"sum by (line, station, le) (rate({metric}_bucket{_LINE}[5m]))"
    return f"histogram_quantile({share}, {rate})"


def rate(metric: str, by: str) -> str:
    """Events each second, of the lines that are chosen."""
    return f"sum by ({by}) (rate({metric}{_LINE}[5m]))"


def plain_quantile(share: float, metric: str, by: str) -> str:
    """A quantile by a label, of everything."""
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({metric}_bucket[5m])))"


def or_nothing(expr: str) -> str:
    """0 for each role that works and of which the expression has no curve."""
    return f"{expr} or on (role) 0 * sum by (role) (rate(andon_events_total[5m]))"


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
        "A station without a fault is 0; docs/codes.md says of each what to do.",
        (
            (
                f"andon_gateway_fault{_LINE} == 1 "
                f"or sum by (line, station) (andon_gateway_fault{_LINE}) == 0",
                "{{line}}/{{station}} {{fault}}",
            ),
        ),
    ),
    Panel(
        "Parts each second",
        "ops",
        "Exposed, missed (held), and decided by the gateway itself.",
        (
            (rate("andon_gateway_captures_total", "line, station"), "{{line}}/{{station}}"),
            (rate("andon_gateway_missed_total", "line, station"), "missed {{line}}/{{station}}"),
            (
                rate("andon_gateway_watchdog_decisions_total", "line, station, reason"),
                "{{reason}} {{line}}/{{station}}",
            ),
        ),
    ),
    Panel(
        "Results by outcome",
        "ops",
        "Anything but `acknowledged` is a part that the controller decided by itself.",
        ((rate("andon_gateway_results_total", "line, outcome"), "{{line}} {{outcome}}"),),
    ),
    Panel(
        "Trigger to result",
        "s",
        "Half of the parts, 95 and 99 of a hundred.",
        tuple(
            (quantile(q, "andon_gateway_trigger_to_result_seconds"), f"p{q * 100:g} {{{{line}}}}")
            for q in (0.5, 0.95, 0.99)
        ),
    ),
    Panel(
        "Window that was left",
        "s",
        "The tightest of a hundred and of twenty parts; at 0 parts are held.",
        tuple(
            (quantile(q, "andon_gateway_window_left_seconds"), f"p{q * 100:g} {{{{line}}}}")
            for q in (0.01, 0.05)
        ),
    ),
    Panel(
        "Actions by product",
        "ops",
        "What the line does with its parts.",
        (
            (
                rate("andon_decisions_total", "line, product, action"),
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
                f"{rate('andon_decisions_total', 'line, source')} / on (line) group_left "
                f"{rate('andon_decisions_total', 'line')}",
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
                or_nothing("sum by (role, error) (rate(andon_dead_letters_total[5m]))"),
                "dead {{role}} {{error}}",
            ),
            (
                or_nothing("sum by (role, what) (rate(andon_retries_total[5m]))"),
                "again {{role}} {{what}}",
            ),
        ),
    ),
)
"""Of the lines."""
