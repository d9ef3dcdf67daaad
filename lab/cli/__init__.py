"""The commands of ``andon`` that belong to the laboratory."""

import typer

from lab.cli import benchmark, bundle, demo, evaluate, llm, plc, supply

COMMANDS: dict[str, typer.Typer] = {
    "demo": demo.app,
    "plc": plc.app,
    "llm": llm.app,
    "evaluate": evaluate.app,
    "benchmark": benchmark.app,
    "supply": supply.app,
    "bundle": bundle.app,
}
"""Applications by subcommand of ``andon``."""
