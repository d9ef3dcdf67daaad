"""The pages, each one small module: its routes, its query, its templates. No page knows another."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import FastAPI

from console.pages import (
    audit,
    export,
    handover,
    health,
    line,
    live,
    login,
    models,
    new_product,
    oidc,
    pareto,
    part,
    people,
    pictures,
    policies,
    policy_api,
    policy_check,
    policy_effects,
    product_api,
    rates,
    review,
    search,
    terminal,
)
from console.parts import ConsoleParts
from console.rendering import NavLink, Renderer


@dataclass(frozen=True)
class ConsolePage:
    """A page: what adds its routes, and how the bar at the top names it."""

    add: Callable[[FastAPI, ConsoleParts, Renderer], None]
    link: NavLink | None = None
    states: tuple[str, ...] = ()
    """Addresses of other states of the page that are looked at by themselves in a browser."""


PAGES = (
    ConsolePage(login.add),
    ConsolePage(oidc.add),
    ConsolePage(terminal.add),
    ConsolePage(pictures.add),
    ConsolePage(export.add),
    ConsolePage(live.add, NavLink("live", "/live")),
    ConsolePage(line.add, NavLink("line", "/line")),
    ConsolePage(handover.add, NavLink("handover", "/handover")),
    ConsolePage(part.add),
    ConsolePage(
        search.add,
        NavLink("history", "/history"),
        ("/history?view=list&passed=any", "/history?part=nobody", "/history?since=never"),
    ),
    ConsolePage(pareto.add, NavLink("pareto", "/pareto"), ("/pareto?by=rule&since=1d",)),
    ConsolePage(
        rates.add,
        NavLink("rates", "/rates"),
        ("/rates?by=lot&every=week&since=", "/rates?by=class&product=nothing"),
    ),
    ConsolePage(policies.add, NavLink("policies", "/policies")),
    ConsolePage(policy_effects.add),
    ConsolePage(policy_check.add),
    ConsolePage(models.add, NavLink("models", "/models")),
    ConsolePage(new_product.add, NavLink("new_product", "/products/new")),
    ConsolePage(product_api.add),
    ConsolePage(
        review.add,
        NavLink("review", "/review"),
        ("/review?kind=audit", "/review?kind=hold", "/review?product=nothing"),
    ),
    ConsolePage(health.add, NavLink("health", "/health")),
    ConsolePage(policy_api.add),
    ConsolePage(people.add, NavLink("people", "/people")),
    ConsolePage(audit.add, NavLink("audit", "/audit"), ("/audit?verify=yes",)),
)
"""In the order of the bar. Rights are in ``console.access``, texts in ``console/texts.toml``."""
