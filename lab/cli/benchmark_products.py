"""``andon benchmark products``: many products in one replica."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from andon.cli.options import Json
from andon.cli.printing import print_aside, print_found
from lab.cli.tables import figures_table


def products(
    count: Annotated[int, typer.Option("--products", min=2, help="Products served.")] = 200,
    heads_mib: Annotated[
        int, typer.Option(min=16, help="What their experts may take in memory, MiB.")
    ] = 1024,
    parts: Annotated[int, typer.Option(min=8, help="Frames of each measurement of a rate.")] = 600,
    changes: Annotated[
        int, typer.Option(min=1, help="Change-overs to products that are not in memory.")
    ] = 40,
    alone: Annotated[
        int, typer.Option(min=1, help="Products compared with their expert in its own process.")
    ] = 3,
    seed: Annotated[int, typer.Option(help="Of the order of products.")] = 0,
    folder: Annotated[
        Path | None, typer.Option(help="Where the products are written; default: removed after.")
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Six products, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """Products with heads of a usual size, more than fit into the memory, served in random order.

    A change-over is a station's call for a product that is neither in the replica nor in the
    kernel's cache of files, and its first frame. Rates are of one product, of those in memory, and
    of all, in turn. Exit code 1 when the process and its child take more than 3 GiB, a change-over
    more than 1 s, a frame fails, or a score differs from that of the same picture before, or of the
    expert alone. The products need some 50 MB each on the disk.
    """
    from lab.benchmarks.products import ProductsBenchmark, benchmark_products, missed

    options = ProductsBenchmark(count, heads_mib, parts, changes, alone, seed=seed)
    if smoke:
        options = ProductsBenchmark(6, 100, 16, 3, 1, rounds=1)
    with tempfile.TemporaryDirectory(prefix="andon-products-", dir=folder) as made:
        found = benchmark_products(options, Path(made), print_aside)
    print_found(found, [figures_table(found, "Many products in one replica")], as_json)
    for words in (wrong := missed(found)):
        print_aside(words)
    raise typer.Exit(1 if wrong else 0)
