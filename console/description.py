"""The page at ``/docs``: what can be asked, as plain HTML; no script, no style, nothing fetched."""

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI


def page(app: "FastAPI") -> str:
    """Every route with its parameters, made of the application's own description."""
    described = app.openapi()
    rows = []
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            about = escape(str(route.get("description") or route.get("summary") or ""))
            rows.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{about}</p>")
            rows.append(_parameters(route.get("parameters", ())))
    title = escape(str(described["info"]["title"]))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        f'<body><h1>{title}</h1><p>The same for programs: <a href="/api/openapi.json">'
        f"/api/openapi.json</a></p>{''.join(rows)}</body></html>"
    )


def _parameters(listed: "list[Mapping[str, object]] | tuple[()]") -> str:
    rows = []
    for one in listed:
        schema = one.get("schema")
        about = one.get("description") or ""
        kind = _kind(schema if isinstance(schema, Mapping) else {})
        cells = (str(one["name"]), str(one["in"]), kind, str(about))
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _kind(schema: Mapping[str, object]) -> str:
    choices = schema.get("anyOf")
    parts = choices if isinstance(choices, list) else [schema]
    names = [str(p.get("type") or str(p.get("$ref", "")).rpartition("/")[2]) for p in parts]
    return " or ".join(name for name in names if name not in ("", "null"))
