"""``andon benchmark mutants``: how many changes of the pure cores their own unit tests notice."""

from typing import Annotated

import typer

from andon.cli.options import Json
from andon.cli.printing import print_aside, print_found
from lab.cli.tables import table_of

LEAST_SHARE = 0.9
"""Of its mutants a core's own unit tests must kill at least this share."""


def mutants(
    core: Annotated[
        list[str] | None, typer.Option(help="Only this core; may be given several times.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="So many of each core's mutants, drawn by --seed.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw of --sample.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Mutants at once.")] = 2,
    smoke: Annotated[bool, typer.Option("--smoke", help="Few of one core, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """Mutants of the pure cores that no unit test of theirs notices; exit 1 under 90 % of a core.

    A mutant is one changed comparison, boolean, sign or branch. Each core is judged by its own unit
    tests alone. It needs the repository with its tests and their dependencies.
    """
    from lab.mutation.cores import CORES
    from lab.mutation.run import figures, run_core

    if unknown := set(core or ()) - CORES.keys():
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: cores are {', '.join(CORES)}")
    names = ["calibration"] if smoke else core or list(CORES)
    found = []
    for name in names:
        one = run_core(name, CORES[name], print_aside, 12 if smoke else sample, seed, jobs)
        print_aside(f"{name}: {one.killed} of {len(one.tried)} killed")
        found.append(one)
    rows = [
        (one.core, module, str(killed), str(total), f"{killed / total:.0%}")
        for one in found
        for module, (killed, total) in one.by_module().items()
    ]
    result = figures(found)
    shown = table_of(("core", "module", "killed", "of", ""), rows, "Mutants killed", left=2)
    print_found(result, [shown], as_json)
    raise typer.Exit(0 if all(one.share >= LEAST_SHARE for one in found) else 1)
