"""``andon benchmark links``: the gateway behind a slow, distant and unreliable link."""

from dataclasses import asdict, replace
from typing import Annotated

import typer

from andon.cli.options import Json
from andon.cli.printing import print_aside, print_found
from lab.cli.tables import table_of

LEAST_LINK_SHARE = 0.8
"""The backlog must fall at this share of the link's speed, at least."""
MOST_RESENT = 0.05
"""So many bytes may be sent again, at most, as a share."""
SPEEDS = (10.0, 1.0, 0.1)
DELAYS_S = (0.0, 0.5, 2.0)
WORDS_OVER_S = 2.0
PICTURES_BESIDE = 2
"""95 of 100 decisions may take three round trips, so many seconds, and as long as so many pictures
take on the link: it is shared by turns with the fewest connections that keep it busy."""


def links(
    backlog: Annotated[
        float, typer.Option(min=1, help="How long the backlog takes on the link, seconds.")
    ] = 40.0,
    picture_kb: Annotated[int, typer.Option(min=1, help="Size of a picture, kB.")] = 500,
    line_mb_s: Annotated[
        float, typer.Option(min=0.01, help="Rate at which the line makes pictures, MB/s.")
    ] = 1.0,
    unlucky: Annotated[
        int, typer.Option(min=0, help="One connection in so many is reset or stalls; 0: none.")
    ] = 10,
    connections: Annotated[
        int | None, typer.Option(min=1, help="Most for pictures; by the gateway's setting without.")
    ] = None,
    speed: Annotated[
        list[float] | None,
        typer.Option(min=0.01, help="Speed of the link in the line's rate; may be given again."),
    ] = None,
    delay: Annotated[
        list[float] | None,
        typer.Option(min=0, help="Seconds from one end to the other; may be given again."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of where connections end.")] = 0,
    smoke: Annotated[bool, typer.Option("--smoke", help="One short case, for CI.")] = False,
    as_json: Json = False,
) -> None:
    """A backlog of pictures over links of 10, 1 and 0.1 times the line's rate, 0 to 2 s away.

    Decisions and acknowledgements go on meanwhile and must pass the pictures. Exit code 1 when they
    do not, when the backlog falls at under 80 % of the link's speed (between two fifths and nine
    tenths of it: clients connect before), or when over 5 % of the bytes are sent again.
    """
    from lab.benchmarks.links import LinkFigures, LinksOptions, measure_links

    options = LinksOptions(
        line_bytes_s=line_mb_s * 1e6,
        picture_bytes=picture_kb * 1000,
        backlog_s=backlog,
        unlucky_in=unlucky,
        seed=seed,
        connections=connections,
        speeds=tuple(speed or SPEEDS),
        delays_s=tuple(delay or DELAYS_S),
    )
    if smoke:
        options = replace(options, backlog_s=5.0, unlucky_in=0, speeds=(1.0,), delays_s=(0.05,))
    found = measure_links(options, print_aside)

    def is_quick(one: LinkFigures) -> bool:
        beside_s = PICTURES_BESIDE * options.picture_bytes / (one.of_line * options.line_bytes_s)
        in_time = one.words_p95_s <= 6 * one.delay_s + WORDS_OVER_S + beside_s
        return smoke or (one.link_share >= LEAST_LINK_SHARE and in_time)

    def holds(one: LinkFigures) -> bool:
        return is_quick(one) and one.resent_share <= MOST_RESENT

    rows = [
        (
            f"{one.of_line:g}",
            f"{one.delay_s:g}",
            f"{one.words_p50_s:.2f}",
            f"{one.words_p95_s:.2f}",
            f"{one.words_most_s:.2f}",
            f"{one.link_share:.0%}",
            f"{one.resent_share:.1%}",
            f"{one.unlucky} of {one.connections}",
            "yes" if holds(one) else "no",
        )
        for one in found
    ]
    heads = ("speed", "delay s", "words p50 s", "p95 s", "most s", "of the link", "resent")
    shown = table_of((*heads, "unlucky", "holds"), rows, "Links, in the line's rate", left=0)
    print_found({"links": [asdict(one) for one in found]}, [shown], as_json)
    raise typer.Exit(0 if all(map(holds, found)) else 1)
