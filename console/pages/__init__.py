"""The pages, each one small module: its routes, its query, its templates. No page knows another."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import FastAPI

from console.pages import (
    audit,
    live,
    login,
    pareto,
    part,
    people,
    pictures,
    policy_check,
    search,
)
from console.parts import ConsoleParts
from console.rendering import NavLink, Renderer


@dataclass(frozen=True)
class ConsolePage:
    """A page: what adds its routes, and how the bar at the top names it."""

    add: Callable[[FastAPI, ConsoleParts, Renderer], None]
    link: NavLink | None = None


PAGES = (
    ConsolePage(login.add),
    ConsolePage(pictures.add),
    ConsolePage(live.add, NavLink("live", "/live")),
    ConsolePage(part.add),
    ConsolePage(search.add, NavLink("history", "/history")),
    ConsolePage(pareto.add, NavLink("pareto", "/pareto")),
    ConsolePage(policy_check.add),
    ConsolePage(people.add, NavLink("people", "/people")),
    ConsolePage(audit.add, NavLink("audit", "/audit")),
)
"""In the order of the bar. Rights are in ``console.access``, texts in ``console/texts.toml``."""
