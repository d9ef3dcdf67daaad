"""``andon supply``: what the installed environment is made of, its licences and weaknesses."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli.options import Json, group, writable_file
from andon.cli.printing import plain, print_aside, print_found, table_of_rows

if TYPE_CHECKING:
    from lab.supply.bom import Bill

app = group("What is installed here: bill of materials, licences, known weaknesses.")
_HEADINGS = ("package", "version", "licence", "verdict", "why")


def _installed() -> "Bill":
    from lab.supply.bom import installed_bill
    from lab.supply.tools import programs

    print_aside(
        "reading what is installed; the first time, cyclonedx-py is installed under .venvs/supply"
    )
    return installed_bill(programs())


@app.command()
def sbom(
    out: Annotated[
        Path | None, typer.Option(help="Where to write it; on standard output without.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The bill of materials of this environment, CycloneDX as JSON, with licences.

    The same environment gives the same file. Where a package's metadata name no licence, the one
    that is known of it stands there as concluded.
    """
    from lab.supply.licences import read_rules, with_concluded

    path = None if out is None else writable_file(out, "--out")
    rules = read_rules()
    bill = _installed()
    bill.components = [with_concluded(one, rules) for one in bill.components]
    without = [one.name for one in bill.components if not one.licenses]
    if path is None:
        typer.echo(bill.text(), nl=False)
        return
    path.write_text(bill.text(), encoding="utf-8")
    found = {"file": str(path), "components": len(bill.components), "without_licence": without}
    line = f"{plain(str(path))}: {len(bill.components)} packages, {len(without)} without a licence"
    print_found(found, [line], as_json)


@app.command()
def licences(
    bill: Annotated[
        Path | None,
        typer.Option(help="Of this bill of `andon supply sbom`; of what is installed without."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Whether each package's licence is on the list (lab/supply/licences.yaml); exit 1 if not."""
    from lab.supply.bom import read_bill, text_of
    from lab.supply.licences import ALLOWED, REFUSED, judge, read_rules

    rules = read_rules()
    read = _installed() if bill is None else read_bill(text_of(bill))
    found = [judge(one, rules) for one in read.components]
    refused = [one for one in found if one.verdict == REFUSED]
    rows = [
        (one.package, one.version, one.licence or "-", one.verdict, one.because)
        for one in sorted(found, key=lambda one: (one.verdict != REFUSED, one.package.lower()))
        if one.verdict != ALLOWED
    ]
    line = f"{len(found)} packages, {len(refused)} refused"
    table = table_of_rows(_HEADINGS, [[plain(cell) for cell in row] for row in rows])
    body = {"packages": [asdict(one) for one in found], "refused": len(refused)}
    print_found(body, [line, table], as_json)
    raise typer.Exit(1 if refused else 0)


@app.command()
def audit(
    url: Annotated[
        str | None,
        typer.Option(
            help="A service that speaks OSV's protocol, such as the plant's; OSV without."
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="A weakness that was judged and does not count; repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Known weaknesses of what is installed, by pip-audit; exit 1 where there is one.

    Names and versions of the packages are told to the service. Without an answer nothing is
    known: that is an error, not a clean result.
    """
    from lab.supply.audit import audit as asked
    from lab.supply.audit import installed
    from lab.supply.tools import programs

    packages = installed()
    print_aside(f"asking about {len(packages)} packages")
    found = asked(programs(), packages, url, ignore or ())
    rows = [(w.package, w.version, w.name, ", ".join(w.fixed_in) or "-", w.what) for w in found]
    line = f"{len(packages)} packages, {len(found)} known weaknesses"
    table = table_of_rows(
        ("package", "version", "weakness", "fixed in", "what"),
        [[plain(cell) for cell in row] for row in rows],
    )
    body = {"packages": len(packages), "weaknesses": [asdict(one) for one in found]}
    print_found(body, [line, table] if found else [line], as_json)
    raise typer.Exit(1 if found else 0)
