"""``andon plc simulate``: a simulated line controller with a ledger."""

import asyncio
import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli.options import Json
from andon.cli.printing import print_found, progress
from lab.cli.tables import figures_table

if TYPE_CHECKING:
    from lab.plc.controller import SimulatedPlc
    from lab.plc.plan import PlannedPart

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def plc() -> None:
    """A controller of the laboratory."""


@app.command()
def simulate(
    plan: Annotated[
        Path | None, typer.Option(help='JSON lines: {"part_id", "lot_id", "product_id", "recipe"}.')
    ] = None,
    parts: Annotated[int, typer.Option(min=1, help="Parts to make up without --plan.")] = 10,
    product: Annotated[str, typer.Option(help="Their product.")] = "demo",
    takt: Annotated[float, typer.Option(min=0.001, help="Seconds between parts.")] = 1.0,
    window: Annotated[
        float | None, typer.Option(min=0.05, help="Result window in seconds; default: the takt.")
    ] = None,
    wait_result: Annotated[
        bool, typer.Option("--wait-result", help="Trigger when results are in, not before takt.")
    ] = False,
    in_flight: Annotated[
        int, typer.Option(min=1, help="With --wait-result: most parts without a result.")
    ] = 1,
    ledger: Annotated[Path, typer.Option(help="Ledger file (JSON lines).")] = Path("ledger.jsonl"),
    url: Annotated[str, typer.Option(help="Endpoint.")] = "opc.tcp://127.0.0.1:14840",
    ready_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for Ready.")] = 60,
    security: Annotated[
        Path | None, typer.Option(help="Folder of its certificates, trust list and users/.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Play parts to a gateway and keep the book of what happened."""
    from connectors.opcua.server_security import read_security
    from lab.plc.controller import PlcConfig, SimulatedPlc
    from lab.plc.ledger import Ledger
    from lab.plc.plan import PlannedPart, generate_plan, read_rows

    todo = read_rows(plan, PlannedPart) if plan else generate_plan(parts, product)
    config = PlcConfig(url, takt_s=takt, window_s=window)
    controller = SimulatedPlc(config, Ledger(ledger), read_security(security) if security else None)
    summary = asyncio.run(_play(todo, controller, in_flight * wait_result, ready_timeout))
    print_found(summary, [figures_table(summary, f"The controller's ledger ({ledger})")], as_json)
    if summary["parts"] != len(todo) or summary["undecided"]:
        raise typer.Exit(1)


async def _play(
    todo: "Sequence[PlannedPart]",
    controller: "SimulatedPlc",
    in_flight: int,
    ready_timeout: float,
) -> dict[str, object]:
    from andon.log import configure_logging
    from andon.sd_notify import notify_ready
    from lab.plc.ledger import entries_of, summarise
    from lab.plc.play import play

    configure_logging()
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    await controller.start()
    notify_ready()
    try:
        with progress() as bars:
            bar = bars.add_task("parts", total=len(todo))
            playing = asyncio.ensure_future(
                play(
                    controller,
                    todo,
                    takt_s=controller.config.takt_s,
                    in_flight=in_flight,
                    ready_timeout_s=ready_timeout,
                    on_part=lambda n: bars.update(bar, completed=n),
                )
            )
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, playing.cancel)
            await asyncio.wait([playing])
            if playing.cancelled():
                raise typer.Exit(1)
            playing.result()
    finally:
        await controller.stop()
        controller.ledger.close()
    return summarise(entries_of(controller.ledger.rows))
