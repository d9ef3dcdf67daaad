"""``andon llm``: checks of the endpoints of a multimodal LLM that are configured."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer
from rich.markup import escape

from andon.cli.laboratory import GroupWithLaboratory
from andon.cli.options import Json
from andon.cli.printing import print_found
from streams.errors import AndonError


class Llm(GroupWithLaboratory):
    """The check, and what the laboratory does with a local twin of an endpoint."""

    above = ("llm",)
    laboratory: ClassVar[Mapping[str, str]] = {
        "twin": "Run a local twin of an endpoint until interrupted.",
        "cascade": "Measure the cascade: calls saved and accuracy kept.",
    }


app = typer.Typer(cls=Llm, no_args_is_help=True, add_completion=False)


class LlmCommandError(AndonError):
    """What was asked of ``andon llm`` cannot be done."""


@app.callback()
def llm() -> None:
    """Check the endpoints of a multimodal LLM, or run a local twin of one."""


@app.command()
def check(
    endpoint: Annotated[str, typer.Option(help="Name in the settings; all when empty.")] = "",
    timeout_s: Annotated[
        float, typer.Option(min=0.1, max=600, help="Longest wait for an answer, seconds.")
    ] = 20.0,
    as_json: Json = False,
) -> None:
    """Find out with drawn pictures what each endpoint accepts; deployments keep to it."""
    from andon.cli.llm_check import check_endpoints
    from andon.llm_endpoints import remember
    from andon.settings import load_settings
    from serving.naming.manners import Manners

    logging.getLogger("serving.naming.endpoint").setLevel(logging.ERROR)  # the rows say it all
    everything = load_settings()
    settings = everything.classifier
    chosen = [e for e in settings.endpoints if endpoint in ("", e.name)]
    if not chosen:
        known = ", ".join(e.name for e in settings.endpoints) or "none is configured"
        raise LlmCommandError(
            f"no endpoint {endpoint!r} ({known}); set ANDON_CLASSIFIER__ENDPOINTS, for example "
            '\'[{"name":"twin","base_url":"http://127.0.0.1:18080/v1","model":"twin",'
            '"zone":"loopback"}]\''
        )
    rows = asyncio.run(check_endpoints(chosen, timeout_s))
    for row, asked in zip(rows, chosen, strict=True):
        if row["ok"]:
            remember(asked, Manners.model_validate(row["manners"]), everything.paths.state)
    print_found(rows, (escape(line) for row in rows for line in _lines(row)), as_json)
    if not all(row["ok"] for row in rows):
        raise typer.Exit(1)


def _lines(row: dict[str, object]) -> list[str]:
    """A row in words: what came back, what the endpoint accepts, and what to mind."""
    mark = "ok" if row["ok"] else "FAILED"
    lines = [f"{row['endpoint']}: {mark}: {row['message']}"]
    accepts, warnings = row.get("accepts"), row.get("warnings")
    if isinstance(accepts, dict):
        lines.append("  " + ", ".join(f"{name} {value}" for name, value in accepts.items()))
    lines += [f"  note: {words}" for words in warnings] if isinstance(warnings, list) else []
    return lines
