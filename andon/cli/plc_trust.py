"""``andon plc trust``: the gateway's certificate, and those of controllers that it trusts."""

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli.options import Json, group
from andon.cli.printing import plain, print_found, print_lines, table_of_rows
from streams.errors import AndonError

if TYPE_CHECKING:
    from cryptography import x509

    from andon.settings import Settings
    from connectors.pki.folder import PkiFolder

app = group("Exchange certificates with the line controller (docs/plc-security.md).")
Thumbprint = Annotated[
    str, typer.Argument(help="As the controller and `andon plc trust list` show it.")
]
PLACES = ("trusted", "issuers", "rejected")


class TrustCommandError(AndonError):
    """What was asked of ``andon plc trust`` cannot be done."""


@app.command()
def make(
    uri: Annotated[
        str, typer.Option(help="The application's URI; urn:HOST:andon:gateway without it.")
    ] = "",
    host: Annotated[
        list[str] | None, typer.Option(help="A name or address of this host; repeatable.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=7300, help="How long it is valid.")] = 1825,
    again: Annotated[bool, typer.Option("--again", help="Make a new one in its place.")] = False,
    server: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a server, `andon vision-server` or `andon plc simulate`: "
            "its certificate instead of the gateway's.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the gateway's certificate and key, and show it; one that is there stays."""
    from connectors.pki.certificates import make_identity
    from connectors.pki.folder import PkiFolder

    pki = _pki() if server is None else PkiFolder(server)
    what, use = ("gateway", "client") if server is None else ("server", "server")
    if pki.has_identity and not again:
        print_lines(["there is one already (--again makes a new one)"] if not as_json else [])
    else:
        name = socket.gethostname()
        own = (name, socket.getfqdn(), *(("localhost", "127.0.0.1") if server is not None else ()))
        hosts = host or list(dict.fromkeys(own))
        application = uri or f"urn:{name}:andon:{what}"
        pki.keep_identity(
            make_identity(application, hosts, f"Andon {what} {name}"[:64], use, days=days)
        )
    _show(pki.identity().certificate, str(pki.certificate_file), as_json)


@app.command()
def show(as_json: Json = False) -> None:
    """Show the gateway's own certificate: what the controller must trust."""
    pki = _pki()
    if not pki.has_identity:
        raise TrustCommandError(
            f"no certificate in {pki.certificate_file}; run: andon plc trust make"
        )
    _show(pki.identity().certificate, str(pki.certificate_file), as_json)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where it goes: .der, .crt or .pem.")],
) -> None:
    """Write the gateway's certificate, without its key, for the controller's trust list."""
    from cryptography.hazmat.primitives.serialization import Encoding

    pki = _pki()
    certificate = pki.identity().certificate
    form = Encoding.PEM if file.suffix.lower() == ".pem" else Encoding.DER
    try:
        file.write_bytes(certificate.public_bytes(form))
    except OSError as error:
        raise TrustCommandError(f"{file} cannot be written: {error.strerror}") from None
    typer.echo(f"{file}: put it into the controller's trust list")


@app.command()
def fetch(
    url: Annotated[
        str, typer.Option(help="The controller; ANDON_GATEWAY__PLC_URL without it.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Fetch the controller's certificate and show it; it is trusted only by `accept`."""
    from andon.wiring import edge
    from connectors.pki.certificates import thumbprint

    settings = settings_at(url)
    pki = edge.pki_folder(settings)
    offered = asyncio.run(edge.controller_certificate(settings))
    found = pki.find(thumbprint(offered.certificate))
    place = found[0] if found else "rejected"
    if found is None:
        pki.put("rejected", offered.certificate)
    body = _described(offered.certificate) | {
        "url": settings.gateway.plc_url,
        "place": place,
        "application_uri": offered.uri,
        "offers": offered.offers,
    }
    lines = [*_lines(body), f"  {'offers':<11}{plain(', '.join(offered.offers))}"]
    lines.append(
        "it is trusted"
        if place != "rejected"
        else "compare the thumbprint with the one that the controller shows, then run:\n"
        f"  andon plc trust accept {body['thumbprint']}"
    )
    print_found(body, lines, as_json)


@app.command()
def accept(
    what: Annotated[str, typer.Argument(help="A thumbprint among the rejected, or a file.")],
    issuer: Annotated[
        bool, typer.Option("--issuer", help="It only completes chains, and is not trusted itself.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Trust a certificate: the controller's own, or an authority's."""
    pki, place = _pki(), "issuers" if issuer else "trusted"
    certificate = _find(pki, what)[1] if not Path(what).is_file() else _of_file(Path(what))
    path = pki.put(place, certificate)
    body = _described(certificate) | {"place": place, "file": str(path)}
    print_found(body, [*_lines(body), f"it is in {plain(str(path.parent))} now"], as_json)


@app.command()
def reject(thumbprint: Thumbprint, as_json: Json = False) -> None:
    """Trust a certificate no longer: the gateway's next connection is refused."""
    pki = _pki()
    certificate = _find(pki, thumbprint)[1]
    pki.put("rejected", certificate)
    body = _described(certificate) | {"place": "rejected"}
    print_found(body, [*_lines(body), "it is not trusted any more"], as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the certificates that are trusted, issuers, and those that were refused."""
    pki = _pki()
    rows = [_described(one) | {"place": place} for place in PLACES for one in pki.listed(place)]
    shown = ("place", "name", "thumbprint", "valid_until", "uris", "hosts")
    table = table_of_rows(shown, ([plain(_cell(row[key])) for key in shown] for row in rows))
    print_found(rows, [table if rows else f"{pki.root} holds none"], as_json)


def settings_at(url: str = "") -> "Settings":
    """The settings, with the controller at ``url`` where one is named."""
    from andon.settings import load_settings
    from andon.settings_options import with_options

    settings = load_settings()
    own = with_options(settings.gateway, {"--url": ("plc_url", url or None)})
    return settings.model_copy(update={"gateway": own})


def _pki() -> "PkiFolder":
    from andon.wiring import edge

    return edge.pki_folder(settings_at())


def _of_file(path: Path) -> "x509.Certificate":
    from connectors.pki.certificates import read_certificates, read_file

    return read_certificates(read_file(path), str(path))[0]


def _find(pki: "PkiFolder", thumb: str) -> "tuple[str, x509.Certificate]":
    found = pki.find(thumb)
    if found is None:
        raise TrustCommandError(
            f"no certificate of {pki.root} has the thumbprint {thumb!r}, and no file is called so; "
            "`andon plc trust list` shows what there is, `andon plc trust fetch` gets the "
            "controller's"
        )
    return found


def _described(certificate: "x509.Certificate") -> dict[str, object]:
    from connectors.pki.certificates import common_name, digest, hosts_of, thumbprint, uris_of

    return {
        "name": common_name(certificate),
        "thumbprint": thumbprint(certificate),
        "sha256": digest(certificate),
        "issuer": certificate.issuer.rfc4514_string(),
        "valid_from": f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M}",
        "valid_until": f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M}",
        "uris": uris_of(certificate),
        "hosts": hosts_of(certificate),
    }


def _cell(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _lines(body: dict[str, object]) -> list[str]:
    shown = ("name", "thumbprint", "sha256", "issuer", "valid_from", "valid_until", "uris", "hosts")
    return [f"  {key.replace('_', ' '):<12}{plain(_cell(body[key]))}" for key in shown]


def _show(certificate: "x509.Certificate", file: str, as_json: bool) -> None:
    body = _described(certificate) | {"file": file}
    advice = "let the controller trust it: andon plc trust export gateway.der"
    print_found(body, [*_lines(body), f"  {'file':<12}{plain(file)}", advice], as_json)
