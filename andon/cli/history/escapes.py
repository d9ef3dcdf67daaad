"""The rate of escaped defects, as ``andon history stats`` shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from andon.cli.printing import table_of_rows
from history.records import AuditCount
from history.text import visible
from policies.review.escapes import EscapeRate, escape_rate, rates_by

_SHOWN = 12
"""Digits of a hash that a table shows."""


@dataclass(frozen=True)
class EscapeReport:
    """The rate over everything that was asked for, and by what may explain it."""

    overall: EscapeRate
    by_product: dict[str, EscapeRate]
    by_class: dict[str, EscapeRate]
    """By the class under which parts passed; empty: without one."""
    by_expert: dict[str, EscapeRate]
    by_policy: dict[str, EscapeRate]


def report_of(counts: Sequence[AuditCount]) -> EscapeReport:
    """The rates of what the history counted."""
    return EscapeReport(
        overall=escape_rate(counts),
        by_product=rates_by(counts, lambda count: count.product_id),
        by_class=rates_by(counts, lambda count: count.class_name),
        by_expert=rates_by(counts, lambda count: count.expert_version),
        by_policy=rates_by(counts, lambda count: count.policy_hash),
    )


def print_report(report: EscapeReport) -> None:
    """Print the rates with their intervals, or why there are none."""
    console, overall = Console(), report.overall
    if not overall.passed:
        console.print(
            "no escape rate: no part passed under a policy that draws audits (`audit_share`)"
        )
        return
    rows = [("all", "", *_cells(overall))]
    for what, rates in (
        ("product", report.by_product),
        ("class", report.by_class),
        ("expert", report.by_expert),
        ("policy", report.by_policy),
    ):
        hashed = what in ("expert", "policy")
        rows += [(what, _name(n, hashed), *_cells(rate)) for n, rate in rates.items()]
    titles = ("escapes", "", "passed", "drawn", "reviewed", "defects", "rate", "95 % interval")
    console.print(table_of_rows(titles, rows))
    left_out = {
        "passed where nothing is drawn": overall.not_audited,
        "drawn without a picture": overall.without_picture,
        "reviewed as unknown": overall.undecided,
    }
    words = ", ".join(f"{count} {what}" for what, count in left_out.items() if count)
    if words:
        console.print(f"not in the rate: {words}")


def _name(name: str, hashed: bool) -> str:
    return visible(name[:_SHOWN] if hashed else name) or "-"


def _cells(rate: EscapeRate) -> tuple[str, ...]:
    counts = (rate.passed, rate.drawn, rate.reviewed, rate.escapes)
    found = "-" if rate.rate is None else f"{rate.rate:.2%}"
    interval = f"{rate.low:.2%} to {rate.high:.2%}" if rate.reviewed else "not reviewed"
    return (*map(str, counts), found, interval)
