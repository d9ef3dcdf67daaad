"""``andon plc``: what wires a line controller to the gateway, and a simulated one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import typer

from andon.cli import plc_browse, plc_check, plc_export, plc_trust
from andon.cli.laboratory import GroupWithLaboratory

if TYPE_CHECKING:
    from typer._click.core import Context

SIMULATE = "simulate"


class Plc(GroupWithLaboratory):
    """The exchange of certificates, and the laboratory's controller."""

    above = ("plc",)
    laboratory: ClassVar[Mapping[str, str]] = {
        SIMULATE: "A simulated PLC that plays a line; meant where no subcommand is named.",
    }

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        """``andon plc --parts 20`` is the simulated controller, as ``andon plc`` alone is."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [SIMULATE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=Plc, add_completion=False)
app.add_typer(plc_trust.app, name="trust")
app.command()(plc_browse.browse)
app.command()(plc_check.check)
app.command()(plc_export.export)


@app.callback()
def plc() -> None:
    """Wire a line controller: find its signals, prove them, ready code, trust; or simulate one."""
